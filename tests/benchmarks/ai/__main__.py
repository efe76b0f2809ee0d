"""`make bench-ai`: what an AI step costs beside a bare client, what a worker needs, and whether a limit holds."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from procos.kernel.parts.redis import redis_part
from procos.kernel.state import StackFolder
from tests.benchmarks import command
from tests.benchmarks.ai import footprint, overhead, provider_server, rate
from tests.benchmarks.rows import Row
from tests.chaos.services import AnyPorts
from tests.services import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OVERHEAD, FOOTPRINT, RATE = "overhead", "footprint", "rate"
MEASURES = (OVERHEAD, FOOTPRINT, RATE)
PER_MINUTE, PROCESSES, MINUTE = 600, 4, 60
LEAST_SHARE = 0.9
LATENESS = 1.0


def _measured(only: Sequence[str], *, is_quick: bool) -> list[Row]:
    found: list[Row] = []
    with _running_redis() as redis_url:
        if OVERHEAD in only:
            with _provider() as url:
                found += overhead.measure(url, redis_url, rounds=2 if is_quick else 5, calls=20 if is_quick else 200)
        if FOOTPRINT in only:
            found += footprint.measure(rounds=1 if is_quick else 5)
        if RATE in only:
            found += _rate(redis_url, minutes=1 if is_quick else 5)
    return found


def _rate(redis_url: str, *, minutes: int) -> list[Row]:
    command.console.print(f"{PROCESSES} processes compete for {PER_MINUTE} requests a minute, for {minutes} min …")
    moments = rate.moments_let_in(
        redis_url, requests_per_minute=PER_MINUTE, seconds=minutes * MINUTE, processes=PROCESSES, lateness=LATENESS
    )
    whole = minutes * PER_MINUTE
    fullest, minute = rate.busiest(moments, minutes * MINUTE), rate.busiest(moments, MINUTE)
    return [
        Row(
            measure=f"requests in the fullest {minutes} min, of {whole}",
            figure=100 * fullest / whole,
            unit="%",
            bound=100,
            details=f"{fullest} requests; {minute} in the fullest minute",
        ),
        Row(
            measure="requests let in, of what the limit allows",
            figure=100 * len(moments) / whole,
            unit="%",
            bound=100 * LEAST_SHARE,
            larger_is_better=True,
        ),
    ]


@contextmanager
def _running_redis() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="procos-bench-") as folder, AnyPorts() as ports:
        stack = StackFolder(Path(folder))
        stack.create()
        service = Service(redis_part(folder=stack, ports=ports), stack.log("redis"))
        try:
            yield service.start().environment["PROCOS_REDIS_URL"]
        finally:
            service.stop()


@contextmanager
def _provider() -> Iterator[str]:
    command = (sys.executable, provider_server.__file__)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


if __name__ == "__main__":
    sys.exit(command.run("tests.benchmarks.ai", __doc__, MEASURES, _measured))
