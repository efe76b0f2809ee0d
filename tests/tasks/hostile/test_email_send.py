"""Hostile mail: whoever fills in a form gets no header, no recipient and no command of their own."""

from __future__ import annotations

import io
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from procos.domain.errors import TaskError
from tasks.adapters.email.composing import composed
from tasks.adapters.email.connection import EmailConnection
from tasks.adapters.email.mail import Mail
from tasks.adapters.email.transaction import stuffed

CONNECTION = EmailConnection(type="email", host="127.0.0.1", security="none", sender="shop@example.org")
EVE = "\r\nBcc: eve@example.org"

REFUSED: dict[str, dict[str, Any]] = {
    "subject-crlf": {"subject": f"hi{EVE}"},
    "subject-lf": {"subject": "hi\nBcc: eve@example.org"},
    "subject-cr": {"subject": "hi\rBcc: eve@example.org"},
    "subject-nul": {"subject": "hi\0"},
    "subject-next-line": {"subject": "hi\u0085Bcc: eve@example.org"},
    "subject-line-separator": {"subject": "hi\u2028Bcc: eve@example.org"},
    "subject-paragraph-separator": {"subject": "hi\u2029x"},
    "subject-vertical-tab": {"subject": "hi\x0bx"},
    "subject-surrogate": {"subject": "hi\ud800"},
    "subject-too-long": {"subject": "x" * 501},
    "to-crlf": {"to": f"ann@example.org{EVE}"},
    "to-crlf-in-a-list": {"to": [f"ann@example.org{EVE}"]},
    "to-crlf-in-the-name": {"to": [f"Ann{EVE} <ann@example.org>"]},
    "to-command": {"to": ["ann@example.org>\r\nRCPT TO:<eve@example.org"]},
    "to-two-in-one": {"to": ["<ann@example.org> <eve@example.org>"]},
    "to-parameter": {"to": ["ann@example.org> NOTIFY=NEVER <eve@example.org"]},
    "to-quoted-local-part": {"to": ['"a b"@example.org']},
    "to-comment": {"to": ["ann@example.org(eve@example.org)"]},
    "to-route": {"to": ["<@evil.example:ann@example.org>"]},
    "to-percent-and-blank": {"to": ["ann @example.org"]},
    "to-literal": {"to": ["ann@[127.0.0.1]"]},
    "to-two-ats": {"to": ["ann@evil.example@example.org"]},
    "to-fullwidth-at": {"to": ["ann\uff20example.org"]},
    "to-zero-width": {"to": ["ann\u200b@example.org"]},
    "to-turned-name": {"to": ["\u202egro.elpmaxe <ann@example.org>"]},
    "to-open-quote": {"to": ['"Ann <ann@example.org>']},
    "to-dots": {"to": ["ann..b@example.org"]},
    "to-label-of-a-hyphen": {"to": ["ann@-example.org"]},
    "to-endless": {"to": ["a" * 65 + "@example.org"]},
    "to-nothing": {"to": []},
    "reply-to-crlf": {"reply_to": f"ann@example.org{EVE}"},
    "sender-crlf": {"sender": f"shop@example.org{EVE}"},
    "sender-two": {"sender": "shop@example.org, eve@example.org"},
    "header-name-crlf": {"headers": {"X-A\r\nBcc": "eve@example.org"}},
    "header-name-colon": {"headers": {"Bcc: eve@example.org\r\nX": "1"}},
    "header-name-blank": {"headers": {"Bcc ": "eve@example.org"}},
    "header-name-empty": {"headers": {"": "x"}},
    "header-name-of-other-scripts": {"headers": {"\u0412cc": "eve@example.org"}},
    "header-bcc": {"headers": {"bCC": "eve@example.org"}},
    "header-from": {"headers": {"FROM": "ceo@example.org"}},
    "header-sender": {"headers": {"Sender": "ceo@example.org"}},
    "header-content-type": {"headers": {"Content-Type": "text/html"}},
    "header-transfer-encoding": {"headers": {"content-transfer-encoding": "7bit"}},
    "header-message-id": {"headers": {"Message-Id": "<x@y>"}},
    "header-dkim": {"headers": {"DKIM-Signature": "v=1"}},
    "header-resent": {"headers": {"Resent-To": "eve@example.org"}},
    "header-twice": {"headers": {"X-A": "1", "x-a": "2"}},
    "header-value-crlf": {"headers": {"X-A": f"1{EVE}"}},
    "header-value-separator": {"headers": {"X-A": "1\u2028Bcc: eve"}},
    "header-text-that-is-none": {"headers": "[1, 2]"},
    "header-nested-deep": {"headers": "[" * 100_000},
    "file-name-crlf": {"attachments": [{"content": "x", "name": f"a.txt{EVE}"}]},
    "file-name-folder": {"attachments": [{"content": "x", "name": "../../etc/passwd"}]},
    "file-name-backslash": {"attachments": [{"content": "x", "name": "..\\boot.ini"}]},
    "file-name-turned": {"attachments": [{"content": "x", "name": "invoice\u202efdp.exe"}]},
    "file-name-dots": {"attachments": [{"content": "x", "name": ".."}]},
    "media-type-crlf": {"attachments": [{"content": "x", "media_type": f"text/plain{EVE}"}]},
    "blob-of-no-store": {"attachments": [{"procos_blob": 1, "key": "../x/" + "0" * 64, "sha256": "0" * 64, "size": 1}]},
    "body-nul": {"text": "a\0b"},
    "body-surrogate": {"html": "\udfff"},
    "unknown-field": {"envelope_from": "ceo@example.org"},
}  # fmt: skip

HARMLESS: dict[str, dict[str, Any]] = {
    "body-that-ends-itself": {"text": "x\r\n.\r\nMAIL FROM:<eve@example.org>\n.\n\r.\r"},
    "subject-encoded": {"subject": "=?utf-8?b?DQpCY2M6IGV2ZUBleGFtcGxlLm9yZw==?="},
    "name-encoded": {"to": ["=?utf-8?q?a=0D=0ABcc:_eve?= <ann@example.org>"]},
    "name-with-commas": {"to": '"Ann, eve@example.org" <ann@example.org>'},
    "file-name-quote": {"attachments": [{"content": "x", "name": 'a"; filename="b.exe'}]},
    "file-name-encoded": {"attachments": [{"content": "x", "name": "=?utf-8?q?=0D=0A?=.txt"}]},
    "attachment-boundary": {"attachments": [{"content": "\r\n--=_procos_\r\n\r\n--"}]},
    "attachment-multipart": {"attachments": [{"content": "x", "media_type": "multipart/mixed"}]},
}


def mail(**fields: Any) -> Mail:
    return Mail.model_validate({"to": ["ann@example.org"], "text": "x", **fields})


def written(of: Mail) -> bytes:
    with composed(of, CONNECTION, key="step-1", now=datetime.now(UTC), blobs=None) as letter:
        assert [each.address for each in letter.recipients] == ["ann@example.org"]
        return letter.content.read()


class TestMail:
    @pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED)
    def test_that_would_say_something_else_is_refused(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValidationError) as raised:
            mail(**fields)
        assert "eve@" not in str(raised.value)

    @pytest.mark.parametrize("fields", HARMLESS.values(), ids=HARMLESS)
    def test_that_looks_like_it_arrives_as_it_is(self, fields: dict[str, Any]) -> None:
        content = written(mail(**fields))
        headers = content.partition(b"\r\n\r\n")[0].lower()
        assert b"\r\nbcc:" not in headers
        assert content.replace(b"\r\n", b"").count(b"\n") + content.replace(b"\r\n", b"").count(b"\r") == 0
        assert content.endswith(b"\r\n")

    def test_has_no_line_that_is_a_dot(self) -> None:
        sent = b"".join(stuffed(io.BytesIO(written(mail(text="a\n.\n..\n.b\n")))))
        assert b"\r\n.\r\n" not in sent
        assert b"\r\n..\r\n...\r\n..b\r\n" in sent

    @settings(max_examples=60, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from([*Mail.model_fields]),
            st.none() | st.booleans() | st.integers() | st.text(max_size=30)
            | st.lists(st.text(max_size=10), max_size=2)
            | st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=2),
            max_size=6,
        )
    )  # fmt: skip
    def test_of_any_kind_ends_as_a_message_or_a_clear_no(self, fields: dict[str, Any]) -> None:
        with suppress(ValidationError, TaskError):
            wanted = Mail.model_validate({"to": ["ann@example.org"], "text": "x", **fields})
            with composed(wanted, CONNECTION, key="step-1", now=datetime.now(UTC), blobs=None) as letter:
                assert letter.content.read().endswith(b"\r\n")
