"""A stream's bytes on their way to a reader, and what the worker hears of them."""

import asyncio
from typing import Any

import pytest

from easymlnb.contract.errors import StreamTooLarge
from easymlnb.contract.worker_protocol import WINDOW, Item, Progress
from easymlnb_server.calls import responses
from easymlnb_server.calls.responses import EventStreamResponse, JsonLinesResponse, SingleResponse
from easymlnb_server.calls.stream_buffer import StreamBuffer, cut_if_stuck

ITEM = Item(id=1)


class Reader:
    """The part of a handler that writes; ``flush`` is done when the test says so."""

    def __init__(self, *, slow: bool = True) -> None:
        self.slow = slow
        self.text = b""
        self.sent: list[asyncio.Future[None]] = []

    def set_header(self, name: str, value: str) -> None:
        pass

    def write(self, chunk: bytes) -> None:
        self.text += chunk

    def flush(self) -> "asyncio.Future[None]":
        made = asyncio.get_running_loop().create_future()
        if self.slow:
            self.sent = [made]  # a connection forgets the one before
        else:
            made.set_result(None)
        return made

    async def take(self) -> None:
        """Read all there is."""
        while self.sent:
            self.sent.pop().set_result(None)
            await asyncio.sleep(0)


async def test_worker_hears_of_bytes_when_they_are_read() -> None:
    reader, seen = Reader(), list[int]()
    outbox = StreamBuffer(JsonLinesResponse(reader), seen.append)
    for _ in range(4):
        outbox.event(ITEM, b"x" * (WINDOW // 4))
    assert (seen, outbox.empty) == ([], False)
    await reader.take()
    assert (sum(seen), outbox.empty) == (WINDOW, True)


async def test_worker_does_not_hear_of_each_small_item() -> None:
    seen: list[int] = []
    outbox = StreamBuffer(JsonLinesResponse(Reader(slow=False)), seen.append)
    for _ in range(WINDOW // 100):
        outbox.event(ITEM, b"x" * 100)
    assert len(seen) <= 4
    assert sum(seen) > WINDOW // 2


async def test_slow_reader_gets_the_latest_progress_only() -> None:
    reader = Reader()
    outbox = StreamBuffer(EventStreamResponse(reader), lambda size: None)
    await reader.take()
    outbox.event(ITEM, b"1")
    for number in range(100):
        outbox.event(Progress(id=1, fraction=number / 100), b"")
    await reader.take()
    assert reader.text.count(b"event: progress") == 1
    assert b"0.99" in reader.text


async def test_reader_who_left_is_no_error() -> None:
    reader, seen = Reader(), list[int]()
    outbox = StreamBuffer(JsonLinesResponse(reader), seen.append)
    outbox.event(ITEM, b"x" * WINDOW)
    reader.sent[0].set_exception(ConnectionError())
    await asyncio.sleep(0)
    assert seen == []


async def test_collected_items_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "COLLECTED", 1000)
    whole = SingleResponse(Reader(), stream=True)
    for _ in range(5):
        whole.event(ITEM, b"x" * 100)
    with pytest.raises(StreamTooLarge):
        for _ in range(5):
            whole.event(ITEM, b"x" * 100)


class Connection:
    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("reads", [True, False])
async def test_stuck_reader_is_cut_off(monkeypatch: pytest.MonkeyPatch, reads: bool) -> None:
    monkeypatch.setattr("easymlnb_server.calls.stream_buffer.MIN_SEND_SECONDS", 0.05)
    connection: Any = Connection()
    sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cut_if_stuck(connection, sent, 100)
    if reads:
        sent.set_result(None)
    await asyncio.sleep(0.3)
    assert connection.closed is not reads
