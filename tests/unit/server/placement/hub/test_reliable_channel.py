"""Messages over a connection that breaks: each arrives once, in order, and none is lost."""

import random
from collections import deque
from collections.abc import Callable

import msgspec
import pytest

from easymlnb_server.placement.hub.tunnel import reliable_channel
from easymlnb_server.placement.hub.tunnel.reliable_channel import ReliableChannel


class Line:
    """A connection between two pipes that carries a number of messages each way, then breaks."""

    def __init__(self, near: ReliableChannel, far: ReliableChannel, lasts: int) -> None:
        self.taken: dict[ReliableChannel, list[bytes]] = {near: [], far: []}
        self._left = {near: lasts, far: lasts}
        self._ways = {near: far, far: near}
        self._under_way: deque[tuple[ReliableChannel, bytes]] = deque()
        self._ends = {end: self._writes_to(other) for end, other in self._ways.items()}

    def __enter__(self) -> "Line":
        for end, write in self._ends.items():
            end.attach(write)
        return self

    def __exit__(self, *exc: object) -> None:
        for end, write in self._ends.items():
            end.detach(write)

    def _writes_to(self, to: ReliableChannel) -> Callable[[bytes], None]:
        def write(data: bytes) -> None:
            if self._left[to]:
                self._left[to] -= 1
                self._under_way.append((to, data))

        return write

    def carry(self) -> dict[ReliableChannel, list[bytes]]:
        """Bring all that is under way to its end, and return what each end has taken."""
        while self._under_way:
            to, data = self._under_way.popleft()
            frame = to.receive(data)
            if frame is not None:
                self.taken[to].append(frame.parts[0])
        return self.taken


@pytest.mark.parametrize("seed", range(5))
def test_every_message_arrives_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    near, far = ReliableChannel(), ReliableChannel()
    sent: dict[ReliableChannel, list[bytes]] = {near: [], far: []}
    came: dict[ReliableChannel, list[bytes]] = {near: [], far: []}

    def send() -> None:
        for end, other in ((near, far), (far, near)):
            for _ in range(chance.randrange(6)):
                content = str(len(sent[other])).encode()
                sent[other].append(content)
                assert end.send("shell", [content])

    for lasts in [*(chance.randrange(12) for _ in range(40)), 10_000]:
        send()  # with no connection
        with Line(near, far, lasts) as line:
            for _ in range(chance.randrange(3)):
                send()
                if chance.random() < 0.5:
                    line.carry()
            for end, taken in line.carry().items():
                came[end] += taken
    assert came == sent


def test_sender_is_told_of_too_much_and_of_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reliable_channel, "MAX_UNACKNOWLEDGED", 1000)
    near, far = ReliableChannel(), ReliableChannel()
    rooms: list[bool] = []
    near.on_writable = lambda: rooms.append(True)
    assert near.send("iopub", [b"x" * 500])
    assert not near.send("iopub", [b"x" * 500])
    with Line(near, far, 10) as line:
        line.carry()
        assert not rooms
        far.send("shell", [b"answer"])  # which tells what was taken
        line.carry()
    assert rooms == [True]
    assert near.send("iopub", [b"x"])


@pytest.mark.parametrize("many", [1, 100])
def test_one_who_only_listens_tells_what_it_took(
    monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(reliable_channel, "MAX_UNACKNOWLEDGED", 10_000)
    monkeypatch.setattr(reliable_channel, "ACK_BYTES", 1_000)
    near, far = ReliableChannel(), ReliableChannel()
    room = []
    near.on_writable = lambda: room.append(True)
    with Line(near, far, 10_000) as line:
        full = False
        for _ in range(many):
            full = not near.send(
                "iopub", [b"x" * (2 * reliable_channel.MAX_UNACKNOWLEDGED // many)]
            )
            if full:
                break
        assert full
        line.carry()
    assert room


def test_a_new_connection_does_not_end_with_an_old_one() -> None:
    end = ReliableChannel()
    old: list[bytes] = []
    new: list[bytes] = []
    first, second = old.append, new.append
    end.attach(first)
    end.attach(second)
    end.detach(first)
    end.send("shell", [b"x"])
    assert (len(old), len(new)) == (1, 2)


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        ReliableChannel().receive(b"nonsense")
