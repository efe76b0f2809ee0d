"""What a server answered to one call, status, headers and body read whole, or that it did not.

`Connections` makes them. Headers stay as they came until somebody asks: of most answers only the status is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class NoAnswerError(Exception):
    """Raised when a call has no answer, or not all of it; who knows the service makes an `UnreachableError` of it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Headers:
    """The header lines of an answer as libcurl hands them over, interim answers first; none where nobody asked."""

    lines: tuple[bytes, ...] = ()

    def get(self, name: str) -> str | None:
        """Return the value under a name, whatever its case; several are joined by a comma, None where there is none.

        Source: RFC 9110, 5.3 "Field Order".
        """
        wanted, values = name.lower(), []
        for line in reversed(self.lines):
            if line.startswith(b"HTTP/"):
                break  # what stands before belongs to an interim answer, such as 103
            found, _, value = line.decode("latin-1").partition(":")
            if found.strip().lower() == wanted:
                values.append(value.strip())
        return ", ".join(reversed(values)) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """An answer that came whole; `faults.Answer` is what is made of one that is not success."""

    status: int
    headers: Headers = Headers()
    data: bytes = field(default=b"", repr=False)
