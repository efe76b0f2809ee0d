"""How an engine of ours is made a stock one, and how it is told which way the verdicts went."""

from __future__ import annotations

import pytest

from tests.chaos.case import Verdicts
from tests.chaos.traffic import Act, Chunk, Direction
from tests.chaos.ways import Way

COMPLETE = b"POST /engine-rest/external-task/f3a1-77/complete HTTP/1.1\r\nHost: x\r\n\r\n"
LIST = b"POST /engine-rest/procos/verdicts HTTP/1.1\r\nHost: x\r\n\r\n"
FETCH = b"POST /engine-rest/external-task/fetchAndLock HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 \r\nProcOS-Refuses-Uncaught-Errors: true\r\nProcOS-Verdicts: 50\r\n\r\n[]"


def request(content: bytes) -> Chunk:
    return Chunk(connection=1, direction=Direction.TO_SERVICE, content=content)


def answer(content: bytes) -> Chunk:
    return Chunk(connection=1, direction=Direction.TO_CLIENT, content=content)


class TestAlone:
    @pytest.mark.parametrize("content", [ANSWER, ANSWER.replace(b"ProcOS", b"procos")])
    def test_hides_the_headers_of_our_engine_and_keeps_the_length(self, content: bytes) -> None:
        verdict = Way(Verdicts.ALONE).judge(answer(content))
        assert verdict.act is Act.REWRITE
        assert len(verdict.content) == len(content)
        assert b"procos" not in verdict.content.lower()
        assert verdict.content.count(b"hidden-") == 2

    def test_leaves_the_contents_alone(self) -> None:
        content = b'HTTP/1.1 200 \r\n\r\n[{"topicName":"procos-work"}]\r\nprocos-: 1'
        assert Way(Verdicts.ALONE).judge(answer(content)).act is Act.FORWARD

    def test_answers_a_list_as_an_engine_without_the_endpoint_does(self) -> None:
        verdict = Way(Verdicts.ALONE).judge(request(LIST))
        assert verdict.act is Act.ANSWER
        assert verdict.content.startswith(b"HTTP/1.1 404 ")
        assert b"NotFoundException" in verdict.content

    def test_lets_single_verdicts_pass(self) -> None:
        way = Way(Verdicts.ALONE)
        assert way.judge(request(COMPLETE)).act is Act.FORWARD
        assert list(way.unlike()) == []

    def test_complains_of_a_list(self) -> None:
        way = Way(Verdicts.ALONE)
        way.judge(request(COMPLETE))
        way.judge(request(LIST))
        assert list(way.unlike()) == ["1 lists of verdicts were sent to an engine that takes none, 1 one by one"]

    def test_complains_when_no_verdict_was_seen(self) -> None:
        assert list(Way(Verdicts.ALONE).unlike())


class TestListed:
    def test_changes_nothing(self) -> None:
        way = Way(Verdicts.LISTED)
        assert way.judge(answer(ANSWER)).act is Act.FORWARD
        assert way.judge(request(LIST)).act is Act.FORWARD
        assert list(way.unlike()) == []

    def test_complains_when_no_list_was_sent(self) -> None:
        way = Way(Verdicts.LISTED)
        way.judge(request(COMPLETE))
        way.judge(request(FETCH))
        assert list(way.unlike()) == ["no list of verdicts was sent, 1 went one by one"]
