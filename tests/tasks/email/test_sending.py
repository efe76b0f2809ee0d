"""What arrives at a real mail server, and what of it the process learns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from procos.blobs import blob_store
from procos.domain.errors import BusinessError, PermanentError, TransientError
from tasks.generic.email_send import EmailSendInput, email_send

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.adapters.email.mail import Sent
    from tasks.context import TaskContext
    from tests.mail_servers import Postbox

BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


def text_of(box: Postbox, subtype: str) -> str:
    part = box.mail.get_body((subtype,))
    assert part is not None
    content: str = part.get_content()
    return content.replace("\r\n", "\n").strip()


class TestMail:
    def test_arrives(self, send: Callable[..., Sent], box: Postbox) -> None:
        sent = send(box.port)
        assert sent.model_dump() == {
            "message_id": "<task-1.procos@example.org>",
            "accepted": ["ann@example.org"],
            "refused": {},
        }
        assert box.envelopes[0].mail_from == "shop@example.org"
        assert {name: box.mail[name] for name in ("From", "To", "Subject", "Message-ID", "MIME-Version")} == {
            "From": "Shop <shop@example.org>",
            "To": "ann@example.org",
            "Subject": "Your order",
            "Message-ID": "<task-1.procos@example.org>",
            "MIME-Version": "1.0",
        }
        assert text_of(box, "plain") == "It is on its way."

    def test_is_text_html_or_both(self, send: Callable[..., Sent], box: Postbox) -> None:
        send(box.port, {"html": "<p>Grüße</p>"})
        assert (text_of(box, "plain"), text_of(box, "html")) == ("It is on its way.", "<p>Grüße</p>")
        box.envelopes.clear()
        send(box.port, {"text": None, "html": "<b>only</b>"})
        assert box.mail.get_content_type() == "text/html"

    def test_goes_to_all_and_names_no_hidden_one(self, send: Callable[..., Sent], box: Postbox) -> None:
        lists = {
            "to": "Ann <ann@example.org>, ann@example.org",
            "cc": ["bob@example.org"],
            "bcc": '["eve@example.org"]',
        }
        sent = send(box.port, {**lists, "reply_to": "help@example.org"})
        assert sent.accepted == box.envelopes[0].rcpt_tos == ["ann@example.org", "bob@example.org", "eve@example.org"]
        assert b"eve" not in box.raw
        assert b"bcc" not in box.raw.lower()
        assert (box.mail["Cc"], box.mail["Reply-To"]) == ("bob@example.org", "help@example.org")

    @pytest.mark.parametrize(
        "subject",
        [
            "Größe 10 — prêt à porter",
            "ご注文の確認" * 20,
            "🎉" * 50,
            "a" * 300,
            "word " * 90,
            "=?utf-8?q?not=0Aencoded?=",
            "שלום",
            "",
        ],
    )
    def test_has_the_very_subject(self, send: Callable[..., Sent], box: Postbox, subject: str) -> None:
        send(box.port, {"subject": subject})
        assert (box.mail["Subject"] or "").strip() == subject.strip()
        assert max(map(len, box.raw.split(b"\r\n"))) <= 998
        assert box.raw.isascii()

    @pytest.mark.parametrize("name", ["Ann B. Cole", 'Ann "the boss"', "Jürgen Müller", "山田 太郎", "a, b", "=?q?"])
    def test_names_people_as_they_are_called(self, send: Callable[..., Sent], box: Postbox, name: str) -> None:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        send(box.port, {"to": [f'"{quoted}" <ann@example.org>']})
        (address,) = box.mail["To"].addresses
        assert (address.display_name, address.addr_spec) == (name, "ann@example.org")

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("x" * 2000, id="one-word"),
            pytest.param("x" * 950 + " " + "y" * 1040, id="two-words"),
            pytest.param("xyz " * 499, id="many-words"),
        ],
    )
    def test_has_no_line_that_is_too_long(self, send: Callable[..., Sent], box: Postbox, value: str) -> None:
        send(box.port, {"headers": {"X-Report": value.strip()}})
        assert max(map(len, box.raw.split(b"\r\n"))) <= 998
        assert box.mail["X-Report"] == value.strip()

    def test_bears_further_headers(self, send: Callable[..., Sent], box: Postbox) -> None:
        reference = f"<{'x' * 120}@example.org>"
        send(
            box.port, {"headers": {"References": reference, "X-Order": "Nº 7", "List-Unsubscribe": "<https://e.org/u>"}}
        )
        assert box.mail["References"] == reference
        assert box.mail["X-Order"] == "Nº 7"

    def test_ends_at_no_dot_of_its_own(self, send: Callable[..., Sent], box: Postbox) -> None:
        text = ".\n..\nMAIL FROM:<eve@example.org>\r.\r\n.\r\nDATA\n.hidden"
        send(box.port, {"text": text})
        assert text_of(box, "plain").split("\n") == text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        assert BARE.search(box.raw) is None

    def test_goes_through_an_old_server_line_by_line(self, send: Callable[..., Sent], box: Postbox) -> None:
        send(box.port, {"text": "é" * 5000 + "\n" + "x" * 5000})
        assert max(map(len, box.raw.split(b"\r\n"))) <= 78
        assert text_of(box, "plain") == "é" * 5000 + "\n" + "x" * 5000


class TestAttachments:
    def test_come_from_the_store_and_from_texts(self, step: Callable[..., TaskContext], box: Postbox) -> None:
        context, content = step(box.port), bytes(range(256)) * 1000
        reference = context.blobs.put(content, media_type="application/pdf", name="Rechnung für März.pdf")
        given = [
            reference.to_json(),
            {"content": "a;b\n1;2\n", "name": "t.csv", "media_type": "text/csv"},
            {"content": "hi"},
        ]
        email_send(EmailSendInput.model_validate({"to": "ann@example.org", "text": "x", "attachments": given}), context)
        found = list(box.mail.iter_attachments())
        assert [part.get_filename() for part in found] == ["Rechnung für März.pdf", "t.csv", "attachment-3.txt"]
        assert [part.get_content_type() for part in found] == ["application/pdf", "text/csv", "text/plain"]
        assert found[0].get_payload(decode=True) == content
        assert found[1].get_payload(decode=True) == b"a;b\n1;2\n"

    @pytest.mark.parametrize(
        "name", ["a b.txt", "ü" * 120 + ".txt", "🎉.pdf", 'say "hi".txt', "100%'s.txt", "=?q?.txt"]
    )
    def test_have_the_very_name(self, send: Callable[..., Sent], box: Postbox, name: str) -> None:
        send(box.port, {"attachments": {"content": "x", "name": name}})
        (part,) = box.mail.iter_attachments()
        assert part.get_filename() == name
        assert max(map(len, box.raw.split(b"\r\n"))) <= 998

    def test_that_are_too_large_are_not_even_read(self, step: Callable[..., TaskContext], box: Postbox) -> None:
        context = step(box.port, largest_message=10_000)
        reference = context.blobs.put(b"x" * 9000)
        blob_store(context.settings.blobs).remove("instance-1")
        mail = EmailSendInput(to=["ann@example.org"], text="x", attachments=[reference])
        with pytest.raises(BusinessError, match="more than 10000 bytes") as raised:
            email_send(mail, context)
        assert raised.value.code == "MESSAGE_TOO_LARGE"

    def test_that_are_gone_cost_no_session(self, step: Callable[..., TaskContext]) -> None:
        context = step(9)  # nobody listens there
        reference = context.blobs.put(b"x")
        blob_store(context.settings.blobs).remove("instance-1")
        with pytest.raises(PermanentError) as raised:
            email_send(EmailSendInput(to=["ann@example.org"], text="x", attachments=[reference]), context)
        assert raised.value.code == "BLOB_MISSING"


class TestRecipients:
    TWO: ClassVar[dict[str, Any]] = {"to": "ann@example.org, bob@example.org"}

    def test_that_are_refused_stand_in_the_result(self, send: Callable[..., Sent], box: Postbox) -> None:
        box.refused["bob@example.org"] = "550 5.1.1 no such user here"
        sent = send(box.port, self.TWO)
        assert sent.accepted == ["ann@example.org"]
        assert sent.refused == {"bob@example.org": "550 5.1.1 no such user here"}
        assert len(box.envelopes) == 1

    def test_all_refused_are_an_end_the_model_may_catch(self, send: Callable[..., Sent], box: Postbox) -> None:
        box.refused = {"ann@example.org": "550 5.1.1 who is ann?", "bob@example.org": "550 5.2.1 off"}
        with pytest.raises(
            BusinessError, match=r"refuses 2 of the recipients: 550 5\.1\.1 \(no such mailbox\)"
        ) as raised:
            send(box.port, self.TWO)
        assert raised.value.code == "RECIPIENTS_REFUSED"
        assert raised.value.variables["refused"] == box.refused
        assert "ann" not in raised.value.message

    def test_refused_for_now_are_tried_again(self, send: Callable[..., Sent], box: Postbox) -> None:
        box.refused = {"ann@example.org": "451 4.7.1 greylisted", "bob@example.org": "550 5.1.1 gone"}
        with pytest.raises(TransientError, match=r"refuses every recipient: 451 4\.7\.1") as raised:
            send(box.port, self.TWO)
        assert raised.value.retry_in is not None
        assert raised.value.retry_in.total_seconds() == 300

    def test_are_all_or_none_where_the_model_says_so(self, send: Callable[..., Sent], box: Postbox) -> None:
        box.refused["bob@example.org"] = "550 5.1.1 gone"
        with pytest.raises(BusinessError, match="refuses 1 of the recipients"):
            send(box.port, {**self.TWO, "all_or_none": True})
        assert box.envelopes == []

    def test_of_other_scripts_need_a_server_that_takes_them(self, send: Callable[..., Sent], box: Postbox) -> None:
        assert send(box.port, {"to": "Jürgen <jürgen@müller.example>"}).accepted == ["jürgen@müller.example"]
        assert "SMTPUTF8" in box.envelopes[0].mail_options
        assert box.envelopes[0].rcpt_tos == ["jürgen@müller.example"]

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"most_recipients": 1}, "to, cc, bcc: more than 1 recipients"),
            (
                {"allowed_recipients": "@shop.example, ann@example.org"},
                "to, cc, bcc: the connection allows others only",
            ),
            ({"sender": "other@example.org"}, "sender: the connection allows others only"),
        ],
    )
    def test_and_senders_are_those_the_connection_allows(
        self, send: Callable[..., Sent], box: Postbox, fields: dict[str, Any], text: str
    ) -> None:
        with pytest.raises(BusinessError, match=text) as raised:
            send(box.port, {**self.TWO, "sender": "shop@example.org"}, **fields)
        assert raised.value.code == "INVALID_INPUT"
        assert box.envelopes == []

    def test_may_get_mail_in_another_allowed_name(self, send: Callable[..., Sent], box: Postbox) -> None:
        send(box.port, {"sender": "Billing <billing@b.example>"}, allowed_senders="@b.example")
        assert box.mail["From"] == "Billing <billing@b.example>"
        assert box.mail["Message-ID"].endswith("@b.example>")


class TestServer:
    def test_that_refuses_the_sender_needs_an_operator(self, send: Callable[..., Sent], box: Postbox) -> None:
        box.refuses_sender = "550 5.7.60 not yours"
        with pytest.raises(PermanentError, match=r"refuses the sender: 550 5\.7\.60 \(not permitted") as raised:
            send(box.port)
        assert raised.value.code == "SENDER_REFUSED"

    def test_that_says_how_much_it_takes_is_not_given_more(self, send: Callable[..., Sent], box: Postbox) -> None:
        with pytest.raises(BusinessError, match="takes at most 1000000 bytes") as raised:
            send(box.port, {"text": "x" * 70 + "\n" + "line\n" * 300_000})
        assert raised.value.code == "MESSAGE_TOO_LARGE"

    def test_that_is_not_there_is_tried_again(self, send: Callable[..., Sent]) -> None:
        with pytest.raises(TransientError, match=r"127\.0\.0\.1:9 was not made, or broke: Connection refused; nothing"):
            send(9)
