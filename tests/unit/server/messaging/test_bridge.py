"""A bridge between a broker of the test's own and calls that end as the test says."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from easymlnb.contract.errors import (
    Busy,
    CallFailed,
    EasyMLNBError,
    Forbidden,
    InvalidInput,
    TooLarge,
)
from easymlnb_server.calls.cloudevents import CloudEvent
from easymlnb_server.messaging import bridge as bridge_module
from easymlnb_server.messaging import rules
from easymlnb_server.messaging.bridge import BridgeRunner
from easymlnb_server.messaging.calls import Answer
from easymlnb_server.messaging.models import Bridge, BrokerMessage, ConnectionLost, Outgoing

EVENT = {"ce-specversion": "1.0", "ce-id": "abcdefgh", "ce-source": "/s", "ce-type": "t"}


class FakeBroker:
    """Delivers messages until they are acknowledged, again in each session."""

    def __init__(self) -> None:
        self.queue: deque[BrokerMessage] = deque()
        self.sent: list[Outgoing] = []
        self.acknowledged: list[BrokerMessage] = []
        self.sessions = 0
        self.too_large = 10**9
        self.forbidden: set[str] = set()
        self.lose_publishes = 0
        self.changed = asyncio.Event()
        self.arrived = asyncio.Event()

    def put(self, body: bytes, **values: Any) -> BrokerMessage:
        common: dict[str, Any] = {"subject": "in", "content_type": "", "headers": {}}
        made = BrokerMessage(body=body, **(common | values))
        self.queue.append(made)
        self.arrived.set()
        return made

    async def connect(self, name: str, bridge: Bridge) -> "FakeSession":
        self.sessions += 1
        return FakeSession(self)

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not done():
                self.changed.clear()
                await self.changed.wait()


class FakeSession:
    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.seen: list[BrokerMessage] = []

    async def receive(self) -> BrokerMessage:
        def unread() -> list[BrokerMessage]:
            return [one for one in self.broker.queue if one not in self.seen]

        while not unread():
            await self.broker.arrived.wait()
            self.broker.arrived.clear()
        self.seen.append(unread()[0])
        return self.seen[-1]

    async def publish(self, message: Outgoing) -> None:
        if self.broker.lose_publishes:
            self.broker.lose_publishes -= 1
            raise ConnectionLost("gone")
        if message.subject in self.broker.forbidden:
            raise Forbidden("The broker refused a message.")
        if len(message.body) > self.broker.too_large:
            raise TooLarge("The message is too large.")
        self.broker.sent.append(message)

    async def acknowledge(self, message: BrokerMessage) -> None:
        self.broker.queue.remove(message)
        self.broker.acknowledged.append(message)
        self.broker.changed.set()

    async def close(self) -> None:
        pass


class FakeCalls:
    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.ends: dict[bytes, list[EasyMLNBError]] = {}
        self.made: list[bytes] = []
        self.hold: asyncio.Event | None = None
        self.at_once = self.running = 0

    async def call(
        self, name: str, bridge: Bridge, event: CloudEvent, message: BrokerMessage
    ) -> Answer:
        self.made.append(event.body)
        self.running += 1
        self.at_once = max(self.at_once, self.running)
        self.broker.changed.set()
        try:
            if self.hold is not None:
                await self.hold.wait()
            if ends := self.ends.get(event.body):
                raise ends.pop(0)
        finally:
            self.running -= 1
        return Answer(event.body.upper(), "text/plain")


Started = Callable[..., Awaitable[BridgeRunner]]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    monkeypatch.setattr(rules, "pause", lambda tries: 0.001)
    monkeypatch.setattr(bridge_module, "FIRST_RETRY", 0.001)
    return FakeBroker()


@asynccontextmanager
async def running(
    broker: FakeBroker, calls: FakeCalls, **values: Any
) -> AsyncIterator[BridgeRunner]:
    made = Bridge(
        url="mqtt://x", subject="in", service="f", dead_letters="dead", reply="out", **values
    )
    runner = BridgeRunner("b", made, calls, broker.connect)  # type: ignore[arg-type]
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_message_is_answered_then_acknowledged(broker: FakeBroker) -> None:
    calls = FakeCalls(broker)
    broker.put(b"a", headers=EVENT, correlation=b"7", key=b"k")
    async with running(broker, calls) as runner:
        await broker.until(lambda: len(broker.acknowledged) == 1)
        shown = runner.shown()
    (sent,) = broker.sent
    assert (sent.subject, sent.body, sent.content_type) == ("out", b"A", "text/plain")
    assert (sent.correlation, sent.key, sent.attributes["causationid"]) == (b"7", b"k", "abcdefgh")
    assert (shown.state, shown.received, shown.answered, shown.failed) == ("connected", 1, 1, 0)


@pytest.mark.parametrize(
    ("error", "tries"),
    [(InvalidInput([{"field": "x", "message": "no"}]), 1), (CallFailed("no"), 3)],
    ids=["422", "500"],
)
async def test_a_message_that_fails_is_a_dead_letter(
    broker: FakeBroker, error: EasyMLNBError, tries: int
) -> None:
    calls = FakeCalls(broker)
    calls.ends[b"a"] = [error] * 5
    broker.put(b"a", headers=EVENT, content_type="text/plain")
    async with running(broker, calls) as runner:
        await broker.until(lambda: len(broker.acknowledged) == 1)
        shown = runner.shown()
    assert len(calls.made) == tries
    letter, answer = broker.sent
    assert (letter.subject, letter.body, letter.content_type) == ("dead", b"a", "text/plain")
    assert letter.headers["easymlnb-error"] == error.code
    assert letter.headers["ce-id"] == "abcdefgh"
    assert (answer.subject, answer.attributes["type"]) == ("out", "org.easymlnb.error")
    assert error.code.encode() in answer.body
    assert (shown.failed, shown.dead, shown.retried) == (1, 1, tries - 1)


async def test_a_busy_service_is_waited_for(broker: FakeBroker) -> None:
    calls = FakeCalls(broker)
    calls.ends[b"a"] = [Busy(1, 1) for _ in range(20)]
    broker.put(b"a")
    async with running(broker, calls) as runner:
        await broker.until(lambda: len(broker.acknowledged) == 1)
        assert runner.counts["dead"] == 0
    assert (len(calls.made), broker.sent[0].body) == (21, b"A")


async def test_no_more_calls_run_than_allowed(broker: FakeBroker) -> None:
    calls = FakeCalls(broker)
    calls.hold = asyncio.Event()
    for number in range(10):
        broker.put(b"%d" % number)
    async with running(broker, calls, concurrency=3) as runner:
        await broker.until(lambda: calls.running == 3)
        assert (runner.counts["received"], runner.in_flight) == (3, 3)
        calls.hold.set()
        await broker.until(lambda: len(broker.acknowledged) == 10)
    assert calls.at_once == 3


async def test_what_was_not_acknowledged_comes_again(broker: FakeBroker) -> None:
    calls = FakeCalls(broker)
    broker.lose_publishes = 2
    broker.put(b"a")
    async with running(broker, calls):
        await broker.until(lambda: len(broker.acknowledged) == 1)
    assert broker.sessions == 3
    assert [sent.body for sent in broker.sent] == [b"A"]


async def test_an_answer_that_the_broker_refuses_is_an_error(broker: FakeBroker) -> None:
    calls = FakeCalls(broker)
    broker.put(b"a", content_type="application/cloudevents+json")
    async with running(broker, calls):
        await broker.until(lambda: len(broker.acknowledged) == 1)
    assert broker.sent[0].headers["easymlnb-error"] == "bad_request"
    assert calls.made == []


async def test_a_message_that_meets_a_defect_does_not_come_forever(broker: FakeBroker) -> None:
    class BrokenCalls(FakeCalls):
        async def call(self, *arguments: Any) -> Answer:
            self.made.append(b"")
            raise RuntimeError("defect")

    calls = BrokenCalls(broker)
    broker.put(b"a")
    async with running(broker, calls):
        await broker.until(lambda: len(broker.acknowledged) == 1)
    assert (len(calls.made), broker.sessions) == (3, 1)
    assert broker.sent[0].headers["easymlnb-error"] == "internal_error"


async def test_a_topic_that_the_broker_refuses_makes_a_dead_letter(broker: FakeBroker) -> None:
    calls = FakeCalls(broker)
    broker.forbidden = {"out"}
    broker.put(b"a")
    async with running(broker, calls):
        await broker.until(lambda: len(broker.acknowledged) == 1)
    assert (broker.sessions, len(calls.made)) == (1, 1)
    assert [one.headers["easymlnb-error"] for one in broker.sent] == ["forbidden"]


async def test_a_dead_letter_that_is_too_large_has_no_body(broker: FakeBroker) -> None:
    calls = FakeCalls(broker)
    broker.too_large = 200
    calls.ends[b"a" * 201] = [TooLarge("no")]
    broker.put(b"a" * 201)
    async with running(broker, calls):
        await broker.until(lambda: len(broker.acknowledged) == 1)
    assert (broker.sessions, broker.sent[0].subject, broker.sent[0].body) == (1, "dead", b"")


async def test_a_broker_that_is_away_is_tried_again(broker: FakeBroker) -> None:
    calls, refusals = FakeCalls(broker), [ConnectionLost("away"), ConnectionLost("away")]
    connect = broker.connect

    async def refuse(name: str, bridge: Bridge) -> FakeSession:
        if refusals:
            raise refusals.pop()
        return await connect(name, bridge)

    broker.connect = refuse  # type: ignore[method-assign]
    broker.put(b"a")
    async with running(broker, calls) as runner:
        await broker.until(lambda: len(broker.acknowledged) == 1)
        assert runner.state == "connected"
    assert runner.state == "stopped"
