"""The page made of a run: every figure comes from the results."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.benchmarks.document import document
from tests.benchmarks.restart import Outage
from tests.benchmarks.results import Results, read
from tests.benchmarks.rounds import RoundResult
from tests.benchmarks.scale.rows import Row

if TYPE_CHECKING:
    from pathlib import Path

RAW = RoundResult(contender="raw", number=0, tasks=3000, seconds=3.0, cpu={"engine": 6.0, "client": 0.5, "broker": 0.1})
OURS = RoundResult(
    contender="procos",
    number=0,
    tasks=3000,
    seconds=6.0,
    steady=512.0,
    cpu={"engine": 6.6, "bridge": 3.0, "worker": 3.0, "broker": 1.5, "redis": 0.6},
)


def results() -> Results:
    return Results(
        date="2026-11-23",
        minutes=21.4,
        warm_up=20000,
        machine={"cores": "2"},
        versions={"RabbitMQ": "3.10.8"},
        rounds={"noop-h2": [RAW, OURS, replace(OURS, number=1, seconds=8.0), replace(RAW, number=1)]},
        latencies={"procos": [0.010, 0.012, 0.030]},
        idle_bridge=0.005,
        outages=[Outage(contender="js", instances=10, running=10, runs=20, finished=10, seconds=14.25)],
        missing={"py3": "pip failed: no network"},
    )


def row_of(text: str, beginning: str) -> str:
    return next(line for line in document([results()]).split(text)[1].splitlines() if line.startswith(beginning))


class TestDocument:
    def test_shows_rates_and_the_ratio_with_their_spread(self) -> None:
        row = row_of("### A step that does nothing, H2", "| ProcOS, a worker of 16")
        assert "438 (375 to 500) | 512 | 0.44 (0.38 to 0.50)" in row

    def test_shows_the_cpu_of_each_part(self) -> None:
        row = row_of("## What a step costs", "| ProcOS, a worker of 16")
        assert row.endswith("| 2.20 | 1.00 | 1.00 | – | 0.50 | 0.20 | 2.70 |")  # noqa: RUF001

    def test_charges_a_foreign_client_with_no_broker(self) -> None:
        row = row_of("## What a step costs", "| raw client")
        assert row.endswith("| 2.00 | – | – | 0.17 | – | – | – |")  # noqa: RUF001

    def test_says_whether_floor_and_aim_are_met(self) -> None:
        row = row_of("## In short", "| no-op, H2, verdicts one by one, ratio to raw")
        assert row.endswith("| 0.44 (0.38 to 0.50) | ≥ 0.3 | ≥ 0.42 | yes | yes |")

    def test_says_of_a_measure_without_figures_that_it_was_not_measured(self) -> None:
        row = row_of("## In short", "| no-op, PostgreSQL, verdicts one by one, ratio to raw")
        assert row.endswith("| not measured | ≥ 0.52 | ≥ 0.65 | **no** | **no** |")

    def test_shows_every_run_in_short_and_in_how_many_a_bound_was_reached(self) -> None:
        slow = replace(results(), rounds={"noop-h2": [RAW, replace(OURS, seconds=9.0)]})
        text = document([results(), slow, results()])
        row = next(line for line in text.splitlines() if line.startswith("| no-op, H2, verdicts one by one"))
        assert row.endswith("| 0.33 | 0.44 (0.38 to 0.50) | ≥ 0.3 | ≥ 0.42 | yes | **in 2 of 3** |")
        assert "the first of 3" in text

    def test_shows_what_was_measured_at_scale(self) -> None:
        rows = [
            Row(name="bridge", value=210.0, unit="MB", floor=300.0, note="10,000 in flight").document(),
            Row(name="two ÷ one", value=1.5, unit="times", floor=1.7, is_more_better=True).document(),
        ]
        text = document([results()], rows)
        assert "| bridge | 210 MB | ≤ 300 | – | yes | 10,000 in flight |" in text  # noqa: RUF001
        assert "| two ÷ one | 1.5 times | ≥ 1.7 | – | **no** |  |" in text  # noqa: RUF001
        assert "hundred thousand that wait" not in document([results()])

    def test_shows_what_an_outage_cost(self) -> None:
        row = row_of("## The engine restarted", "| camunda-external-task-client-js")
        assert row.endswith("| 10 | 20 for 10 | 10 | 14.2 s |")

    def test_names_a_peer_that_could_not_be_had(self) -> None:
        assert "4 processes: pip failed: no network" in document([results()])

    def test_names_date_machine_and_versions(self) -> None:
        text = document([results()])
        assert "made on 2026-11-23 and took 21 minutes, on 2 cores" in " ".join(text.split())
        assert "| RabbitMQ | 3.10.8 |" in text


class TestResults:
    def test_are_read_as_they_were_written(self, tmp_path: Path) -> None:
        results().write(tmp_path / "bench.json")
        assert read(tmp_path / "bench.json") == results()
