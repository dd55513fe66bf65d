"""One key, one run, one answer: joined, repeated, refused, forgotten."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from easymlnb.contract.errors import (
    Busy,
    CallCancelled,
    CallNotFound,
    DeadlineExceeded,
    IdempotencyKeyConflict,
    InternalError,
    InvalidInput,
    LimitExceeded,
    WorkerLost,
)
from easymlnb.contract.worker_protocol import Item, Progress, Result
from easymlnb_server.calls import idempotency as module
from easymlnb_server.calls.handlers import CallHandler
from easymlnb_server.calls.idempotency import IdempotencyCache, IdempotentCall
from easymlnb_server.calls.responses import EventStreamResponse
from easymlnb_server.calls.shared_stream import KEPT, SharedStream
from easymlnb_server.dispatch.call import CallResult

KEY = ("user", "f", "key")
SEEN = b"fingerprint"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def good(body: bytes = b"1") -> CallResult:
    return CallResult(result=Result(id=1, content_type="application/json"), body=body)


async def ready(answer: CallResult) -> CallResult:
    return answer


async def run(
    keys: IdempotencyCache, number: int = 0, answer: CallResult | None = None
) -> IdempotentCall:
    once, new = keys.join((*KEY, str(number)), SEEN)
    assert new
    await keys.run(once, ready(answer or good()))
    return once


async def test_callers_of_one_key_share_one_run() -> None:
    keys = IdempotencyCache()
    begin = asyncio.Event()
    runs: list[int] = []

    async def work() -> CallResult:
        runs.append(1)
        await begin.wait()
        return good(b"42")

    first, new = keys.join(KEY, SEEN)
    assert new
    running = asyncio.create_task(keys.run(first, work()))
    await asyncio.sleep(0)
    second, new = keys.join(KEY, SEEN)
    assert (second is first, new) == (True, False)
    begin.set()
    assert (await running).body == (await second.result).body == b"42"
    later, new = keys.join(KEY, SEEN)
    assert (new, later.result.result().body, runs) == (False, b"42", [1])


async def test_another_request_under_the_key_is_refused() -> None:
    keys = IdempotencyCache()
    await run(keys)
    with pytest.raises(IdempotencyKeyConflict):
        keys.join((*KEY, "0"), b"other")
    assert keys.join(("somebody", "f", "key", "0"), b"other")[1]


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (WorkerLost(), False),
        (CallCancelled(), False),
        (LimitExceeded("you", "concurrent", 1, 1), False),
        (InvalidInput([]), True),
    ],
)
async def test_errors_are_kept_only_if_trying_again_is_no_use(error: Any, kept: bool) -> None:
    keys = IdempotencyCache()
    await run(keys, answer=CallResult(error=error))
    assert len(keys) == kept


async def test_refused_call_leaves_nothing_and_tells_who_joined() -> None:
    keys = IdempotencyCache()
    once, _ = keys.join(KEY, SEEN)
    joined, _ = keys.join(KEY, SEEN)

    async def refused() -> CallResult:
        raise Busy(1, 1.0)

    with pytest.raises(Busy):
        await keys.run(once, refused())
    assert isinstance(joined.result.result().error, Busy)
    assert len(keys) == 0


async def test_defect_leaves_nobody_waiting() -> None:
    keys = IdempotencyCache()
    once, _ = keys.join(KEY, SEEN)

    async def broken() -> CallResult:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await keys.run(once, broken())
    assert isinstance(once.result.result().error, InternalError)
    assert len(keys) == 0


async def test_last_caller_to_leave_stops_the_call() -> None:
    keys = IdempotencyCache()
    once, _ = keys.join(KEY, SEEN)
    keys.join(KEY, SEEN)
    stopped: list[Any] = []
    once.stop = stopped.append
    once.leave()
    assert stopped == []
    once.leave()
    assert isinstance(stopped[0], CallCancelled)


async def test_answers_are_forgotten_after_a_time() -> None:
    clock = Clock()
    keys = IdempotencyCache(clock)
    await run(keys, 1)
    clock.now = module.MAX_AGE - 1
    await run(keys, 2)
    assert not keys.join((*KEY, "1"), SEEN)[1]
    clock.now = module.MAX_AGE + 1
    assert keys.join((*KEY, "1"), SEEN)[1]
    assert not keys.join((*KEY, "2"), SEEN)[1]


async def test_number_of_answers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RESULTS", 3)
    keys = IdempotencyCache()
    running, _ = keys.join(KEY, SEEN)
    for number in range(5):
        await run(keys, number)
    assert len(keys) == 4
    assert not keys.join((*KEY, "4"), SEEN)[1]
    assert keys.join((*KEY, "0"), SEEN)[1]
    assert not keys.join(KEY, SEEN)[1]  # what runs is not forgotten
    assert not running.result.done()


async def test_bytes_of_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    keys = IdempotencyCache()
    for number in range(5):
        await run(keys, number, good(b"x" * 40))
    assert len(keys) == 2
    await run(keys, 9, good(b"x" * (module.MAX_RESULT_BYTES + 1)))
    assert len(keys) == 2


async def test_one_who_waits_can_be_stopped_alone() -> None:
    keys = IdempotencyCache()
    begin = asyncio.Event()

    async def work() -> CallResult:
        await begin.wait()
        return good(b"42")

    first, _ = keys.join(KEY, SEEN)
    running = asyncio.create_task(keys.run(first, work()))
    with (
        keys.waiting(first, "mine", "user", "f") as mine,
        keys.waiting(first, "other", "user", "f") as other,
    ):
        assert keys.find_waiters("mine", "somebody") == []
        assert keys.find_waiters("mine", "user", "f") == [mine]
        assert keys.find_waiters("mine", "user", "g") == []
        assert keys.find_waiters("mine", None) == keys.find_waiters("mine", "user") == [mine]
        mine.stop(CallCancelled())
        mine.stop(CallCancelled())
        assert isinstance((await mine.result).error, CallCancelled)
        begin.set()
        assert (await other.result).body == (await running).body == b"42"
    assert keys.find_waiters("mine", None) == []


async def test_a_patient_call_continues_without_callers_and_is_taken_up() -> None:
    keys = IdempotencyCache()
    stopped: list[str] = []
    once, _ = keys.join(KEY, SEEN)
    once.stop, once.patience = (lambda error: stopped.append(error.code)), 60.0
    once.report(Progress(id=1, fraction=0.5), b"")
    once.leave()
    assert keys.resume(KEY) is once and once.progress is not None
    seen: list[float] = []
    once.followers.append(lambda progress, body: seen.append(progress.fraction))
    once.report(Progress(id=1, fraction=0.7), b"")
    assert seen == [0.7]
    once._stop_if_alone()
    assert not stopped
    once.leave()
    once._stop_if_alone()  # the patience is over
    assert stopped == ["cancelled"]


async def test_the_end_of_a_call_that_nobody_awaits_is_kept() -> None:
    keys = IdempotencyCache()
    once, _ = keys.join(KEY, SEEN)
    once.patience = 60.0
    once.leave()
    failed = CallResult(error=WorkerLost())
    await keys.run(once, ready(failed))
    assert (await keys.resume(KEY).result).error is failed.error
    with pytest.raises(CallNotFound):
        keys.resume(("user", "f", "unknown"))


def test_a_stream_waits_for_its_reader_and_for_nobody_without_one() -> None:
    read: list[int] = []
    stream = SharedStream(read.append)
    first = stream.attach()
    stream.add(b"one")
    stream.add(b"two")
    first.acknowledge(3)
    assert read == [3]
    first.leave()
    assert read == [3, 3]  # what the first page did not get
    stream.add(b"three")
    assert read == [3, 3, 5]
    second = stream.attach()
    assert stream.items == (b"one", b"two", b"three")
    stream.add(b"four")
    second.acknowledge(8)
    first.acknowledge(100)  # too late
    assert read == [3, 3, 5]  # these were read before
    second.acknowledge(7)
    assert read == [3, 3, 5, 4]


def test_a_long_stream_keeps_its_end() -> None:
    read: list[int] = []
    stream = SharedStream(read.append)
    for _ in range(5):
        stream.add(b"x" * (KEPT // 2))
    assert len(stream.items) == 2 and stream.size == KEPT and sum(read) == 5 * (KEPT // 2)


async def test_who_takes_a_stream_up_gets_all_of_it() -> None:
    keys = IdempotencyCache()
    once, _ = keys.join(KEY, SEEN)
    once.stream = SharedStream(lambda size: None)
    got: list[bytes] = []
    once.report(Item(id=1), b"1")
    once.report(Progress(id=1, fraction=0.5), b"")
    with once.following(lambda message, body: got.append(body)) as reader:
        once.report(Item(id=1), b"2")
    assert got == [b"", b"1", b"2"] and reader is not None
    await keys.run(once, ready(good(b"")))
    assert keys.resume(KEY) is once and once.size == 2


async def test_request_that_waits_too_long_ends_its_event_stream_with_the_error() -> None:
    cache = IdempotencyCache()
    once, _ = cache.join(KEY, SEEN)
    out: Any = SimpleNamespace(set_header=lambda *_: None, write=lambda _: None, flush=lambda: None)
    handler: Any = SimpleNamespace(
        on_accepted=lambda target: None,
        on_event=lambda message, body: None,
        set_header=lambda *_: None,
        request_id="r",
        state=SimpleNamespace(idempotency=cache),
        _began=time.monotonic(),
        _is_ready=lambda: True,
        _leave=once.leave,
        _writer=EventStreamResponse(out),
    )
    request: Any = SimpleNamespace(timeout=0.001, owner="user", service="f")
    target: Any = SimpleNamespace(spec=SimpleNamespace(timeout=1.0))
    result = await CallHandler._wait_for(handler, once, request, target)
    assert isinstance(result.error, DeadlineExceeded) and not once.callers
