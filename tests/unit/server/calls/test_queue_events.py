"""Events of waiting calls in an event stream, and when none are sent."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from easymlnb.contract.worker_protocol import Call
from easymlnb_server.calls import queue_events
from easymlnb_server.calls.responses import EventStreamResponse, SingleResponse
from easymlnb_server.dispatch.call import CallHandle
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.dispatch.duration_model import NoWorkers
from support.fakes import FakeLink, spec, until


class Out(EventStreamResponse):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.pings = 0

    def waiting(self, place: dict[str, Any]) -> None:
        self.told.append(place)

    def ping(self) -> None:
        self.pings += 1


def submit(pool: Dispatcher, *, low_priority: bool = False) -> CallHandle:
    return pool.submit(Call(id=0, service="f"), b"", spec=spec(), low_priority=low_priority)


def listen(
    pool: Dispatcher, pending: CallHandle, out: Any, *, ready: bool = True
) -> "asyncio.Task[Any]":
    call: Any = SimpleNamespace(handle=pending, target=SimpleNamespace(dispatcher=pool))
    work = queue_events.wait_with_events(
        pending.answered, out, lambda: ready, lambda: queue_events.queue_position(call)
    )
    return asyncio.create_task(work)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_events, "CHECK_EVERY", 0.01)
    monkeypatch.setattr(queue_events, "PING_EVERY", 0.01)


async def test_place_is_told_at_once_and_when_it_changes() -> None:
    pool, link = Dispatcher(9), FakeLink()
    pool.join(link, 1)
    first, second, mine = (submit(pool) for _ in range(3))
    out = Out()
    heard = listen(pool, mine, out)
    await asyncio.sleep(0.1)
    assert out.told == [{"position": 2, "seconds": None}]
    link.answer(first.call.id, seconds=3.0)
    await until(lambda: out.told[1:])
    assert out.told[1:] == [{"position": 1, "seconds": 3.0}]
    link.answer(second.call.id, seconds=3.0)
    await asyncio.sleep(0.1)
    assert len(out.told) == 2
    await until(lambda: out.pings)  # while it runs
    link.answer(mine.call.id, b"42")
    assert (await heard).body == b"42"


@pytest.mark.parametrize(
    ("absence", "told"),
    [
        (NoWorkers("asleep"), {"state": "asleep", "position": 1, "seconds": None}),
        (
            NoWorkers("starting", "CallHandle in queue...", 7.2),
            {"state": "starting", "position": 1, "seconds": 8, "reason": "CallHandle in queue..."},
        ),
    ],
)
async def test_without_workers_the_reason_is_told(absence: NoWorkers, told: dict[str, Any]) -> None:
    pool = Dispatcher(9)
    pool.no_workers = absence
    out = Out()
    heard = listen(pool, pending := submit(pool), out)
    await until(lambda: out.told)
    assert out.told == [told]
    pool.join(link := FakeLink(), 1)
    link.answer(pending.call.id)
    assert (await heard).error is None


async def test_reader_who_is_not_ready_is_told_nothing() -> None:
    pool, out = Dispatcher(9), Out()
    heard = listen(pool, submit(pool), out, ready=False)
    await asyncio.sleep(0.05)
    assert (out.told, out.pings) == ([], 0)
    heard.cancel()


async def test_other_answers_have_no_events() -> None:
    pool, link = Dispatcher(9), FakeLink()
    heard = listen(pool, pending := submit(pool), SingleResponse(Out(), stream=False))  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    pool.join(link, 1)
    link.answer(pending.call.id, b"1")
    assert (await heard).body == b"1"
