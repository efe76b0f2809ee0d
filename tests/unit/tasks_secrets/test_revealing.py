"""What a task is handed: secrets in constants of its model and in connections, and in nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator

from procos.domain.errors import PermanentError
from procos.logs import struck

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from procos.settings import Settings
    from tasks.context import TaskContext

ALLOWED = {"PROCOS_SECRETS_ALLOWED": '{"http_request": ["TOKEN", "NESTED"]}'}
SECRETS = {
    "PROCOS_SECRETS__TOKEN": "hunter-two",
    "PROCOS_SECRETS__OTHER": "not-for-this-topic",
    "PROCOS_SECRETS__NESTED": "{{secrets.OTHER}}",
}


class Crm(BaseModel):
    url: str
    token: str
    retries: int = 3
    password: SecretStr | None = None


@pytest.fixture
def settings(settings_with: Callable[..., Settings]) -> Settings:
    return settings_with(**ALLOWED, **SECRETS)


class TestConstant:
    def test_is_revealed(self, context_with: Callable[..., TaskContext], settings: Settings) -> None:
        context = context_with(settings, header="Bearer {{secrets.TOKEN}}")
        assert context.revealed("header", "Bearer {{secrets.TOKEN}}") == "Bearer hunter-two"

    def test_is_revealed_where_the_input_model_has_made_more_of_it(
        self, context_with: Callable[..., TaskContext], settings: Settings
    ) -> None:
        text = '{"Authorization": "Bearer {{secrets.TOKEN}}", "Accept": ["*/*"]}'
        context = context_with(settings, headers=text)
        assert context.revealed("headers", json.loads(text)) == {
            "Authorization": "Bearer hunter-two",
            "Accept": ["*/*"],
        }

    def test_is_looked_into_once(self, context_with: Callable[..., TaskContext], settings: Settings) -> None:
        context = context_with(settings, text="{{secrets.NESTED}}")
        assert context.revealed("text", "{{secrets.NESTED}}") == "{{secrets.OTHER}}"

    @pytest.mark.parametrize(("name", "code"), [("OTHER", "SECRET_DENIED"), ("token", "SECRET_MISSING")])
    def test_that_names_what_it_may_not_is_refused(
        self, context_with: Callable[..., TaskContext], settings: Settings, name: str, code: str
    ) -> None:
        text = f"{{{{secrets.TOKEN}}}} {{{{secrets.{name}}}}}"
        with pytest.raises(PermanentError) as refusal:
            context_with(settings, text=text).revealed("text", text)
        assert refusal.value.code == code

    def test_that_names_a_secret_nobody_has_is_refused(
        self, context_with: Callable[..., TaskContext], settings_with: Callable[..., Settings]
    ) -> None:
        context = context_with(settings_with(**ALLOWED), text="{{secrets.TOKEN}}")
        with pytest.raises(PermanentError, match="PROCOS_SECRETS__TOKEN") as refusal:
            context.revealed("text", "{{secrets.TOKEN}}")
        assert refusal.value.code == "SECRET_MISSING"

    def test_reveals_nothing_that_a_task_has_put_into_it_from_elsewhere(
        self, context_with: Callable[..., TaskContext], settings_with: Callable[..., Settings]
    ) -> None:
        allowed = {"PROCOS_SECRETS_ALLOWED": '{"http_request": ["TOKEN", "OTHER"]}'}
        context = context_with(settings_with(**allowed, **SECRETS), text="{{secrets.TOKEN}}: ")
        of_a_user = "{{secrets.OTHER}} {{secrets.x}}"
        assert context.revealed("text", "{{secrets.TOKEN}}: " + of_a_user) == "hunter-two: " + of_a_user


class TestOtherVariable:
    def test_stays_a_text(self, context_with: Callable[..., TaskContext], settings: Settings) -> None:
        context = context_with(settings, header="{{secrets.TOKEN}}")
        for value in ("{{secrets.TOKEN}}", {"a": "{{secrets.TOKEN}}"}, "{{secrets.no name}}"):
            assert context.revealed("user_query", value) == value
        assert not context.handed_out


class TestHandedOut:
    def test_is_what_was_handed_out_whatever_the_secret_is_by_now(
        self, context_with: Callable[..., TaskContext], settings_with: Callable[..., Settings], folder: Path
    ) -> None:
        context = context_with(settings_with(**ALLOWED), text="{{secrets.TOKEN}}")
        (folder / "TOKEN").write_text("value-before-rotation")
        context.revealed("text", "{{secrets.TOKEN}}")
        (folder / "TOKEN").write_text("value-after-rotation")
        assert context.handed_out.strike("value-before-rotation") == "***"
        assert struck("value-before-rotation") == "***"

    def test_is_of_one_run(self, context_with: Callable[..., TaskContext], settings: Settings) -> None:
        first, second = (context_with(settings, text="{{secrets.TOKEN}}") for _ in range(2))
        first.revealed("text", "{{secrets.TOKEN}}")
        assert first.handed_out
        assert not second.handed_out


class TestConnection:
    def test_is_a_model_of_its_fields_with_the_secrets_they_name(
        self, context_with: Callable[..., TaskContext], settings_with: Callable[..., Settings]
    ) -> None:
        settings = settings_with(
            **SECRETS,
            PROCOS_CONNECTIONS__CRM__URL="https://crm.example",
            PROCOS_CONNECTIONS__CRM__TOKEN="Bearer {{secrets.TOKEN}}",
            PROCOS_CONNECTIONS__CRM__RETRIES="5",
        )
        context = context_with(settings)
        crm = context.connection("crm", Crm)
        assert crm == Crm(url="https://crm.example", token="Bearer hunter-two", retries=5)
        assert context.handed_out.strike("hunter-two https://crm.example") == "*** https://crm.example"

    def test_keeps_what_its_model_calls_secret(
        self, context_with: Callable[..., TaskContext], settings_with: Callable[..., Settings]
    ) -> None:
        named = {"URL": "https://crm.example", "TOKEN": "none", "PASSWORD": "plain-in-the-settings"}
        context = context_with(settings_with(**{f"PROCOS_CONNECTIONS__CRM__{k}": v for k, v in named.items()}))
        assert context.connection("crm", Crm).password == SecretStr("plain-in-the-settings")
        assert context.handed_out.strike("plain-in-the-settings") == "***"

    def test_refuses_a_secret_too_short_to_be_kept(
        self, context_with: Callable[..., TaskContext], settings_with: Callable[..., Settings]
    ) -> None:
        named = {"URL": "https://crm.example", "TOKEN": "none", "PASSWORD": "xyz"}
        context = context_with(settings_with(**{f"PROCOS_CONNECTIONS__CRM__{k}": v for k, v in named.items()}))
        with pytest.raises(PermanentError, match="connection 'crm', field 'password'") as refusal:
            context.connection("crm", Crm)
        assert refusal.value.code == "SECRET_TOO_SHORT"
        assert "xyz" not in str(refusal.value)

    def test_names_connection_and_field_where_a_secret_is_missing(
        self, context_with: Callable[..., TaskContext], settings_with: Callable[..., Settings]
    ) -> None:
        settings = settings_with(PROCOS_CONNECTIONS__CRM__TOKEN="{{secrets.TOKEN}}")
        with pytest.raises(
            PermanentError, match=r"^connection 'crm', field 'token': .*PROCOS_SECRETS__TOKEN"
        ) as refusal:
            context_with(settings).connection("crm", Crm)
        assert refusal.value.code == "SECRET_MISSING"

    def test_that_is_unknown_names_the_nearest(
        self, context_with: Callable[..., TaskContext], settings_with: Callable[..., Settings], connection_folder: Path
    ) -> None:
        (connection_folder / "shop.toml").write_text('url = "x"')
        settings = settings_with(PROCOS_CONNECTIONS__CRM_EU__URL="a", PROCOS_CONNECTIONS__CRM_US__URL="b")
        with pytest.raises(PermanentError) as refusal:
            context_with(settings).connection("crm_uk", Crm)
        assert refusal.value.code == "CONNECTION_UNKNOWN"
        assert "known connections: crm_eu, crm_us, shop; did you mean crm_" in str(refusal.value)

    @pytest.mark.parametrize("name", ["", "CRM", "../crm", "crm.toml", "{{secrets.TOKEN}}", "x" * 200])
    def test_that_is_no_name_is_not_quoted(
        self, context_with: Callable[..., TaskContext], settings: Settings, name: str
    ) -> None:
        with pytest.raises(PermanentError, match="is no name; known connections: none"):
            context_with(settings).connection(name, Crm)

    def test_with_wrong_fields_names_them_and_not_what_they_hold(
        self, context_with: Callable[..., TaskContext], settings_with: Callable[..., Settings]
    ) -> None:
        class Strict(BaseModel):
            model_config = {"extra": "forbid"}
            url: str = Field(pattern="^https://")
            token: str
            retries: int
            region: str = ""

            @field_validator("region")
            @classmethod
            def known(cls, value: str) -> str:
                raise ValueError(f"unheard of: {value}")

        named = {
            "URL": "ftp://hunter-url",
            "RETRIES": "hunter-number",
            "REGION": "hunter-region",
            "MORE": "hunter-more",
        }
        context = context_with(settings_with(**{f"PROCOS_CONNECTIONS__CRM__{k}": v for k, v in named.items()}))
        with pytest.raises(PermanentError) as refusal:
            context.connection("crm", Strict)
        text = str(refusal.value)
        assert refusal.value.code == "CONNECTION_INVALID"
        assert text.startswith("connection 'crm': ")
        for field in ("url: ", "token: Field required", "retries: ", "region: not valid", "more: "):
            assert field in text
        assert "hunter" not in text
        assert refusal.value.__cause__ is None


class TestConnectionFile:
    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("crm.toml", 'url = "https://crm.example"\ntoken = "{{secrets.TOKEN}}"\nretries = 5\n'),
            ("crm.json", '{"url": "https://crm.example", "token": "{{secrets.TOKEN}}", "retries": 5}'),
        ],
    )
    def test_is_read_like_settings(
        self,
        context_with: Callable[..., TaskContext],
        settings: Settings,
        connection_folder: Path,
        file: str,
        text: str,
    ) -> None:
        (connection_folder / file).write_text(text)
        crm = context_with(settings).connection("crm", Crm)
        assert crm == Crm(url="https://crm.example", token="hunter-two", retries=5)

    def test_may_hold_more_than_texts(
        self, context_with: Callable[..., TaskContext], settings: Settings, connection_folder: Path
    ) -> None:
        class Nested(BaseModel):
            headers: dict[str, str]
            scopes: list[str]

        (connection_folder / "crm.toml").write_text(
            'scopes = ["a", "{{secrets.TOKEN}}"]\n[headers]\nAuthorization = "Bearer {{secrets.TOKEN}}"\n'
        )
        nested = context_with(settings).connection("crm", Nested)
        assert nested == Nested(headers={"Authorization": "Bearer hunter-two"}, scopes=["a", "hunter-two"])

    def test_yields_to_settings_field_by_field(
        self, context_with: Callable[..., TaskContext], settings_with: Callable[..., Settings], connection_folder: Path
    ) -> None:
        (connection_folder / "crm.toml").write_text('url = "https://file.example"\ntoken = "of the file"\n')
        context = context_with(settings_with(PROCOS_CONNECTIONS__CRM__TOKEN="of the settings"))
        assert context.connection("crm", Crm) == Crm(url="https://file.example", token="of the settings")

    @pytest.mark.parametrize(
        ("files", "said"),
        [
            ({"crm.toml": "hunter two"}, "crm.toml is no TOML table"),
            ({"crm.json": '["hunter"]'}, "crm.json is no JSON table"),
            ({"crm.json": "[" * 5000}, "crm.json is no JSON table"),
            ({"crm.json": "{}", "crm.toml": ""}, "crm.toml and crm.json are both in"),
        ],
    )
    def test_that_is_no_table_is_refused_without_its_contents(
        self,
        context_with: Callable[..., TaskContext],
        settings: Settings,
        connection_folder: Path,
        files: dict[str, str],
        said: str,
    ) -> None:
        for name, text in files.items():
            (connection_folder / name).write_text(text)
        with pytest.raises(PermanentError, match=said) as refusal:
            context_with(settings).connection("crm", Crm)
        assert refusal.value.code == "CONNECTION_UNREADABLE"
        assert "hunter" not in str(refusal.value)
