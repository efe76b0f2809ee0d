"""The credentials of an installation: every one is found, wherever in the settings it stands."""

from __future__ import annotations

import pytest

from procos.credentials import credentials_in
from procos.settings import load_settings


def found(**environ: str) -> frozenset[str]:
    return credentials_in(load_settings(environ, dotenv=None))


class TestCredentials:
    def test_are_none_by_default(self) -> None:
        assert found() == frozenset()

    @pytest.mark.parametrize(
        "name",
        [
            "PROCOS_ENGINE_PASSWORD",
            "PROCOS_ENGINE_TOKEN",
            "PROCOS_ENGINE_OAUTH_CLIENT_SECRET",
            "PROCOS_ENGINE_DB_PASSWORD",
            "PROCOS_OPENAI_API_KEY",
            "PROCOS_FLOWER_PASSWORD",
        ],
    )
    def test_are_found_in_settings_of_their_own(self, name: str) -> None:
        assert found(**{name: "hunter-two"}) == {"hunter-two"}

    def test_are_found_in_providers(self) -> None:
        named = {"URL": "http://host", "MODEL": "m", "API_KEY": "hunter-two"}
        assert found(**{f"PROCOS_PROVIDERS__M__{field}": value for field, value in named.items()}) == {"hunter-two"}

    @pytest.mark.parametrize("name", ["PROCOS_BROKER_URL", "PROCOS_REDIS_URL"])
    def test_are_found_in_addresses(self, name: str) -> None:
        assert found(**{name: "redis://user:hunter%2Ftwo@host"}) == {"hunter%2Ftwo", "hunter/two"}

    def test_are_found_in_an_address_that_is_secret_itself(self) -> None:
        url = "postgresql://user:hunter-two@host/procos"
        assert found(PROCOS_ENGINE_DB_URL=url) == {url, "hunter-two"}

    def test_do_not_count_where_they_are_words_of_every_day(self) -> None:
        assert found(PROCOS_ENGINE_USER="demo", PROCOS_ENGINE_PASSWORD="demo") == frozenset()

    def test_do_not_count_where_tasks_ask_for_them_by_name(self) -> None:
        named = {"PROCOS_SECRETS__CRM_TOKEN": "hunter-two", "PROCOS_CONNECTIONS__CRM__URL": "https://crm.example"}
        assert found(**named) == frozenset()
