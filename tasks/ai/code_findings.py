"""What a model finds in code: the schema it answers in, and what of its answer is true to the code.

A model that is shown numbered lines still names lines that are not there, and says one thing twice. So what it found is
held against the code: findings outside are dropped and counted, doubles become one, and the order is that of the code.
A line is never moved to the nearest that exists: it would blame code nobody looked at. The topic `code_analysis` calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SEVERITIES = ("info", "warning", "error", "critical")
"""From the least to the worst."""

MOST_FINDINGS = 100

FINDINGS_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "findings": {
            "type": "array",
            "maxItems": MOST_FINDINGS,
            "items": {
                "type": "object",
                "properties": {
                    "line": {"type": "integer", "description": "The number of the line."},
                    "severity": {"type": "string", "enum": list(SEVERITIES)},
                    "rule": {
                        "type": "string",
                        "description": "The kind of fault: small letters, hyphens.",
                        "maxLength": 60,
                    },
                    "message": {
                        "type": "string",
                        "description": "What is wrong, and how to mend it.",
                        "maxLength": 500,
                    },
                },
                "required": ["line", "severity", "rule", "message"],
                "additionalProperties": False,
            },
        },
        "summary": {
            "type": "string",
            "description": "How good the code is, in two or three sentences.",
            "maxLength": 1000,
        },
    },
    "required": ["findings", "summary"],
    "additionalProperties": False,
}

LANGUAGES = {
    "bash": ("sh", "bash", "zsh", "shell"),
    "c": ("c", "h"),
    "cpp": ("cpp", "cc", "cxx", "hpp", "hh", "c++"),
    "csharp": ("cs", "c#"),
    "css": ("css", "scss", "less"),
    "dart": ("dart",),
    "dockerfile": ("dockerfile", "containerfile"),
    "elixir": ("ex", "exs"),
    "erlang": ("erl", "hrl"),
    "fsharp": ("fs", "fsx", "f#"),
    "go": ("go", "golang"),
    "groovy": ("groovy", "gradle"),
    "haskell": ("hs",),
    "html": ("html", "htm"),
    "java": ("java",),
    "javascript": ("js", "mjs", "cjs", "jsx", "node"),
    "json": ("json",),
    "kotlin": ("kt", "kts"),
    "lua": ("lua",),
    "makefile": ("makefile", "mk", "make"),
    "objective-c": ("m", "mm", "objc"),
    "perl": ("pl", "pm"),
    "php": ("php",),
    "powershell": ("ps1", "psm1", "pwsh"),
    "python": ("py", "pyi", "pyw", "python2", "python3"),
    "r": ("r",),
    "ruby": ("rb", "rake", "gemfile", "rakefile"),
    "rust": ("rs",),
    "scala": ("scala", "sc"),
    "sql": ("sql", "ddl", "plsql", "tsql"),
    "swift": ("swift",),
    "terraform": ("tf", "tfvars", "hcl"),
    "typescript": ("ts", "tsx", "mts", "cts"),
    "xml": ("xml", "xsd", "xsl", "bpmn"),
    "yaml": ("yaml", "yml"),
}
"""Languages, and the other names they go by: endings of files, files that have none, and what people say."""
BY_NAME = {name: language for language, names in LANGUAGES.items() for name in (language, *names)}


def findings_schema(most: int) -> Mapping[str, Any]:
    """Return the schema with at most so many findings."""
    findings = {**FINDINGS_SCHEMA["properties"]["findings"], "maxItems": most}
    return {**FINDINGS_SCHEMA, "properties": {**FINDINGS_SCHEMA["properties"], "findings": findings}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Findings that are about lines of the code, in their order, and how many were about others."""

    findings: tuple[Mapping[str, Any], ...]
    dropped: int


def lines_of(code: str) -> list[str]:
    """Return the lines of code as editors count them; a line break at the end begins no further one."""
    lines = code.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def numbered(code: str) -> str:
    """Return the code with its number and a bar before each line."""
    lines = lines_of(code)
    width = len(str(len(lines)))
    return "\n".join(f"{number:>{width}}| {line}" for number, line in enumerate(lines, 1))


def verified(findings: Iterable[Mapping[str, Any]], code: str) -> Verified:
    """Hold findings, as `FINDINGS_SCHEMA` has them, against the code they are about.

    Two with one line, rule and message are one, with the worse severity of both; the wording of the first stays.
    """
    last = len(lines_of(code))
    kept: dict[tuple[int, str, str], Mapping[str, Any]] = {}
    dropped = 0
    for finding in findings:
        if not 1 <= finding["line"] <= last:
            dropped += 1
            continue
        known = kept.setdefault(_what(finding), finding)
        if _weight(finding) > _weight(known):
            kept[_what(finding)] = {**known, "severity": finding["severity"]}
    ordered = sorted(kept.values(), key=lambda finding: (int(finding["line"]), -_weight(finding), finding["rule"]))
    return Verified(findings=tuple({**each, "line": int(each["line"])} for each in ordered), dropped=dropped)


def language_of(*, name: str = "", hint: str = "", code: str = "") -> str:
    """Return the language of code: what is said of it, else by the name of its file, else by its first line.

    A hint that is in no list is taken as it is; without any sign the language is an empty text.
    """
    said = hint.strip().lower()
    if said:
        return BY_NAME.get(said, said)
    path = PurePosixPath(name.replace("\\", "/").lower())
    by_file = BY_NAME.get(path.suffix.removeprefix(".")) or BY_NAME.get(path.stem)
    return by_file or _by_interpreter(code.partition("\n")[0])


def _what(finding: Mapping[str, Any]) -> tuple[int, str, str]:
    """Return what makes two findings the same: spelling and spaces do not count."""
    rule, message = (" ".join(str(finding[name]).casefold().split()) for name in ("rule", "message"))
    return int(finding["line"]), rule, message


def _weight(finding: Mapping[str, Any]) -> int:
    return SEVERITIES.index(finding["severity"])


def _by_interpreter(line: str) -> str:
    """Return the language of a script by its `#!` line, such as `#!/usr/bin/env -S python3.11 -u`."""
    if not line.startswith("#!"):
        return ""
    words = [PurePosixPath(word).name for word in line.removeprefix("#!").split() if not word.startswith("-")]
    program = next((word for word in words if word != "env"), "")
    return BY_NAME.get(program.lower()) or BY_NAME.get(program.lower().rstrip("0123456789."), "")
