"""One way to run calls: resolve, queue, queue again after a replacement, record."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from easymlnb.contract.errors import (
    Busy,
    CallCancelled,
    Draining,
    EasyMLNBError,
    NotReady,
    ServiceNotFound,
)
from easymlnb.contract.worker_protocol import Call, Item, Result
from easymlnb_server.calls.in_flight import InFlight
from easymlnb_server.calls.invoker import Invocation, Invoker
from easymlnb_server.calls.log import CallLog
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.calls.record import CallRecorder
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.identity.access import Caller
from easymlnb_server.identity.quotas.quotas import Defaults, Quotas
from easymlnb_server.identity.usage.meter import UsageMeter
from easymlnb_server.observability.activity import Activity
from easymlnb_server.observability.metrics import UNKNOWN, Metrics
from easymlnb_server.services.live import LiveServices
from easymlnb_server.services.models import Target, VersionEntry
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.services.registry import ServiceRegistry
from support.fakes import FakeLink, spec, with_version


class World:
    """An invoker with its tables, and calls whose results it collects."""

    def __init__(self, **limits: Any) -> None:
        self.live, self.published = LiveServices(10), PublishedServices()
        self.published.open()
        self.in_flight, self.calls = InFlight(), CallLog()
        self.metrics = Metrics(
            self.live, self.published, self.in_flight.by_version, CollectorRegistry()
        )
        self.services = ServiceRegistry(self.live, self.published)
        self.usage = UsageMeter()
        self.quotas = Quotas(Defaults(), self.usage)
        self.recorder = CallRecorder(self.calls, self.metrics, self.usage)
        activity = Activity({}, {}, self.live)  # type: ignore[arg-type]
        self.invoker = Invoker(self.services, self.recorder, activity, self.in_flight, self.quotas)
        self.done: list[CallResult] = []

    def publish(self, version: int, pool: Dispatcher, **options: Any) -> None:
        deployment: Any = SimpleNamespace(dispatcher=pool)
        entry = VersionEntry(version, "bundle", spec(**options), deployment)
        self.published.set("f", with_version(entry))

    def request(self, **changes: Any) -> CallRequest:
        now = asyncio.get_running_loop().time()
        given: dict[str, Any] = {
            "service": "f", "body": b"{}", "content_type": "application/json",
            "caller": Caller("me"), "owner": "user", "request_id": "request-1",
            "received": now, "began": now,
        }  # fmt: skip
        return CallRequest(**{**given, **changes})

    def start(self, sink: Any = None, **changes: Any) -> Invocation:
        return self.invoker.start(
            self.request(**changes), lambda call, result: self.done.append(result), sink
        )

    def refused(self, name: str = "f", version: str = "1") -> dict[str, int]:
        return dict(self.metrics.series(name, version).refused)


class Sink:
    def __init__(self) -> None:
        self.versions: list[str] = []
        self.items: list[bytes] = []

    def on_accepted(self, target: Target) -> None:
        self.versions.append(target.version)

    def on_event(self, message: Any, body: bytes) -> None:
        self.items.append(body)


async def test_call_is_answered_and_recorded() -> None:
    world, pool, link = World(), Dispatcher(5), FakeLink()
    world.publish(1, pool)
    pool.join(link, 1)
    call = world.start()
    assert [*world.in_flight] == [call]
    link.answer(link.calls[0], b"7")
    assert [result.body for result in world.done] == [b"7"]
    assert [*world.in_flight] == []
    await asyncio.sleep(0)
    (entry,) = world.calls.of("f")
    assert (entry.request_id, entry.version, entry.status) == ("request-1", "1", 200)
    assert world.metrics.series("f", "1").ended == {(200, "ok"): 1}


async def test_invoke_waits_and_cancelling_it_stops_the_call() -> None:
    world, pool, link = World(), Dispatcher(5), FakeLink()
    world.publish(1, pool)
    pool.join(link, 1)
    waiting = asyncio.create_task(world.invoker.invoke(world.request()))
    await asyncio.sleep(0)
    link.answer(link.calls[0], b"7")
    assert (await waiting).body == b"7"
    waiting = asyncio.create_task(world.invoker.invoke(world.request()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert link.cancels == [link.calls[1]]


async def test_waiting_call_goes_to_the_version_that_took_over() -> None:
    world, old, new, link, sink = World(), Dispatcher(5), Dispatcher(5), FakeLink(), Sink()
    world.publish(1, old)
    call = world.start(sink)
    world.publish(2, new)
    new.join(link, 1)
    old.close(NotReady("replaced"))
    assert (call.target.version, sink.versions) == ("2", ["1", "2"])
    link.answer(link.calls[0])
    assert [result.error for result in world.done] == [None]
    await asyncio.sleep(0)
    assert [entry.version for entry in world.calls.of("f")] == ["2"]


async def test_waiting_call_ends_where_the_next_version_refuses_it() -> None:
    world, old, new = World(), Dispatcher(5), Dispatcher(0)
    world.publish(1, old)
    world.start()
    world.publish(2, new)
    old.close(NotReady("replaced"))
    (result,) = world.done
    assert isinstance(result.error, Busy)
    assert [*world.in_flight] == []
    await asyncio.sleep(0)
    assert [entry.code for entry in world.calls.of("f")] == ["busy"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda world: setattr(world.services, "draining", True), Draining),
        (lambda world: world.publish(1, Dispatcher(0)), Busy),
        (lambda world: world.publish(1, Dispatcher(5), stream=True), NotReady),
        (lambda world: world.publish(1, Dispatcher(5), max_body=1), NotReady),
        (lambda world: world.published.close(NotReady("standby")), NotReady),
    ],
)
async def test_refused_call_is_counted_once(change: Any, error: type[EasyMLNBError]) -> None:
    world = World()
    world.publish(1, Dispatcher(5))
    change(world)
    with pytest.raises(error):
        world.start()
    counted = {**world.refused(), **world.refused(*UNKNOWN)}
    assert counted == {error.code: 1}
    assert world.done == [] and [*world.in_flight] == []


async def test_public_page_does_not_call_an_unpublished_notebook() -> None:
    world, link = World(), FakeLink()
    world.live.offer(link, spec())
    with pytest.raises(ServiceNotFound):
        world.start(published_only=True)
    call = world.start()
    assert call.target.version == "live"
    link.close()


async def test_stream_goes_to_its_sink_and_is_acknowledged() -> None:
    world, pool, link, sink = World(), Dispatcher(5), FakeLink(), Sink()
    world.publish(1, pool, stream=True)
    pool.join(link, 1)
    call = world.start(sink)
    link.receive(Item(id=link.calls[0]), b"1")
    call.acknowledge(1)
    assert link.sent[-1].size == 1
    link.receive(Result(id=link.calls[0], content_type="application/jsonl", seconds=0.1), b"")
    assert sink.items == [b"1"]
    assert len(world.done) == 1


async def test_calls_are_found_by_request_id_owner_and_service() -> None:
    world, pool = World(), Dispatcher(5)
    world.publish(1, pool)
    call = world.start()
    find = world.in_flight.find
    assert find("request-1", "user") == find("request-1", None, "f") == [call]
    assert find("request-1", "another user") == find("request-9", None) == []
    assert find("request-1", None, "g") == []
    call.stop(CallCancelled())
    (result,) = world.done
    assert isinstance(result.error, CallCancelled)
    call.stop(CallCancelled())  # it has ended: nothing happens
    assert len(world.done) == 1


@pytest.mark.parametrize(
    ("limits", "seconds", "limit"),
    [
        ({}, 30.0, 30.0),
        ({"timeout": 5.0}, 5.0, 5.0),
        ({"timeout": 500.0}, 30.0, 30.0),
        ({"deadline": 2.0}, 2.0, 0.0),
        ({"deadline": 90.0}, 30.0, 30.0),
        ({"deadline": -1.0}, 0.001, 0.0),
    ],
)
async def test_call_gets_no_more_time_than_anything_that_waits_for_it(
    limits: dict[str, float], seconds: float, limit: float
) -> None:
    world, pool, link = World(), Dispatcher(5), FakeLink()
    world.publish(1, pool, timeout=30.0)
    pool.join(link, 1)
    if "deadline" in limits:
        limits = {"deadline": asyncio.get_running_loop().time() + limits["deadline"]}
    call = world.start(**limits)
    (sent,) = [message for message in link.sent if isinstance(message, Call)]
    assert sent.seconds == pytest.approx(seconds, abs=0.5)
    assert call.handle is not None and call.handle.timeout == limit
    link.close()


async def test_trace_context_reaches_the_calls_that_wait_for_this_one() -> None:
    world, pool, link = World(), Dispatcher(5), FakeLink()
    world.publish(1, pool)
    pool.join(link, 1)
    world.start(headers={"traceparent": "00-1-2-01"})
    outer = link.find_call(link.calls[0])
    assert outer is not None and outer.trace == {"traceparent": "00-1-2-01"}
    link.close()
