"""What an HTTP request is, and what comes back: the two models of the adapter's operation."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from procos.blobs.reference import BlobReference, is_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
"""A token of RFC 9110, section 5.6.2."""
METHOD = re.compile(r"[A-Z][A-Z-]{0,19}")
NOT_SPOKEN = {"CONNECT", "TRACE"}
"""One opens tunnels through proxies, the other sends credentials back to whoever asked."""
REPEATABLE = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND", "QUERY", "REPORT", "SEARCH"}
"""Methods that mean the same once or twice: RFC 9110, section 9.2.2, RFC 4918 and RFC 5323."""
OURS = {"host", "content-length", "transfer-encoding", "connection", "trailer", "upgrade", "keep-alive", "expect"}
"""Headers that frame a request; who sets them himself could smuggle a second one."""
LONGEST_URL = 8000
"""RFC 9110, section 4.1, asks for at least that much."""
LARGEST_HEADERS = 32 * 1024
MOST_HEADERS = 64


def _parsed(given: object) -> object:
    """Take JSON text for what it means: a constant of a model is always text."""
    if isinstance(given, str):
        try:
            return json.loads(given)
        except (ValueError, RecursionError):
            raise PydanticCustomError("http_json", "expected a JSON object") from None
    return given


def _blob(given: object) -> object:
    if not is_reference(given):
        return given
    try:
        return BlobReference.model_validate(given)
    except ValidationError:
        raise PydanticCustomError("http_blob", "is no reference to a blob") from None


Scalar = str | int | float | bool | None
Pairs = Annotated[dict[str, Scalar | list[Scalar]], BeforeValidator(_parsed)]


class HttpRequest(BaseModel):
    """One request; `path` is joined under the base of a connection, `url` is for requests without one."""

    model_config = ConfigDict(hide_input_in_errors=True)

    method: str = Field("GET", description="GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS or a method of the service")
    url: str | None = Field(None, max_length=LONGEST_URL, description="absolute, https; only without a connection")
    path: str | None = Field(None, max_length=LONGEST_URL, description="under the connection's URL; may hold {name}")
    path_parameters: Annotated[dict[str, str | int | float | bool], BeforeValidator(_parsed)] = Field(
        default_factory=dict, description="what the {name} of path or url stand for; quoted for their place"
    )
    query: Pairs = Field(default_factory=dict, description="JSON object; a list repeats its name, null is left out")
    headers: Annotated[dict[str, str], BeforeValidator(_parsed)] = Field(
        default_factory=dict, description="JSON object; may hold {{secrets.NAME}}"
    )
    body: Annotated[BlobReference | Any, BeforeValidator(_blob)] = Field(
        None, description="what is sent, as body_as says; a file is sent as it is"
    )
    body_as: Literal["json", "form", "multipart", "text"] | None = Field(
        None, description="json unless said otherwise; a text is then JSON text"
    )
    response_as: Literal["auto", "json", "text", "blob", "none"] = Field(
        "auto", description="auto goes by the media type; blob keeps a file"
    )
    expected_statuses: Annotated[list[Annotated[int, Field(ge=200, le=599)]], BeforeValidator(_parsed)] = Field(
        default_factory=list, max_length=50, description="statuses beside 2xx that are no error here, such as [404]"
    )
    timeout: float | None = Field(None, gt=0, le=24 * 3600, description="seconds for all of it; empty: the step's")
    idempotent: bool = Field(False, description="whether a POST or PATCH may be sent twice")

    @field_validator("method")
    @classmethod
    def _is_a_method(cls, given: str) -> str:
        method = given.upper()
        if not METHOD.fullmatch(method) or method in NOT_SPOKEN:
            raise PydanticCustomError("http_method", "expected a method such as GET; CONNECT and TRACE are not spoken")
        return method

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        if len(headers) > MOST_HEADERS or sum(map(len, [*headers, *headers.values()])) > LARGEST_HEADERS:
            raise PydanticCustomError("http_headers", "too many or too long")
        for name, value in headers.items():
            if not HEADER_NAME.fullmatch(name):
                raise PydanticCustomError("http_header", "a name has characters it may not have")
            if name.lower() in OURS:
                raise PydanticCustomError("http_header", "{name} is set by ProcOS alone", {"name": name})
            if not value.replace("\t", " ").isprintable():
                raise PydanticCustomError(
                    "http_header", "{name} holds a line break or control character", {"name": name}
                )
        return headers

    @model_validator(mode="after")
    def _has_one_address(self) -> HttpRequest:
        if self.url is not None and self.path is not None:
            raise PydanticCustomError("http_address", "url and path are both set; path is for a connection")
        return self


class HttpAnswer(BaseModel):
    """What came back."""

    status: int
    reason: str
    headers: dict[str, str]
    """Names in small letters; cookies are struck out."""
    body: Any
    """JSON or a text, the reference to a blob, or null."""
    url: str
    """Where the answer came from, without query: credentials may stand there."""
    elapsed_ms: int
    redirects: int
    attempts: int
    """Two where a token had run out."""


def is_repeatable(request: HttpRequest) -> bool:
    """Whether sending it twice is as good as sending it once, as far as the request itself can tell."""
    return request.idempotent or request.method in REPEATABLE


def fields_of(answer: Mapping[str, object]) -> dict[str, object]:
    """Return an answer as variables of a process, where a plain `status` or `body` would be somebody else's."""
    return {f"http_{name}": value for name, value in answer.items()}
