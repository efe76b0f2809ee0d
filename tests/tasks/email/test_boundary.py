"""Where sending ends to be harmless: before the dot another try is, after it nobody knows, until there is an answer."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from procos.domain.errors import BusinessError, PermanentError, StepCancelled, TransientError
from tasks.generic.email_send import EmailSendInput, email_send
from tests.mail_servers import scripted_server
from tests.raw_service import full_port, named

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.adapters.email.mail import Sent
    from tasks.context import TaskContext

LARGE = "x" * 70 + "\n"


class TestConnectionThatBreaks:
    @pytest.mark.parametrize("moment", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "CONTENT"])
    def test_before_the_dot_is_harmless(self, send: Callable[..., Sent], moment: str) -> None:
        with scripted_server(hangs_up_at=moment) as server, pytest.raises(TransientError, match="nothing was sent"):
            send(server.port, {"text": LARGE * (100_000 if moment == "CONTENT" else 1)})
        assert server.mails == []

    def test_after_the_dot_leaves_nobody_knowing(self, send: Callable[..., Sent]) -> None:
        with scripted_server(hangs_up_at="DOT") as server, pytest.raises(PermanentError) as raised:
            send(server.port)
        assert raised.value.code == "OUTCOME_UNKNOWN"
        assert "was given the whole message, and its answer did not arrive" in str(raised.value)
        assert len(server.mails) == 1

    def test_after_the_answer_does_not_matter(self, send: Callable[..., Sent]) -> None:
        with scripted_server(hangs_up_at="QUIT") as server:
            assert send(server.port).accepted == ["ann@example.org"]


class TestAnswerToTheDot:
    @pytest.mark.parametrize("reply", ["451 4.3.0 later", "452 no room", "421 4.3.2 going down"])
    def test_of_later_is_a_definite_no_for_now(self, send: Callable[..., Sent], reply: str) -> None:
        with scripted_server(replies={"DOT": reply}) as server, pytest.raises(TransientError) as raised:
            send(server.port)
        assert raised.value.code == "SMTP_LATER"
        assert raised.value.retry_in is not None

    @pytest.mark.parametrize(
        ("reply", "code"),
        [
            ("554 5.7.1 spam", "MESSAGE_REFUSED"),
            ("552 5.3.4 too big", "MESSAGE_TOO_LARGE"),
            ("552 too big", "MESSAGE_TOO_LARGE"),
        ],
    )
    def test_of_never_is_an_end_the_model_may_catch(self, send: Callable[..., Sent], reply: str, code: str) -> None:
        with scripted_server(replies={"DOT": reply}) as server, pytest.raises(BusinessError) as raised:
            send(server.port)
        assert raised.value.code == code

    @pytest.mark.parametrize("reply", ["banana", "354 go on", "199 hm", "", "999 ?"])
    def test_that_is_none_leaves_nobody_knowing(self, send: Callable[..., Sent], reply: str) -> None:
        with scripted_server(replies={"DOT": reply}) as server, pytest.raises(PermanentError) as raised:
            send(server.port)
        assert raised.value.code == "OUTCOME_UNKNOWN"

    def test_that_takes_too_long_leaves_nobody_knowing(self, send: Callable[..., Sent]) -> None:
        over = threading.Event()
        with scripted_server(at_dot=lambda: over.wait(4)) as server, pytest.raises(PermanentError) as raised:  # noqa: PT012
            try:
                send(server.port, accept_timeout=0.1)
            finally:
                over.set()
        assert raised.value.code == "OUTCOME_UNKNOWN"

    @pytest.mark.parametrize(
        ("struck_by", "ends_as"), [(SoftTimeLimitExceeded, PermanentError), (StepCancelled, StepCancelled)]
    )
    def test_that_something_cuts_off_is_not_waited_for_twice(
        self, send: Callable[..., Sent], struck_by: type[Exception], ends_as: type[Exception]
    ) -> None:
        over, main = threading.Event(), threading.main_thread().ident
        assert main is not None

        def strike(*_: object) -> None:
            raise struck_by

        def at_dot() -> None:
            signal.pthread_kill(main, signal.SIGUSR1)
            over.wait(4)

        before = signal.signal(signal.SIGUSR1, strike)
        try:
            with scripted_server(at_dot=at_dot) as server, pytest.raises(ends_as) as raised:  # noqa: PT012
                try:
                    send(server.port)
                finally:
                    over.set()
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert getattr(raised.value, "code", "OUTCOME_UNKNOWN") == "OUTCOME_UNKNOWN"


class TestSecondStart:
    def test_of_a_step_that_was_cut_off_sends_nothing(self, step: Callable[..., TaskContext]) -> None:
        mail = EmailSendInput(to=["ann@example.org"], text="hello")
        with scripted_server() as server, pytest.raises(PermanentError, match=r"email\.send_email: ") as raised:
            email_send(mail, replace(step(server.port), started_before=True))
        assert raised.value.code == "OUTCOME_UNKNOWN"
        assert server.commands == []

    def test_of_a_step_that_was_cancelled_sends_nothing(self, step: Callable[..., TaskContext]) -> None:
        mail = EmailSendInput(to=["ann@example.org"], text="hello")
        with scripted_server() as server, pytest.raises(StepCancelled):
            email_send(mail, replace(step(server.port), cancelled=lambda: True))
        assert server.commands == []


class TestTime:
    def test_that_is_over_is_said_before_anything_is_sent(self, step: Callable[..., TaskContext]) -> None:
        mail = EmailSendInput(to=["ann@example.org"], text="hello")
        with scripted_server() as server, pytest.raises(TransientError, match="timed out; nothing was sent"):
            email_send(mail, step(server.port, seconds=1.0))
        assert server.mails == []

    def test_is_shared_between_the_addresses_of_a_host(
        self, step: Callable[..., TaskContext], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mail = EmailSendInput(to=["ann@example.org"], text="hello")
        with scripted_server() as server, full_port() as full:
            named(monkeypatch, full, full, full, server.port)
            sent = email_send(mail, step(server.port, seconds=3.0 + 1.4, connect_timeout=0.5))
        assert sent.accepted == ["ann@example.org"]

    def test_bounds_a_server_that_talks_without_end(self, send: Callable[..., Sent]) -> None:
        endless = "\r\n".join(["250-and so on"] * 20_000)
        with (
            scripted_server(replies={"EHLO": endless}) as server,
            pytest.raises(TransientError, match="closed, or an answer took too long"),
        ):
            send(server.port)

    def test_bounds_a_server_that_says_nothing(self, send: Callable[..., Sent]) -> None:
        with scripted_server(replies={"MAIL": "250-wait"}) as server, pytest.raises(TransientError):
            send(server.port, reply_timeout=0.1)
        assert server.mails == []
