from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from procos import metrics
from procos.domain.errors import EngineBusyError, EngineUnreachableError, LeaseLostError, TaskGoneError
from procos.metrics import Drop, Report
from tests.conservation import Books, read_books


@pytest.fixture(autouse=True)
def _known() -> None:
    metrics.know(["ai_query"], ["ai"])


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def books() -> Books:
    return read_books(metrics.exposition())


class TestLabels:
    def test_are_topics_that_a_route_serves(self) -> None:
        before = value("procos_bridge_fetched_total", topic="ai_query")
        metrics.fetched("ai_query")
        assert value("procos_bridge_fetched_total", topic="ai_query") == before + 1

    def test_are_one_for_all_that_anybody_could_make_up(self) -> None:
        before = value("procos_bridge_settled_total", topic="unknown", verdict="completed")
        for number in range(50):
            metrics.settled(f"forged-{number}", "completed")
        assert value("procos_bridge_settled_total", topic="unknown", verdict="completed") == before + 50
        assert "forged" not in metrics.exposition().decode()

    def test_of_queues_know_the_dead_letters_too(self) -> None:
        assert [metrics.queue_label(name) for name in ("ai", "ai.dead", "forged", "forged.dead")] == [
            "ai", "ai.dead", "unknown", "unknown",
        ]  # fmt: skip

    def test_of_dead_letters_are_a_few_reasons(self) -> None:
        before = value("procos_bridge_dead_letters_total", queue="ai", reason="other")
        metrics.dead_lettered("ai", "words from a header")
        metrics.dead_lettered("ai", "delivery_limit")
        assert value("procos_bridge_dead_letters_total", queue="ai", reason="other") == before + 1

    def test_begin_at_zero(self) -> None:
        assert 'procos_bridge_settled_total{topic="ai_query",verdict="incident"}' in metrics.exposition().decode()


class TestReporting:
    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (TaskGoneError("gone"), "not_found"),
            (LeaseLostError("lost"), "rejected_lock"),
            (EngineBusyError("later"), "busy"),
            (EngineUnreachableError("http://engine", "refused"), "unreachable"),
            (ValueError("a defect"), "error"),
        ],
    )
    def test_counts_what_the_engine_answered(self, error: Exception, outcome: str) -> None:
        labels = {"topic": "ai_query", "kind": "complete", "outcome": outcome}
        before = value("procos_bridge_reports_total", **labels)
        with pytest.raises(type(error)), metrics.reporting("ai_query", Report.COMPLETE):
            raise error
        assert value("procos_bridge_reports_total", **labels) == before + 1

    def test_counts_what_it_took_and_for_how_long(self) -> None:
        labels = {"topic": "ai_query", "kind": "failure", "outcome": "accepted"}
        before = value("procos_bridge_reports_total", **labels)
        timed = value("procos_bridge_report_duration_seconds_count", kind="failure")
        with metrics.reporting("ai_query", Report.FAILURE):
            pass
        assert value("procos_bridge_reports_total", **labels) == before + 1
        assert value("procos_bridge_report_duration_seconds_count", kind="failure") == timed + 1


class TestFetching:
    def test_counts_the_failure_and_lets_it_through(self) -> None:
        before = value("procos_bridge_fetch_errors_total", queue="ai", reason="busy")
        with pytest.raises(EngineBusyError), metrics.fetching("ai"):
            raise EngineBusyError("later")
        assert value("procos_bridge_fetch_errors_total", queue="ai", reason="busy") == before + 1


class TestGauges:
    def test_show_the_room(self) -> None:
        metrics.in_flight("ai", 7, capacity=500)
        assert value("procos_bridge_inflight", queue="ai") == 7
        assert value("procos_bridge_capacity", queue="ai") == 500

    def test_show_how_many_bridges_run(self) -> None:
        metrics.replicas(2)
        assert value("procos_bridge_replicas") == 2

    def test_name_the_version(self) -> None:
        assert "procos_build_info{" in metrics.exposition().decode()

    def test_take_no_negative_duration_from_a_wrong_clock(self) -> None:
        before = value("procos_end_to_end_seconds_sum", topic="ai_query")
        metrics.ended_after("ai_query", timedelta(seconds=-3))
        assert value("procos_end_to_end_seconds_sum", topic="ai_query") == before


class TestLaw:
    def test_holds_for_every_way_an_account_may_end(self) -> None:
        before = books()
        for verdict in (*metrics.VERDICTS, "gone"):
            metrics.fetched("ai_query")
            metrics.settled("ai_query", verdict)
        for reason in Drop:
            metrics.fetched("ai_query")
            metrics.dropped("ai_query", reason)
        metrics.fetched("ai_query")
        since = books() - before
        assert since.fetched == len(metrics.VERDICTS) + 1 + len(Drop) + 1
        assert since.are_balanced(still_open=1)

    @pytest.mark.parametrize("still_open", [0, 2])
    def test_is_broken_by_one_account_too_few_or_too_many(self, still_open: int) -> None:
        before = books()
        metrics.fetched("ai_query")
        assert not (books() - before).are_balanced(still_open=still_open)

    def test_leaves_open_whether_an_unreserved_one_is_there(self) -> None:
        before = books()
        metrics.fetched("ai_query")
        metrics.dropped("ai_query", Drop.UNRESERVED)
        since = books() - before
        assert since.are_balanced(still_open=0)
        assert since.are_balanced(still_open=1)
        assert not since.are_balanced(still_open=2)

    def test_is_one_for_all_replicas(self) -> None:
        one = 'procos_bridge_fetched_total{topic="a"} 3.0\n'
        other = 'procos_bridge_settled_total{topic="a",verdict="completed"} 2.0\n'
        assert read_books(one, other).are_balanced(still_open=1)
