"""In which order results are acknowledged, and with how few frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from bridge.acknowledgements import PATIENCE_SECONDS, Acknowledgements

Frame = tuple[int, bool]


@dataclass
class Message:
    """What kombu hands out, as far as it is looked at; notes the frames it would send."""

    delivery_tag: int
    frames: list[Frame] = field(repr=False)

    def ack(self, *, multiple: bool = False) -> None:
        """Send a frame."""
        self.frames.append((self.delivery_tag, multiple))


@dataclass
class Time:
    """A monotonic clock that moves when a test says so."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class Channel:
    """A channel's acknowledgements, and the frames that go out."""

    def __init__(self, *, in_order: bool = True) -> None:
        self.time, self.frames = Time(), list[Frame]()
        self.acknowledgements = Acknowledgements(in_order=in_order, clock=self.time)

    def deliver(self, count: int) -> list[Message]:
        """Deliver so many messages."""
        messages = [Message(number + 1, self.frames) for number in range(count)]
        for message in messages:
            self.acknowledgements.came(message)
        return messages

    def done(self, *messages: Message) -> list[Frame]:
        """Have these done, and return the frames that have gone out by then."""
        for message in messages:
            self.acknowledgements.done(message)
        self.acknowledgements.send()
        return self.frames


@pytest.fixture
def channel() -> Channel:
    return Channel()


class TestAcknowledgements:
    def test_go_out_in_one_frame_for_all_that_came_one_after_another(self, channel: Channel) -> None:
        assert channel.done(*reversed(channel.deliver(5))) == [(5, True)]
        assert channel.acknowledgements.left() is None

    def test_of_one_are_of_one_alone(self, channel: Channel) -> None:
        assert channel.done(channel.deliver(2)[0]) == [(1, False)]

    def test_never_cover_what_is_not_done(self, channel: Channel) -> None:
        messages = channel.deliver(6)
        assert channel.done(*(messages[place] for place in (0, 1, 3, 5))) == [(2, True)]
        assert channel.done(messages[2]) == [(2, True), (4, True)]

    def test_wait_a_moment_for_what_came_before_and_no_longer(self, channel: Channel) -> None:
        first, second, third, fourth = channel.deliver(4)
        assert channel.done(second, fourth) == []
        assert channel.acknowledgements.left() == pytest.approx(PATIENCE_SECONDS)
        channel.time.now += PATIENCE_SECONDS
        assert channel.done() == [(2, False), (4, False)]
        assert channel.done(first, third)[2:] == [(3, True)]

    def test_go_out_at_once_when_the_connection_is_to_be_closed(self, channel: Channel) -> None:
        assert channel.done(channel.deliver(2)[1]) == []
        channel.acknowledgements.send(at_once=True)
        assert channel.frames == [(2, False)]

    def test_are_single_where_the_transport_knows_no_order(self) -> None:
        channel = Channel(in_order=False)
        assert channel.done(*channel.deliver(2)) == [(1, False), (2, False)]
