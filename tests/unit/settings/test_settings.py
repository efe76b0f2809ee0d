"""Settings: what is read, what wins, what is refused and how it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procos.domain.errors import SettingsError
from procos.environment_names import alias_conflicts
from procos.settings import Settings, known_names, load_settings

if TYPE_CHECKING:
    from pathlib import Path


def loaded(**environ: str) -> Settings:
    return load_settings(environ, dotenv=None)


def refused(**environ: str) -> str:
    with pytest.raises(SettingsError) as refusal:
        loaded(**environ)
    return str(refusal.value)


class TestLoadSettings:
    def test_needs_nothing(self) -> None:
        assert loaded().engine.url == "http://127.0.0.1:8080/engine-rest"

    def test_reads_fields_whose_names_have_underscores(self) -> None:
        assert loaded(PROCOS_BRIDGE_LOCK_DURATION="15").bridge.lock_duration == 15
        assert loaded(PROCOS_STARTUP_TIMEOUT="7").startup_timeout == 7

    def test_reads_the_environment_it_is_given_and_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PROCOS_LOG_LEVEL", "DEBUG")
        assert loaded().log.level == "INFO"

    def test_takes_an_empty_value_for_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PROCOS_WORKER_CONCURRENCY", "")
        assert load_settings(dotenv=None).worker.concurrency is None

    def test_reads_a_file_below_the_environment(self, tmp_path: Path) -> None:
        file = tmp_path / ".env"
        file.write_text("PROCOS_LOG_LEVEL=ERROR\nPROCOS_LOG_FORMAT=json\n")
        settings = load_settings({"PROCOS_LOG_LEVEL": "DEBUG"}, dotenv=file)
        assert (settings.log.level, settings.log.format) == ("DEBUG", "json")

    def test_remembers_what_was_set(self) -> None:
        settings = loaded(RABBITMQ_URL="amqp://mq")
        assert settings.is_set("PROCOS_BROKER_URL")
        assert not settings.is_set("PROCOS_REDIS_URL")

    def test_reads_lists(self) -> None:
        bridge = loaded(PROCOS_BRIDGE_TENANTS="north, south", PROCOS_BRIDGE_PROCESS_KEYS="order").bridge
        assert (bridge.tenants, bridge.process_keys) == (("north", "south"), ("order",))

    @pytest.mark.parametrize(
        ("url", "root"),
        [
            ("http://engine:8080", "http://engine:8080/engine-rest"),
            ("http://engine:8080/", "http://engine:8080/engine-rest"),
            ("https://host/engine-rest/", "https://host/engine-rest"),
            ("http://host/camunda/engine-rest/engine/default", "http://host/camunda/engine-rest/engine/default"),
        ],
    )
    def test_completes_the_engine_address(self, url: str, root: str) -> None:
        assert loaded(PROCOS_ENGINE_URL=url).engine.url == root


class TestAliases:
    @pytest.mark.parametrize(
        ("alias", "value", "section", "field"),
        [
            ("CAMUNDA_URL", "http://c/engine-rest", "engine", "url"),
            ("RABBITMQ_URL", "amqp://mq", "broker", "url"),
            ("CLOUDAMQP_URL", "amqps://mq", "broker", "url"),
            ("REDIS_URL", "redis://r", "redis", "url"),
            ("OLLAMA_URL", "http://o", "ollama", "url"),
        ],
    )
    def test_stand_in_for_the_name(self, alias: str, value: str, section: str, field: str) -> None:
        assert getattr(getattr(loaded(**{alias: value}), section), field) == value

    def test_lose_against_the_name(self) -> None:
        assert loaded(REDIS_URL="redis://a", PROCOS_REDIS_URL="redis://b").redis.url == "redis://b"

    def test_that_contradict_the_name_are_told(self) -> None:
        environ = {"REDIS_URL": "redis://a", "PROCOS_REDIS_URL": "redis://b"}
        assert alias_conflicts(environ) == [
            "PROCOS_REDIS_URL and REDIS_URL are both set and differ: PROCOS_REDIS_URL is used"
        ]
        assert alias_conflicts({**environ, "REDIS_URL": "redis://b"}) == []


class TestNamesOfUsers:
    def test_describe_providers(self) -> None:
        found = loaded(
            PROCOS_PROVIDERS__MISTRAL_EU__URL="https://api.example.org/v1",
            PROCOS_PROVIDERS__MISTRAL_EU__MODEL="small",
            PROCOS_PROVIDERS__MISTRAL_EU__AT_ONCE="3",
        ).providers
        assert list(found) == ["mistral_eu"]
        assert (found["mistral_eu"].model, found["mistral_eu"].at_once) == ("small", 3)

    def test_describe_connections_and_secrets_which_are_not_shown(self) -> None:
        found = loaded(PROCOS_CONNECTIONS__CRM__TOKEN="tell-nobody", PROCOS_SECRETS__CRM_TOKEN="tell-nobody")
        assert found.connections["crm"]["token"].get_secret_value() == "tell-nobody"
        assert found.named_secrets["CRM_TOKEN"].get_secret_value() == "tell-nobody"
        assert "tell-nobody" not in repr(found)

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            (
                "PROCOS_PROVIDERS__M__ULR",
                "PROCOS_PROVIDERS__M__ULR is not a setting; did you mean PROCOS_PROVIDERS__M__URL?",
            ),
            ("PROCOS_PROVIDERS__M", "expected PROCOS_PROVIDERS__<NAME>__<FIELD>"),
            ("PROCOS_PROVIDERS__OPENAI__URL", "a provider cannot be called 'openai'"),
            ("PROCOS_PROVIDERS__M__URL", "PROCOS_PROVIDERS__M__MODEL: Field required"),
            ("PROCOS_CONNECTIONS__crm__URL", "in capitals"),
            ("PROCOS_SECRETS__", "expected PROCOS_SECRETS__<NAME>"),
            ("PROCOS_NAMED_SECRETS", "is not a setting"),
        ],
    )
    def test_are_checked_like_all_others(self, name: str, said: str) -> None:
        assert said in refused(**{name: "http://host"})

    def test_may_be_in_a_folder(self) -> None:
        assert str(loaded(PROCOS_CONNECTION_DIRECTORY="/etc/crm").connection_directory) == "/etc/crm"

    def test_are_allowed_by_topic(self) -> None:
        found = loaded(PROCOS_SECRETS_ALLOWED='{"http_request": ["CRM_TOKEN"]}').secrets
        assert found.allowed == {"http_request": ("CRM_TOKEN",)}
        assert "PROCOS_SECRETS_ALLOWED" in refused(PROCOS_SECRETS_ALLOWED="http_request")


class TestUnknownNames:
    def test_are_refused_with_the_nearest_known(self) -> None:
        assert "PROCOS_ENGIN_URL is not a setting; did you mean PROCOS_ENGINE_URL?" in refused(
            PROCOS_ENGIN_URL="http://a"
        )

    def test_are_all_named_at_once(self) -> None:
        text = refused(PROCOS_ENGIN_URL="a", PROCOS_XYZZY="b")
        assert "PROCOS_ENGIN_URL" in text
        assert "PROCOS_XYZZY is not a setting" in text

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PROCOS_BRIDGE_SERVICE_HOST", "10.0.0.1"),
            ("PROCOS_ENGINE_SERVICE_PORT", "8080"),
            ("PROCOS_ENGINE_SERVICE_PORT_HTTP", "8080"),
            ("PROCOS_ENGINE_PORT", "tcp://10.0.0.1:8080"),
            ("PROCOS_FLOWER_PORT", "tcp://10.0.0.1:5555"),
            ("PROCOS_ENGINE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("PROCOS_ENGINE_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("PROCOS_REDIS_PORT", "tcp://10.0.0.1:6379"),
            ("PROCOS_TEST_NODES", "native"),
            ("PROCOS_FAILPOINT_BEFORE_PUBLISH", "kill"),
        ],
    )
    def test_that_kubernetes_injects_or_tests_use_are_ignored(self, name: str, value: str) -> None:
        assert loaded(**{name: value}).model_dump(exclude={"set_by_user"}) == loaded().model_dump(
            exclude={"set_by_user"}
        )

    def test_of_a_connection_are_ours_even_where_they_end_like_those_of_kubernetes(self) -> None:
        assert loaded(PROCOS_CONNECTIONS__MAIL__PORT="25").connections["mail"]["port"].get_secret_value() == "25"

    def test_do_not_include_our_own_bookkeeping(self) -> None:
        assert "PROCOS_SET_BY_USER" not in known_names()
        assert "PROCOS_SET_BY_USER is not a setting" in refused(PROCOS_SET_BY_USER="[]")


class TestBadValues:
    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("PROCOS_ENGINE_URL", "localhost:8080", "expected an http"),
            ("PROCOS_ENGINE_URL", "http://", "expected an http"),
            ("PROCOS_ENGINE_URL", "http://host:port", "Port could not be cast"),
            ("PROCOS_ENGINE_URL", "http://host:99999", "Port out of range"),
            ("PROCOS_ENGINE_URL", "http://u:p@host", "credentials go into"),
            ("PROCOS_BROKER_URL", "http://mq", "amqp://"),
            ("PROCOS_REDIS_URL", "6379", "redis://"),
            ("PROCOS_ENGINE_TIMEOUT", "soon", "number"),
            ("PROCOS_ENGINE_TIMEOUT", "0", "greater than 0"),
            ("PROCOS_ENGINE_TIMEOUT", "inf", "finite"),
            ("PROCOS_ENGINE_TIMEOUT", "nan", "finite"),
            ("PROCOS_BRIDGE_CAPACITY", "-1", "greater than or equal to 1"),
            ("PROCOS_BRIDGE_REPLICA_ID", "a/b", "pattern"),
            ("PROCOS_BRIDGE_TENANTS", " , ", "names separated by commas"),
            ("PROCOS_ENGINE_TOKEN", "two\nlines", "printable ASCII"),
            ("PROCOS_ENGINE_OAUTH_TOKEN_URL", "idp.example/token", "expected an http"),
            ("PROCOS_LOG_LEVEL", "LOUD", "'DEBUG'"),
        ],
    )
    def test_are_refused_by_the_name_the_user_wrote(self, name: str, value: str, said: str) -> None:
        text = refused(**{name: value})
        assert text.startswith(f"{name}: ")
        assert said in text

    def test_are_all_told_at_once(self) -> None:
        assert len(refused(PROCOS_LOG_LEVEL="LOUD", PROCOS_ENGINE_TIMEOUT="0").splitlines()) == 2

    def test_do_not_show_what_was_given(self) -> None:
        assert "hunter2" not in refused(PROCOS_ENGINE_URL="ftp://me:hunter2@host")


class TestSecrets:
    @pytest.mark.parametrize(
        "name",
        [
            "PROCOS_ENGINE_PASSWORD",
            "PROCOS_ENGINE_TOKEN",
            "PROCOS_ENGINE_OAUTH_CLIENT_SECRET",
            "PROCOS_OPENAI_API_KEY",
            "PROCOS_FLOWER_PASSWORD",
        ],
    )
    def test_are_never_shown(self, name: str) -> None:
        settings = loaded(**{name: "hunter2"})
        assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()

    @pytest.mark.parametrize(
        ("name", "url"), [("PROCOS_BROKER_URL", "amqp://u:hunter2@mq"), ("PROCOS_REDIS_URL", "redis://:hunter2@r")]
    )
    def test_within_addresses_are_never_shown(self, name: str, url: str) -> None:
        assert "hunter2" not in repr(loaded(**{name: url}))


class TestLeases:
    def test_that_run_out_before_a_poll_is_answered_are_refused(self) -> None:
        given = {"PROCOS_BRIDGE_LOCK_DURATION": "10", "PROCOS_BRIDGE_POLL_TIMEOUT": "10"}
        with pytest.raises(SettingsError, match=r"^PROCOS_BRIDGE_LOCK_DURATION is 10 s, expected more than"):
            load_settings(given, dotenv=None)
