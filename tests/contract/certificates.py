"""Certificates of an authority of our own, made with openssl for one test run."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.availability import require

if TYPE_CHECKING:
    from pathlib import Path

EC_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs what the servers and clients of a test show one another."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._own = Pair(certificate=folder / f"{name}.pem", key=folder / f"{name}.key")
        _openssl(
            "req", "-x509", *EC_KEY, "-nodes", "-days", "1", "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
            "-keyout", self._own.key, "-out", self._own.certificate,
        )  # fmt: skip

    @property
    def certificate(self) -> Path:
        """What others trust."""
        return self._own.certificate

    def sign(self, name: str, *, passphrase: str | None = None) -> Pair:
        """Make a key, locked with a passphrase if one is given, and a certificate for 127.0.0.1."""
        pair = Pair(certificate=self._folder / f"{name}.pem", key=self._folder / f"{name}.key")
        _openssl(
            "req", "-x509", *EC_KEY, *(("-passout", f"pass:{passphrase}") if passphrase else ("-nodes",)),
            "-days", "1", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-CA", self._own.certificate, "-CAkey", self._own.key, "-keyout", pair.key, "-out", pair.certificate,
        )  # fmt: skip
        return pair


def _openssl(*arguments: object) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        require("openssl is not installed: apt-get install openssl")
    subprocess.run(
        [str(openssl), *map(str, arguments)], check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL
    )
