"""What a request costs: by the settings, by the table, nothing, or nobody knows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import genai_prices
import pytest

from tasks.ai.prices import FREE, SETTINGS, Cost, is_free, price_of
from tests.ai_samples import free_profile, profile

USAGE = {"prompt_tokens": 1_000_000, "completion_tokens": 500_000}
OPENAI = profile("openai", base_url="https://api.openai.com/v1")
TABLE = f"genai-prices {genai_prices.__version__}"


class TestPriceOfTheSettings:
    def test_counts_before_the_table(self) -> None:
        dear = profile("openai", base_url="https://api.openai.com/v1", input_price=10.0, output_price=0.5)
        assert price_of(dear, "gpt-4o-mini", USAGE) == Cost(amount_usd=Decimal("10.25"), source=SETTINGS)

    def test_counts_for_what_would_cost_nothing(self) -> None:
        rented = free_profile(input_price=1.0, output_price=2.0)
        assert price_of(rented, "llama3.2", USAGE) == Cost(amount_usd=Decimal(2), source=SETTINGS)
        assert not is_free(rented)

    def test_of_nothing_makes_a_provider_free(self) -> None:
        given = profile(input_price=0.0, output_price=0.0)
        assert price_of(given, "model", {}) == Cost(amount_usd=Decimal(0), source=SETTINGS)
        assert is_free(given)

    @pytest.mark.parametrize("half", [{"input_price": 1.0}, {"output_price": 0.0}])
    def test_is_none_where_the_other_half_is_missing(self, half: dict[str, Any]) -> None:
        assert price_of(profile(**half), "model", USAGE) == Cost(amount_usd=None, source=SETTINGS)
        assert not is_free(profile(**half))

    def test_takes_cached_tokens_for_others(self) -> None:
        priced = profile(input_price=1.0, output_price=1.0)
        assert price_of(priced, "model", USAGE | {"cached_tokens": 9}) == price_of(priced, "model", USAGE)


class TestNothing:
    @pytest.mark.parametrize(
        "free",
        [
            free_profile(),
            profile(base_url="http://127.0.0.1:8081/v1"),
            profile(base_url="http://localhost/v1"),
            profile(base_url="http://[::1]:8080/v1"),
        ],
        ids=lambda free: free.base_url,
    )
    def test_is_what_ollama_and_loopback_cost(self, free: object) -> None:
        assert price_of(free, "gpt-4o-mini", {}) == Cost(amount_usd=Decimal(0), source=FREE)  # type: ignore[arg-type]
        assert is_free(free)  # type: ignore[arg-type]

    @pytest.mark.parametrize("url", ["https://api.openai.com/v1", "http://10.0.0.7/v1", "http://localhost.example/v1"])
    def test_is_not_what_others_cost(self, url: str) -> None:
        assert not is_free(profile(base_url=url))


class TestTable:
    def test_knows_models_by_the_address_of_their_provider(self) -> None:
        cost = price_of(OPENAI, "gpt-4o-mini", USAGE)
        assert cost.source == TABLE
        assert cost.amount_usd is not None
        assert Decimal(0) < cost.amount_usd < 10

    def test_knows_that_cached_tokens_cost_less(self) -> None:
        amounts = [
            price_of(OPENAI, "gpt-4o-mini", USAGE | {"cached_tokens": cached}).amount_usd for cached in (0, 900_000)
        ]
        assert amounts[0] is not None
        assert amounts[1] is not None
        assert amounts[1] < amounts[0]

    def test_is_not_misled_by_more_cached_tokens_than_there_are(self) -> None:
        most = price_of(OPENAI, "gpt-4o-mini", USAGE | {"cached_tokens": USAGE["prompt_tokens"]})
        assert price_of(OPENAI, "gpt-4o-mini", USAGE | {"cached_tokens": 10**9}) == most

    def test_says_that_it_does_not_know_a_model(self) -> None:
        assert price_of(OPENAI, "no-such-model", USAGE) == Cost(amount_usd=None, source=TABLE)

    def test_does_not_know_a_model_of_a_known_name_at_an_unknown_address(self) -> None:
        gateway = profile("gateway", base_url="https://gateway.example/v1")
        assert price_of(gateway, "gpt-4o-mini", USAGE) == Cost(amount_usd=None, source=TABLE)

    @pytest.mark.parametrize("usage", [{}, {"prompt_tokens": 7}, {"completion_tokens": 7}, {"total_tokens": 7}])
    def test_is_not_asked_without_both_counts(self, usage: dict[str, int]) -> None:
        assert price_of(OPENAI, "gpt-4o-mini", usage).amount_usd is None
