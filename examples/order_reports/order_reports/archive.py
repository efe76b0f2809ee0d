"""The archive of reports as an adapter: a SQLite file here, and whatever service you have in its place.

A connection says where it is and signs what is filed:

    PROCOS_CONNECTIONS__REPORTS__TYPE=report_archive
    PROCOS_CONNECTIONS__REPORTS__FILE=/srv/reports.db
    PROCOS_CONNECTIONS__REPORTS__KEY={{secrets.REPORT_KEY}}
"""

import hmac
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pydantic import BaseModel, Field, SecretStr

from procos.domain.errors import BusinessError, PermanentError, TransientError
from tasks.adapters.adapter import Adapter, Call, Connection, Health, operation

HEALTH_SECONDS = 2.0
TABLE = "CREATE TABLE IF NOT EXISTS reports (number TEXT PRIMARY KEY, text TEXT NOT NULL, signature TEXT NOT NULL)"


class ArchiveConnection(Connection):
    """What an operator says of an archive."""

    file: Path
    """The file it is kept in; its folder must be there."""
    key: SecretStr
    """What signs each report that is filed."""


class Report(BaseModel):
    """A report to file."""

    number: str = Field(min_length=1, max_length=40)
    text: str = Field(max_length=1_000_000)


class Wanted(BaseModel):
    """A report to read."""

    number: str = Field(min_length=1, max_length=40)


class Filed(BaseModel):
    """A report that lies in the archive."""

    number: str
    signature: str


class ReportArchive(Adapter):
    """An archive that keeps each report once, under its number."""

    name = "report_archive"
    connection = ArchiveConnection

    @operation(repeatable=True)
    def file_report(self, report: Report, call: Call) -> Filed:
        """File a report under its number; the same one again changes nothing."""
        signature = hmac.digest(self._connection.key.get_secret_value().encode(), report.text.encode(), "sha256").hex()
        with self._archive(call.remaining()) as archive:
            archive.execute(TABLE)
            row = (report.number, report.text, signature)
            archive.execute("INSERT INTO reports VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row)
            (there,) = archive.execute("SELECT text FROM reports WHERE number = ?", (report.number,)).fetchone()
            archive.commit()
        if there != report.text:
            raise BusinessError("REPORT_DIFFERS", "another report lies in the archive under this number")
        return Filed(number=report.number, signature=signature)

    @operation(repeatable=True)
    def read_report(self, wanted: Wanted, call: Call) -> Report:
        """Read the report that was filed under a number."""
        with self._archive(call.remaining()) as archive:
            archive.execute(TABLE)
            found = archive.execute("SELECT text FROM reports WHERE number = ?", (wanted.number,)).fetchone()
        if found is None:
            raise BusinessError("REPORT_UNKNOWN", "no report lies in the archive under this number")
        return Report(number=wanted.number, text=found[0])

    def health_check(self) -> Health:
        """Open the archive."""
        began = time.monotonic()
        with self._archive(HEALTH_SECONDS) as archive:
            archive.execute("SELECT name FROM sqlite_master").fetchall()
        return Health(is_well=True, detail=f"{self._connection.file} opens", seconds=time.monotonic() - began)

    @contextmanager
    def _archive(self, seconds: float) -> Iterator[sqlite3.Connection]:
        """Open the archive; what SQLite says is worth another try if it is busy, else an operator's to mend."""
        try:
            with closing(sqlite3.connect(self._connection.file, timeout=seconds)) as archive:
                yield archive
        except sqlite3.Error as error:
            text = f"the archive {self._connection.file} cannot be used: {error}"
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise TransientError(text) from error
            raise PermanentError(text, code="ARCHIVE_UNUSABLE") from error
