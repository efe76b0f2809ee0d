"""What a provider's refusals become: each status and code, through the real client."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from procos.domain.errors import BusinessError, PermanentError, TaskError, TransientError
from procos.settings import load_settings
from tasks.ai.ai_query import AiQueryInput, ai_query
from tasks.ai.providers.faults import MOST_PATIENCE, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from procos.settings import Settings
    from tasks.context import TaskContext
    from tests.tasks.conftest import ProviderServer

QUERY = AiQueryInput(user_query="why?", provider="openai")


@pytest.fixture
def fail(
    provider_server: ProviderServer, openai_settings: Settings, context_with: Callable[..., TaskContext]
) -> Callable[..., Any]:
    """Return a function that lets the provider answer with an error, and returns ours."""

    def fail(status: int, error: Any = None, headers: dict[str, str] | None = None) -> TaskError:
        body = error if isinstance(error, bytes) else {"error": error or {"message": "said"}}
        provider_server.reply(body, status=status, headers=headers)
        with pytest.raises(TaskError) as raised:
            ai_query(QUERY, context_with(openai_settings))
        assert provider_server.paths == ["/v1/chat/completions"], "the client must not retry"
        assert provider_server.key not in str(raised.value)
        return raised.value

    return fail


class TestTaskError:
    @pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 529])
    def test_is_transient_for_a_server_in_trouble(self, fail: Callable[..., Any], status: int) -> None:
        error = fail(status, headers={"retry-after": "7"})
        assert isinstance(error, TransientError)
        assert error.retry_in == timedelta(seconds=7)
        assert f"answered {status} (said)" in str(error)

    @pytest.mark.parametrize("status", [401, 403])
    def test_names_the_setting_of_a_refused_key(self, fail: Callable[..., Any], status: int) -> None:
        error = fail(status, {"message": "Incorrect API key provided: sk-test-*****", "code": "invalid_api_key"})
        assert isinstance(error, PermanentError)
        assert error.code == "AUTH_FAILED"
        assert "PROCOS_OPENAI_API_KEY" in str(error)
        assert "sk-test" not in str(error)

    def test_names_model_and_settings_after_404(self, fail: Callable[..., Any]) -> None:
        error = fail(404, {"message": "no such model"})
        assert isinstance(error, PermanentError)
        assert all(
            part in str(error) for part in ("'model'", "no such model", "PROCOS_OPENAI_MODEL", "PROCOS_OPENAI_BASE_URL")
        )

    @pytest.mark.parametrize(
        ("status", "error", "code"),
        [
            (400, {"code": "content_filter", "message": "said"}, "CONTENT_FILTERED"),
            (400, {"code": "content_policy_violation"}, "CONTENT_FILTERED"),
            (400, {"code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}}, "CONTENT_FILTERED"),
            (400, {"code": "context_length_exceeded"}, "CONTEXT_TOO_LONG"),
            (400, {"code": 400, "type": "exceed_context_size_error", "n_ctx": 2048}, "CONTEXT_TOO_LONG"),
            (400, {"code": "string_above_max_length"}, "CONTEXT_TOO_LONG"),
            (413, b"<html>too large</html>", "CONTEXT_TOO_LONG"),
        ],
    )
    def test_is_a_bpmn_error_for_what_a_model_can_catch(
        self, fail: Callable[..., Any], status: int, error: Any, code: str
    ) -> None:
        raised = fail(status, error)
        assert isinstance(raised, BusinessError)
        assert raised.code == code

    @pytest.mark.parametrize("status", [302, 400, 422, 451])
    def test_is_permanent_for_anything_else(self, fail: Callable[..., Any], status: int) -> None:
        error = fail(status, {"message": "top_p\nis   wrong", "code": "bad_value", "param": "top_p"})
        assert isinstance(error, PermanentError)
        assert f"answered {status}" in str(error)

    def test_quotes_no_sentence_that_may_quote_the_question(self, fail: Callable[..., Any]) -> None:
        error = fail(400, {"message": "invalid input: 'Jane Doe has'", "code": "bad_value", "param": "messages"})
        assert "answered 400 (bad_value, messages)" in str(error)
        assert "Jane" not in str(error)

    def test_strikes_out_the_key_and_cuts_long_words(
        self, fail: Callable[..., Any], provider_server: ProviderServer
    ) -> None:
        message = str(fail(500, {"message": f"your key {provider_server.key} " + "x" * 5000}))
        assert "your key ***" in message
        assert len(message) < 400

    @pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"null", b'"text"', b'{"error": "text"}'])
    def test_reads_bodies_of_any_kind(self, fail: Callable[..., Any], body: bytes) -> None:
        error = fail(502, body)
        assert isinstance(error, TransientError)
        assert "html" not in str(error)

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "gopher://127.0.0.1/v1"])
    def test_is_transient_where_nobody_answers(self, context_with: Callable[..., TaskContext], url: str) -> None:
        settings = load_settings({"PROCOS_OPENAI_API_KEY": "key"}, dotenv=None)
        settings = settings.model_copy(update={"openai": settings.openai.model_copy(update={"base_url": url})})
        with pytest.raises(TransientError, match="cannot be reached"):
            ai_query(QUERY, context_with(settings))


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({}, None),
            ({"retry-after": "20"}, timedelta(seconds=20)),
            ({"retry-after": "1.5"}, timedelta(seconds=1.5)),
            ({"retry-after": "20", "retry-after-ms": "2500"}, timedelta(seconds=2.5)),
            ({"retry-after": "0"}, timedelta(seconds=1)),
            ({"retry-after": "-5"}, timedelta(seconds=1)),
            ({"retry-after": "86400"}, MOST_PATIENCE),
            ({"retry-after": "1e400"}, None),
            ({"retry-after": "nan"}, None),
            ({"retry-after": "soon"}, None),
            (
                {"retry-after": "Mon, 23 Nov 2026 12:00:40 GMT", "date": "Mon, 23 Nov 2026 12:00:00 GMT"},
                timedelta(seconds=40),
            ),
            ({"retry-after": "Mon, 23 Nov 2026 12:00:40 GMT"}, None),
            ({"retry-after": "Mon, 23 Nov 2026 12:00:40", "date": "Mon, 23 Nov 2026 12:00:00 GMT"}, None),
        ],
    )
    def test_waits_within_reason(self, headers: dict[str, str], expected: timedelta | None) -> None:
        assert retry_after(headers) == expected
