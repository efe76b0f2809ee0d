"""The patterns by which a moment is known, on the words the protocols really use."""

from __future__ import annotations

import json
import random
import struct

import pytest

from tests.chaos import moments
from tests.chaos.traffic import Act, Chunk, Direction

COMPLETE = b"POST /engine-rest/external-task/f3a1-77/complete HTTP/1.1\r\nHost: x\r\n\r\n"
FIND = b"GET /engine-rest/external-task/f3a1-77 HTTP/1.1\r\nHost: x\r\n\r\n"
LIST = b"POST /engine-rest/procos/verdicts HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWERS = b'HTTP/1.1 200 \r\nContent-Length: 1000\r\n\r\n{"answers":[{"status":204},'
DONE = b"HTTP/1.1 204 \r\nDate: today\r\n\r\n"


def chunk(content: bytes, *, connection: int = 1, answer: bool = False) -> Chunk:
    direction = Direction.TO_CLIENT if answer else Direction.TO_SERVICE
    return Chunk(connection=connection, direction=direction, content=content)


def rng(seed: str = "1") -> random.Random:
    return random.Random(seed)  # noqa: S311  # to be the same each time


class TestPatterns:
    def test_know_an_answer_to_fetch_and_lock_with_tasks(self) -> None:
        assert moments.FETCHED.search(b'[{"id":"1","workerId":"chaos/ai","variables":{"seconds":{"type":"Double"}}}]')

    @pytest.mark.parametrize("answer", [b"[]", b'[{"id":"1","workerId":"chaos/ai"}]', b'{"variables":{}}'])
    def test_do_not_take_other_answers_for_one(self, answer: bytes) -> None:
        assert not moments.FETCHED.search(answer)

    def test_know_a_reservation(self) -> None:
        assert moments.RESERVED.search(b"*2\r\n$3\r\nnew\r\n$13\r\n1790000000000\r\n")
        assert not moments.RESERVED.search(b"*2\r\n$7\r\nadopted\r\n$13\r\n1790000000000\r\n")

    @pytest.mark.parametrize("multiple", [0, 1])
    def test_know_a_confirm(self, multiple: int) -> None:
        frame = struct.pack(">BHIHHQBB", 1, 2, 13, 60, 80, 7, multiple, 0xCE)
        assert moments.CONFIRMED.search(frame)

    def test_do_not_take_a_delivery_for_a_confirm(self) -> None:
        assert not moments.CONFIRMED.search(struct.pack(">BHIHHQBB", 1, 2, 13, 60, 60, 7, 0, 0xCE))

    def test_know_a_list_of_verdicts(self) -> None:
        assert moments.COMPLETING.search(LIST)
        assert moments.LISTED.match(LIST)
        assert not moments.SINGLE.match(LIST)

    @pytest.mark.parametrize("verb", [b"complete", b"failure", b"bpmnError"])
    def test_know_a_single_verdict(self, verb: bytes) -> None:
        assert moments.SINGLE.match(COMPLETE.replace(b"complete", verb))

    def test_know_a_completion(self) -> None:
        assert moments.COMPLETING.search(COMPLETE)
        assert not moments.COMPLETING.search(COMPLETE.replace(b"/complete", b"/extendLock"))


class TestLostAnswers:
    def test_resets_the_answer_to_a_completion(self) -> None:
        rule = moments.LostAnswers(1.0, rng())
        assert rule.judge(chunk(COMPLETE)).act is Act.FORWARD
        assert rule.judge(chunk(DONE, answer=True)).act is Act.RESET
        assert rule.lost == 1

    def test_resets_the_answer_to_a_list_at_its_first_chunk(self) -> None:
        rule = moments.LostAnswers(1.0, rng())
        rule.judge(chunk(LIST))
        rule.judge(chunk(b'{"verdicts":[]}'))
        assert rule.judge(chunk(ANSWERS, answer=True)).act is Act.RESET
        assert rule.lost == 1

    def test_decides_once_for_an_answer_of_several_chunks(self) -> None:
        rule = moments.LostAnswers(0.0, rng())
        rule.judge(chunk(LIST))
        verdicts = [rule.judge(chunk(part, answer=True)).act for part in (ANSWERS, b'{"status":204}]}')]
        assert verdicts == [Act.FORWARD, Act.FORWARD]

    def test_leaves_answers_to_questions_alone(self) -> None:
        rule = moments.LostAnswers(1.0, rng())
        rule.judge(chunk(FIND))
        assert rule.judge(chunk(ANSWERS, answer=True)).act is Act.FORWARD

    def test_leaves_other_answers_alone(self) -> None:
        rule = moments.LostAnswers(1.0, rng())
        rule.judge(chunk(COMPLETE))
        rule.judge(chunk(FIND))
        assert rule.judge(chunk(DONE, answer=True)).act is Act.FORWARD

    def test_leaves_refusals_alone(self) -> None:
        rule = moments.LostAnswers(1.0, rng())
        rule.judge(chunk(COMPLETE))
        assert rule.judge(chunk(b"HTTP/1.1 400 \r\n\r\n", answer=True)).act is Act.FORWARD

    def test_tells_connections_apart(self) -> None:
        rule = moments.LostAnswers(1.0, rng())
        rule.judge(chunk(COMPLETE, connection=1))
        assert rule.judge(chunk(DONE, connection=2, answer=True)).act is Act.FORWARD

    def test_loses_the_part_it_is_told_to(self) -> None:
        rule = moments.LostAnswers(0.3, rng())
        for number in range(1000):
            rule.judge(chunk(COMPLETE, connection=number))
            rule.judge(chunk(DONE, connection=number, answer=True))
        assert 250 < rule.lost < 350


class TestLateFetches:
    FETCH = b"POST /engine-rest/external-task/fetchAndLock HTTP/1.1\r\n\r\n"
    TASKS = b'[{"id":"1","variables":{"seconds":{"type":"Double"}}}]'

    def test_hold_back_an_answer_with_tasks(self) -> None:
        rule = moments.LateFetches(completions=1.0, fetches=2.0)
        assert rule.judge(chunk(self.FETCH)).act is Act.FORWARD
        assert rule.judge(chunk(self.TASKS, answer=True)).seconds == 2.0

    def test_hold_back_a_completion(self) -> None:
        rule = moments.LateFetches(completions=1.0, fetches=2.0)
        assert rule.judge(chunk(COMPLETE)).seconds == 1.0

    def test_hold_back_a_list(self) -> None:
        rule = moments.LateFetches(completions=1.0, fetches=2.0)
        assert rule.judge(chunk(LIST)).seconds == 1.0

    def test_leave_other_answers_alone(self) -> None:
        rule = moments.LateFetches(completions=1.0, fetches=2.0)
        rule.judge(chunk(self.FETCH))
        assert rule.judge(chunk(b"[]", answer=True)).act is Act.FORWARD
        rule.judge(chunk(COMPLETE))
        assert rule.judge(chunk(self.TASKS, answer=True)).act is Act.FORWARD
        assert rule.delayed == 0


class TestTornFetches:
    TASKS = (
        b'[{"id":"1","variables":{"a":{"type":"Long","value":1,"valueInfo":{}},"b_2":{"type":"Json",'
        b'"value":"[1]","valueInfo":{"x":1}}},"priority":0},{"id":"2","variables":{}}]'
    )

    def test_blank_all_variables_of_a_task_and_keep_the_length(self) -> None:
        rule = moments.TornFetches(1.0, rng())
        verdict = rule.judge(chunk(self.TASKS, answer=True))
        assert verdict.act is Act.REWRITE
        assert len(verdict.content) == len(self.TASKS)
        first, second = json.loads(verdict.content)
        assert (first["variables"], first["priority"], second["variables"]) == ({}, 0, {})
        assert rule.torn == 1

    def test_leave_a_task_alone_where_http_has_parted_its_variables(self) -> None:
        parted = self.TASKS.replace(b'"value":1', b'"value"\r\n2000\r\n:1')
        verdict = moments.TornFetches(1.0, rng()).judge(chunk(parted, answer=True))
        assert verdict.content == parted

    def test_leave_some_tasks_whole(self) -> None:
        verdict = moments.TornFetches(0.0, rng()).judge(chunk(self.TASKS, answer=True))
        assert verdict.content == self.TASKS

    def test_leave_other_words_alone(self) -> None:
        rule = moments.TornFetches(1.0, rng())
        assert rule.judge(chunk(b"[]", answer=True)).act is Act.FORWARD
        assert rule.judge(chunk(self.TASKS)).act is Act.FORWARD


class TestBusyEngine:
    def test_answers_in_the_place_of_the_engine(self) -> None:
        rule = moments.BusyEngine(1.0, rng())
        verdict = rule.judge(chunk(FIND))
        assert verdict.act is Act.ANSWER
        assert verdict.content.startswith(b"HTTP/1.1 503")

    def test_lets_bodies_and_answers_pass(self) -> None:
        rule = moments.BusyEngine(1.0, rng())
        assert rule.judge(chunk(b'{"workerId":"chaos/ai"}')).act is Act.FORWARD
        assert rule.judge(chunk(DONE, answer=True)).act is Act.FORWARD
        assert rule.refused == 0
