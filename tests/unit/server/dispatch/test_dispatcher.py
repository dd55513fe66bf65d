"""The queue of a version: who gets which call, and that every call is answered once."""

import asyncio
import random
from typing import Any

import pytest

from easymlnb.contract.errors import (
    Busy,
    CallCancelled,
    DeadlineExceeded,
    NotReady,
    WorkerLost,
    WorkerOutOfMemory,
)
from easymlnb.contract.resources import WorkerResources
from easymlnb.contract.worker_protocol import Call, Item
from easymlnb_server.dispatch import dispatcher as module
from easymlnb_server.dispatch.call import CallHandle
from easymlnb_server.dispatch.dispatcher import Dispatcher
from support.fakes import FakeLink, spec, until


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.02)


def submit(pool: Dispatcher, seconds: float = 30.0, body: bytes = b"{}") -> CallHandle:
    return pool.submit(Call(id=0, service="f", seconds=seconds), body)


def code(pending: CallHandle) -> str | None:
    """Return how a call ended: ``ok``, an error's code, or ``None`` while it is under way."""
    if not pending.answered.done():
        return None
    error = pending.answered.result().error
    return error.code if error is not None else "ok"


async def test_free_worker_takes_the_call_at_once() -> None:
    pool, link = Dispatcher(1), FakeLink()
    pool.join(link, 1)
    pending = submit(pool)
    assert link.calls == [pending.call.id]
    link.answer(pending.call.id, b"42")
    assert pending.answered.result().body == b"42"
    assert (pool.running, pool.waiting, len(link)) == (0, 0, 0)


async def test_a_call_leaves_with_its_worker() -> None:
    pool, link, other = Dispatcher(10), FakeLink(), FakeLink()
    pool.join(link, 1)
    pending, queued = submit(pool), submit(pool)
    assert pool.worker_of(pending) is link and pool.worker_of(queued) is None
    pool.detach(pending, link)
    assert (pool.running, pool.waiting, pool.workers) == (0, 1, ())
    assert pending.timer is None  # the limit of a plain call is over
    pool.join(other, 1)
    assert other.calls == [queued.call.id]
    link.answer(pending.call.id, b"42")
    assert pending.answered.result().body == b"42"
    assert not link.runs(pending.call.id) and pool.running == 1


async def test_a_call_that_has_left_is_not_tried_again() -> None:
    pool, link = Dispatcher(10), FakeLink()
    pool.join(link, 1)
    pending = pool.submit(
        Call(id=0, service="f"), b"{}", spec=spec(resources=WorkerResources(idempotent=True))
    )
    pool.detach(pending, link)
    link.close()
    assert code(pending) == "worker_lost" and pool.waiting == 0


async def test_calls_wait_in_order_for_a_worker() -> None:
    pool, link = Dispatcher(10), FakeLink()
    pendings = [submit(pool) for _ in range(3)]
    assert pool.waiting == 3
    pool.join(link, 1)
    for number, pending in enumerate(pendings):
        assert link.calls == [p.call.id for p in pendings[: number + 1]]
        link.answer(pending.call.id)
    assert [code(p) for p in pendings] == ["ok"] * 3


async def test_slots_are_calls_at_once() -> None:
    pool, link = Dispatcher(10), FakeLink()
    pool.join(link, 2)
    pendings = [submit(pool) for _ in range(3)]
    assert len(link.calls) == 2
    link.answer(pendings[1].call.id)
    assert len(link.calls) == 3


async def test_full_queue_refuses() -> None:
    pool, link = Dispatcher(2), FakeLink()
    pool.join(link, 1)
    for _ in range(3):
        submit(pool)
    with pytest.raises(Busy) as refused:
        submit(pool)
    assert refused.value.details["retry_after"] >= 1
    assert pool.waiting == 2


async def test_time_to_come_back_is_computed_from_measured_calls() -> None:
    pool, link = Dispatcher(4), FakeLink()
    pool.join(link, 1)
    first = submit(pool)
    link.answer(first.call.id, seconds=5.0)
    for _ in range(5):
        submit(pool)
    with pytest.raises(Busy) as refused:
        submit(pool)
    assert refused.value.details["retry_after"] == 20  # four wait, five seconds each, one worker


async def test_queue_that_takes_nobody() -> None:
    pool = Dispatcher(0)
    with pytest.raises(Busy):
        submit(pool)
    pool.join(FakeLink(), 1)
    submit(pool)


async def test_deadline_of_a_running_call() -> None:
    pool, link = Dispatcher(1), FakeLink()
    pool.join(link, 1)
    pending = submit(pool, 0.01)
    assert isinstance((await pending.answered).error, DeadlineExceeded)
    assert link.cancels == [pending.call.id]
    # Its slot stays taken until the worker is done with it.
    behind = submit(pool)
    assert link.calls == [pending.call.id]
    link.fail(pending.call.id, CallCancelled())
    assert link.calls == [pending.call.id, behind.call.id]


async def test_deadline_of_a_waiting_call() -> None:
    pool, link = Dispatcher(1), FakeLink()
    pool.join(link, 1)
    running, waiting = submit(pool), submit(pool, 0.01)
    assert isinstance((await waiting.answered).error, DeadlineExceeded)
    assert (pool.waiting, link.cancels) == (0, [])
    link.answer(running.call.id)
    assert link.calls == [running.call.id]


async def test_deadline_without_any_worker_says_that_it_is_not_ready() -> None:
    error = (await submit(Dispatcher(1), 0.01).answered).error
    assert isinstance(error, NotReady)


async def test_worker_that_does_not_let_go_is_told_of() -> None:
    told: list[Any] = []
    pool, link = Dispatcher(1, told.append), FakeLink()
    pool.join(link, 1)
    await submit(pool, 0.01).answered
    await until(lambda: told)
    assert told == [link]


async def test_worker_that_lets_go_in_time_is_left_alone() -> None:
    told: list[Any] = []
    pool, link = Dispatcher(1, told.append), FakeLink()
    pool.join(link, 1)
    pending = submit(pool, 0.01)
    await pending.answered
    link.fail(pending.call.id, CallCancelled())
    await asyncio.sleep(0.1)
    assert told == []


async def test_slot_of_a_call_that_cannot_be_stopped_is_given_to_the_next() -> None:
    pool, link = Dispatcher(1), FakeLink()
    pool.join(link, 1)
    stuck = submit(pool, 0.01)
    behind = submit(pool)
    await until(lambda: len(link.calls) == 2)
    # When it comes to an end after all, nothing is counted twice.
    link.answer(stuck.call.id)
    third = submit(pool)
    assert (pool.waiting, pool.running, len(link)) == (1, 1, 1)
    link.answer(behind.call.id)
    link.answer(third.call.id)
    assert (code(stuck), code(behind), code(third)) == ("deadline_exceeded", "ok", "ok")


async def test_lost_worker_fails_its_calls_and_those_in_line_wait() -> None:
    pool, link = Dispatcher(5), FakeLink()
    pool.join(link, 1)
    running, waiting = submit(pool), submit(pool)
    link.close()
    assert isinstance(running.answered.result().error, WorkerLost)
    assert (code(waiting), pool.running, pool.workers) == (None, 0, ())
    new = FakeLink()
    pool.join(new, 1)
    assert new.calls == [waiting.call.id]


async def test_call_that_may_run_twice_runs_once_more_first_in_line() -> None:
    pool, link = Dispatcher(5), FakeLink()
    pool.join(link, 1)
    twice = spec(resources=WorkerResources(idempotent=True))
    running = pool.submit(Call(id=0, service="f"), b"", spec=twice)
    waiting = submit(pool)
    link.close()
    assert code(running) is None
    pool.join(second := FakeLink(), 1)
    assert second.calls == [running.call.id]
    second.close()
    assert code(running) == "worker_lost"
    pool.join(third := FakeLink(), 1)
    assert third.calls == [waiting.call.id]
    assert pool.running == 1


@pytest.mark.parametrize("why", ["given", "stopped", "memory", "example"])
async def test_what_must_not_run_twice_does_not(why: str) -> None:
    pool, link = Dispatcher(5), FakeLink()
    pool.join(link, 1)
    twice = spec(resources=WorkerResources(idempotent=True))
    call = Call(id=0, service="f")
    pending = pool.submit(call, b"", spec=twice, worker=link if why == "example" else None)
    if why == "given":
        link.receive(Item(id=pending.call.id), b"1")
    if why == "stopped":
        pool.cancel(pending, CallCancelled())
    link.close(WorkerOutOfMemory(1) if why == "memory" else None)
    assert code(pending) in ("worker_lost", "cancelled", "worker_out_of_memory")
    assert (pool.waiting, pool.running) == (0, 0)


async def test_worker_lost_while_idle_gets_no_call() -> None:
    pool, link = Dispatcher(5), FakeLink()
    pool.join(link, 1)
    link.close()
    pending = submit(pool)
    assert (link.calls, pool.waiting, code(pending)) == ([], 1, None)


async def test_warm_up_on_a_lost_worker_fails_at_once() -> None:
    pool, link = Dispatcher(5), FakeLink()
    link.close()
    pending = pool.submit(Call(id=0, service="f"), b"", worker=link)
    assert code(pending) == "worker_lost"
    assert pool.running == 0


async def test_worker_that_leaves_finishes_what_it_has() -> None:
    pool, link = Dispatcher(5), FakeLink()
    pool.join(link, 1)
    running, waiting = submit(pool), submit(pool)
    pool.leave(link)
    link.answer(running.call.id)
    assert (code(running), code(waiting), link.calls) == ("ok", None, [running.call.id])


async def test_late_answer_is_dropped() -> None:
    pool, link = Dispatcher(5), FakeLink()
    pool.join(link, 1)
    pending = submit(pool)
    pool.cancel(pending, CallCancelled())
    pool.cancel(pending, CallCancelled("again"))
    assert link.cancels == [pending.call.id]
    link.answer(pending.call.id)
    link.answer(pending.call.id)
    assert (code(pending), pool.running) == ("cancelled", 0)
    submit(pool)
    submit(pool)
    assert pool.waiting == 1  # one slot, not two


async def test_closed_pool_refuses_and_fails_who_waits() -> None:
    pool = Dispatcher(5)
    pending = submit(pool)
    pool.close(NotReady("It was stopped."))
    assert code(pending) == "not_ready"
    with pytest.raises(NotReady):
        submit(pool)


async def test_drained_waits_for_running_and_waiting_calls() -> None:
    pool, link = Dispatcher(5), FakeLink()
    pool.join(link, 1)
    pendings = [submit(pool) for _ in range(2)]
    drained = asyncio.create_task(pool.wait_drained())
    for pending in pendings:
        await asyncio.sleep(0.01)
        assert not drained.done()
        link.answer(pending.call.id)
    await asyncio.wait_for(drained, 5)


@pytest.mark.parametrize("how", ["lost", "left", "none"])
async def test_drained_does_not_wait_for_nobody(how: str) -> None:
    pool, link = Dispatcher(5), FakeLink()
    if how != "none":
        pool.join(link, 1)
    submit(pool)
    drained = asyncio.create_task(pool.wait_drained())
    await asyncio.sleep(0.01)
    if how == "lost":
        link.close()
    elif how == "left":
        pool.leave(link)
    await asyncio.wait_for(drained, 5)


async def test_random_lives_of_calls_and_workers() -> None:
    """Whatever happens in whatever order, every call is answered once and no slot is lost."""
    chance = random.Random(7)
    pool = Dispatcher(20)
    links: list[FakeLink] = []
    pendings: list[CallHandle] = []

    def answer(link: FakeLink) -> None:
        open_calls = [call for call in link.calls if link.runs(call)]
        if open_calls:
            link.answer(chance.choice(open_calls), str(chance.random()).encode())

    for _ in range(4000):
        step = chance.random()
        if step < 0.02:
            links.append(FakeLink())
            pool.join(links[-1], chance.randrange(1, 4))
        elif step < 0.03 and links:
            chance.choice(links).close()
        elif step < 0.04 and links:
            pool.leave(chance.choice(links))
        elif step < 0.4:
            try:
                pendings.append(submit(pool))
            except Busy:
                assert pool.waiting == 20
        elif step < 0.5 and pendings:
            pool.cancel(chance.choice(pendings), CallCancelled())
        elif links:
            answer(chance.choice(links))
        links = [link for link in links if not link.lost or len(link)]
        assert pool.running == sum(map(len, links))
        for member in pool._slots:
            assert len(member.runs) <= member.capacity + member.prefetch
            assert not (member.is_free and pool.waiting)
    for link in links:
        link.close()
    pool.close(NotReady("over"))
    assert pool.running == 0
    assert all(pending.answered.done() for pending in pendings)
    assert all(pending.timer is None for pending in pendings)
