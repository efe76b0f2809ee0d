"""`{{secrets.NAME}}` and no other form is where a secret goes."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from procos.domain.errors import PermanentError
from tasks.secrets.placeholders import names_in, resolved

VALUES = {"A": "alpha", "B_2": "beta", "NESTED": "{{secrets.A}}"}


def put(value: object) -> object:
    return resolved(value, VALUES.__getitem__, VALUES)


class TestNames:
    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("{{secrets.A}}", {"A"}),
            ("{{ secrets.A }} and {{secrets.B_2}}{{\tsecrets.A\t}}", {"A", "B_2"}),
            ("secrets.A ${secrets.A} {secrets.A} {{ secret.A }} {{A}} {{secrets.A}", set()),
            ("{{\nsecrets.A}}", set()),
            ("", set()),
        ],
    )
    def test_stand_in_double_braces(self, text: str, names: set[str]) -> None:
        assert names_in(text) == names

    @pytest.mark.parametrize("name", ["", "a", "crm_token", "A-B", "A.B", "1A", "_A", "A B", "Ä", "../A", "A" * 101])
    def test_are_capitals_or_refused(self, name: str) -> None:
        with pytest.raises(PermanentError, match="no secret can be called") as refusal:
            names_in(f"{{{{secrets.{name}}}}}")
        assert refusal.value.code == "SECRET_MISSING"
        assert len(str(refusal.value)) < 200


class TestResolved:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("{{secrets.A}}", "alpha"),
            ("Bearer {{ secrets.A }}!", "Bearer alpha!"),
            ("{{secrets.A}}{{secrets.B_2}}", "alphabeta"),
            (
                {"h": ["{{secrets.A}}", 1, None], "{{secrets.A}}": True},
                {"h": ["alpha", 1, None], "{{secrets.A}}": True},
            ),
            (("{{secrets.B_2}}",), ("beta",)),
            (7, 7),
        ],
    )
    def test_puts_secrets_in_their_places(self, value: object, expected: object) -> None:
        assert put(value) == expected

    def test_puts_them_into_what_is_secret_already(self) -> None:
        assert put(SecretStr("Bearer {{secrets.A}}")) == SecretStr("Bearer alpha")

    def test_looks_once(self) -> None:
        assert put("{{secrets.NESTED}}") == "{{secrets.A}}"

    def test_takes_a_value_as_it_is(self) -> None:
        odd = r"\1 \g<0> {{"
        assert resolved("<{{secrets.A}}>", lambda _: odd, {"A"}) == f"<{odd}>"

    def test_leaves_the_places_of_others(self) -> None:
        assert resolved("{{secrets.A}} {{secrets.B_2}}", VALUES.__getitem__, {"A"}) == "alpha {{secrets.B_2}}"
