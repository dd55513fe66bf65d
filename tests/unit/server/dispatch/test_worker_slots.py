"""Slots of workers: prefetched and recalled calls, coroutines, limits of a service."""

import asyncio
import random
from typing import Any

import pytest

from easymlnb.contract.errors import Busy, CallCancelled, DeadlineExceeded, WorkerLost
from easymlnb.contract.spec import Batch
from easymlnb.contract.worker_protocol import Call, NotStarted, Recall
from easymlnb_server.dispatch import dispatcher as module
from easymlnb_server.dispatch import scheduler, worker_slots
from easymlnb_server.dispatch.call import CallHandle
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.dispatch.worker_slots import PREFETCH_LIMIT
from support.fakes import FakeLink, spec, until

SHORT = 0.0001


def submit(pool: Dispatcher, service: str = "f", seconds: float = 30.0, **more: Any) -> CallHandle:
    called = Call(id=0, service=service, seconds=seconds)
    patient = more.pop("low_priority", False)
    return pool.submit(called, b"{}", spec=spec(service, **more), low_priority=patient)


def code(pending: CallHandle) -> str | None:
    if not pending.answered.done():
        return None
    error = pending.answered.result().error
    return error.code if error is not None else "ok"


def recalls(link: FakeLink) -> list[int]:
    return [message.id for message in link.sent if isinstance(message, Recall)]


def known_short(*links: FakeLink, seconds: float = SHORT) -> Dispatcher:
    """Return a pool of workers that has seen how long a call of ``f`` takes."""
    pool = Dispatcher(100)
    for link in links:
        pool.join(link, 1, PREFETCH_LIMIT)
    link = links[0]
    submit(pool)
    link.answer(link.calls.pop(), seconds=seconds)
    link.sent.clear()
    return pool


async def test_short_calls_wait_on_their_worker() -> None:
    pool = known_short(link := FakeLink())
    pendings = [submit(pool) for _ in range(PREFETCH_LIMIT + 3)]
    assert link.calls == [p.call.id for p in pendings[: PREFETCH_LIMIT + 1]]
    assert (pool.waiting, [p.prefetched for p in pendings[:3]]) == (2, [False, True, True])
    for pending in pendings:
        link.answer(pending.call.id, seconds=SHORT)
    assert [code(p) for p in pendings] == ["ok"] * len(pendings)


async def test_long_calls_are_not_prefetched() -> None:
    pool = known_short(link := FakeLink(), seconds=2 * scheduler.SHORT)
    for _ in range(5):
        submit(pool)
    assert len(link.calls) == 1


async def test_nothing_is_prefetched_behind_a_call_that_is_not_short() -> None:
    pool = known_short(link := FakeLink())
    first, unknown = submit(pool), submit(pool, "g")
    link.answer(first.call.id, seconds=SHORT)
    short = [submit(pool) for _ in range(3)]
    assert (link.calls, pool.waiting) == ([first.call.id, unknown.call.id], 3)
    link.answer(unknown.call.id, seconds=SHORT)
    assert link.calls[2:] == [p.call.id for p in short]


async def test_calls_of_which_nothing_is_known_are_not_prefetched() -> None:
    pool, link = Dispatcher(10), FakeLink()
    pool.join(link, 1, PREFETCH_LIMIT)
    for _ in range(2):
        submit(pool)
    assert len(link.calls) == 1


async def test_free_workers_go_first() -> None:
    links = [FakeLink(str(n)) for n in range(3)]
    pool = known_short(*links)
    for _ in range(6):
        submit(pool)
    assert [len(link.calls) for link in links] == [2, 2, 2]


async def test_flood_of_short_calls_keeps_no_batch_from_its_turn() -> None:
    pool = known_short(link := FakeLink())
    flood = [submit(pool) for _ in range(3)]
    batched = submit(pool, "g", batch=Batch())
    unknown = submit(pool, "h")
    for _ in range(8):
        flood.append(submit(pool))
    await asyncio.sleep(0)
    assert len(link.calls) == 3
    for done in range(3):
        link.answer(flood[done].call.id, seconds=SHORT)
    assert link.calls[3:] == [batched.call.id]
    link.answer(batched.call.id, seconds=SHORT)
    assert link.calls[4:] == [unknown.call.id]
    link.answer(unknown.call.id, seconds=SHORT)
    assert len(link.calls) == 5 + 1 + PREFETCH_LIMIT


async def test_held_call_is_cancelled_without_harm() -> None:
    told: list[Any] = []
    pool = known_short(link := FakeLink())
    pool._on_stuck = told.append
    running, held, last = (submit(pool) for _ in range(3))
    pool.cancel(held, CallCancelled())
    assert (code(held), link.cancels) == ("cancelled", [held.call.id])
    link.answer(running.call.id)
    link.fail(held.call.id, CallCancelled())
    link.answer(last.call.id)
    assert (code(running), code(last), pool.running) == ("ok", "ok", 0)


async def test_cancelled_call_that_was_never_begun_does_not_end_its_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.01)
    told: list[Any] = []
    pool = known_short(link := FakeLink())
    pool._on_stuck = told.append
    running, held = submit(pool), submit(pool, seconds=0.01)
    assert isinstance((await held.answered).error, DeadlineExceeded)
    await asyncio.sleep(0.1)
    assert told == []  # the one before it may take its time
    link.answer(running.call.id)
    await until(lambda: told)  # but this one has to stop


async def test_calls_behind_one_that_lasts_are_taken_back_for_others() -> None:
    slow, free = FakeLink("slow"), FakeLink("free")
    pool = known_short(slow)
    running, *held = (submit(pool) for _ in range(4))
    assert recalls(slow) == []  # there is no other worker
    pool.join(free, 1, PREFETCH_LIMIT)
    assert recalls(slow) == [p.call.id for p in reversed(held)]
    for pending in reversed(held):
        slow.receive(NotStarted(id=pending.call.id), b"")
    assert {p.call.id for p in held} == set(free.calls)
    for pending in held:
        free.answer(pending.call.id, seconds=SHORT)
    assert [code(p) for p in held] == ["ok"] * 3
    assert code(running) is None
    # It gets no more to hold until it has answered.
    submit(pool)
    assert len(slow.calls) == 4
    slow.answer(running.call.id, seconds=SHORT)
    assert pool.running == 1


async def test_calls_behind_one_that_lasts_go_to_workers_that_are_never_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow, other = FakeLink("slow"), FakeLink("other")
    pool = known_short(slow, other)
    pendings = [submit(pool) for _ in range(2 + 2 * PREFETCH_LIMIT)]
    behind = [p for p in pendings if slow.runs(p.call.id)][1:]
    waiting = [submit(pool) for _ in range(2)]
    other.answer(other.calls[0], seconds=SHORT)
    assert recalls(slow) == []
    monkeypatch.setattr(worker_slots, "RECALL_AFTER", -1.0)
    other.answer(other.calls[1], seconds=SHORT)
    assert recalls(slow) == [p.call.id for p in reversed(behind)]
    for pending in reversed(behind):
        slow.receive(NotStarted(id=pending.call.id), b"")
    monkeypatch.undo()
    while pool.running > 1:
        other.answer(next(call for call in other.calls if other.runs(call)), seconds=SHORT)
    assert [code(p) for p in (*behind, *waiting)] == ["ok"] * (PREFETCH_LIMIT + 2)
    assert len(slow) == 1


async def test_calls_that_a_service_waits_for_are_not_prefetched() -> None:
    pool = known_short(link := FakeLink())
    running = submit(pool)
    called = Call(id=0, service="f")
    inner = pool.submit(called, b"{}", spec=spec("f"), chain=(("outer", FakeLink("other")),))
    behind = submit(pool)
    assert (link.calls, pool.waiting) == ([running.call.id], 2)
    link.answer(running.call.id, seconds=SHORT)
    assert link.calls[1:] == [inner.call.id, behind.call.id]


async def test_call_that_was_begun_meanwhile_is_not_given_back() -> None:
    pool = known_short(link := FakeLink())
    first, second = submit(pool), submit(pool)
    pool.join(FakeLink("free"), 1, PREFETCH_LIMIT)
    assert recalls(link) == [second.call.id]
    link.answer(first.call.id)
    link.answer(second.call.id)
    assert (code(first), code(second), pool.waiting) == ("ok", "ok", 0)


async def test_taken_back_and_cancelled_at_once() -> None:
    pool = known_short(link := FakeLink())
    first, second = submit(pool), submit(pool)
    pool.cancel(second, CallCancelled())
    link.receive(NotStarted(id=second.call.id), b"")
    assert (code(second), pool.waiting, pool.running) == ("cancelled", 0, 1)
    link.answer(first.call.id)
    assert code(first) == "ok"


async def test_death_fails_what_ran_and_nothing_that_waited() -> None:
    dead, other = FakeLink("dead"), FakeLink("other")
    pool = known_short(dead)
    running, *held = (submit(pool) for _ in range(4))
    dead.close(by_kernel=True)
    assert isinstance(running.answered.result().error, WorkerLost)
    assert ([code(p) for p in held], pool.waiting) == ([None] * 3, 3)
    pool.join(other, 1, PREFETCH_LIMIT)
    assert other.calls == [p.call.id for p in held]  # in their order
    for pending in held:
        other.answer(pending.call.id)
    assert {code(p) for p in held} == {"ok"}


async def test_what_may_have_begun_is_not_run_again() -> None:
    pool = known_short(link := FakeLink())
    running, held = submit(pool), submit(pool)
    link.close()  # not by the kernel's own end: its last answers may be lost
    assert (code(running), code(held), pool.waiting) == ("worker_lost", "worker_lost", 0)


async def test_coroutines_run_beside_up_to_their_number() -> None:
    pool, link = Dispatcher(10), FakeLink()
    pool.join(link, 1)
    many = [submit(pool, "many", concurrency=3) for _ in range(5)]
    plain = submit(pool, "plain")
    assert link.calls == [p.call.id for p in (*many[:3], plain)]
    link.answer(many[1].call.id)
    assert link.calls[4:] == [many[3].call.id]
    link.answer(plain.call.id)
    assert len(link.calls) == 5


async def test_coroutines_go_where_fewest_are() -> None:
    links = FakeLink("a"), FakeLink("b")
    pool = Dispatcher(10)
    for link in links:
        pool.join(link, 1)
    for _ in range(4):
        submit(pool, concurrency=16)
    assert [len(link.calls) for link in links] == [2, 2]


async def test_no_more_of_a_service_at_once_than_it_says() -> None:
    links = [FakeLink(str(n)) for n in range(3)]
    pool = Dispatcher(10)
    for link in links:
        pool.join(link, 1)
    bounded = [submit(pool, "bounded", max_concurrent=2) for _ in range(3)]
    assert sum(len(link.calls) for link in links) == 2
    free = submit(pool, "free")
    assert links[2].calls == [free.call.id]
    links[0].answer(bounded[0].call.id)
    assert links[0].calls == [bounded[0].call.id, bounded[2].call.id]


async def test_flood_of_one_service_refuses_no_other() -> None:
    pool = Dispatcher(2)
    for _ in range(2):
        submit(pool, "flood")
    with pytest.raises(Busy):
        submit(pool, "flood")
    other = submit(pool, "other")
    pool.join(link := FakeLink(), 1)
    link.answer(link.calls[0])
    assert link.calls[1] == other.call.id


async def test_priority_decides_who_is_next() -> None:
    pool, link = Dispatcher(10), FakeLink()
    pool.join(link, 1)
    running = submit(pool)
    patient, urgent = submit(pool, low_priority=True), submit(pool)
    assert [pool.queue_position(p) for p in (urgent, patient, running)] == [
        (1, 0.0),
        (2, 0.0),
        None,
    ]
    link.answer(running.call.id, seconds=2.0)
    assert link.calls[1] == urgent.call.id
    assert pool.queue_position(patient) == (1, 2.0)


async def test_batch_is_no_larger_than_its_earliest_deadline_allows() -> None:
    pool, link = Dispatcher(100), FakeLink()
    pool.join(link, 1)
    batch = Batch(max_size=32)

    async def run(size: int) -> None:
        pendings = [submit(pool, batch=batch) for _ in range(size)]
        await until(lambda: pendings[-1].call.id in link.calls)
        for pending in pendings:
            link.answer(pending.call.id, seconds=0.5 + 0.5 * size)

    for size in (1, 4, 1, 4, 2):
        await run(size)
    link.sent.clear()
    hurried = [submit(pool, batch=batch, seconds=3.2) for _ in range(8)]
    await until(lambda: link.calls)
    assert link.calls == [p.call.id for p in hurried[:5]]  # 0.5 + 5 x 0.5 = 3 s
    for pending in hurried[:5]:
        link.answer(pending.call.id, seconds=3.0)
    await until(lambda: len(link.calls) == 8)


async def test_hopeless_deadline_does_not_make_batches_small() -> None:
    pool, link = Dispatcher(100), FakeLink()
    pool.join(link, 1)
    batch = Batch(max_size=32)
    submit(pool, batch=batch)
    await asyncio.sleep(0)
    link.answer(link.calls[0], seconds=5.0)
    link.sent.clear()
    pendings = [submit(pool, batch=batch, seconds=s) for s in (1.0, 30.0, 1.0)]
    await until(lambda: link.calls)
    assert link.calls == [p.call.id for p in pendings]


class Kernel:
    """The other end of a link: a worker that reads late, gives calls back and may die."""

    def __init__(self) -> None:
        self.link = FakeLink()
        self.begun: list[int] = []
        self._read = 0
        self._inbox: list[int] = []
        self._runs = 0

    def step(self, chance: random.Random) -> None:
        """Read the messages or not, then begin or end a call."""
        if chance.random() < 0.5:
            self._take()
        if self._runs:
            number, self._runs = self._runs, 0
            self.link.answer(number, seconds=SHORT)
        elif self._inbox:
            self._runs = self._inbox.pop(0)
            self.begun.append(self._runs)

    def _take(self) -> None:
        new, self._read = self.link.sent[self._read :], len(self.link.sent)
        for message in new:
            if isinstance(message, Call):
                self._inbox.append(message.id)
            elif isinstance(message, Recall) and message.id in self._inbox:
                self._inbox.remove(message.id)
                self.link.receive(NotStarted(id=message.id), b"")


@pytest.mark.parametrize("seed", range(5))
async def test_random_lives_of_workers_with_prefetched_calls(seed: int) -> None:
    """Each call is answered once and begun at most once, and no worker is idle for long."""
    chance = random.Random(seed)
    pool = known_short(first := FakeLink())
    first.close(by_kernel=True)
    kernels: list[Kernel] = []
    dead: list[Kernel] = []
    pendings: list[CallHandle] = []
    for _ in range(4000):
        step = chance.random()
        if step < 0.02 or not kernels:
            kernels.append(Kernel())
            pool.join(kernels[-1].link, 1, PREFETCH_LIMIT)
        elif step < 0.03:
            dead.append(kernels.pop(chance.randrange(len(kernels))))
            dead[-1].link.close(by_kernel=True)
        elif step < 0.5 and pool.waiting < 50:
            pendings.append(submit(pool, chance.choice("ffg")))
        elif step < 0.52 and pendings:
            pool.cancel(chance.choice(pendings), CallCancelled())
        else:
            chance.choice(kernels).step(chance)
        assert pool.running == sum(len(kernel.link) for kernel in kernels)
        assert all(len(m.runs) <= 1 + PREFETCH_LIMIT for m in pool._slots)
        assert not (pool.waiting and any(member.is_free for member in pool._slots))
    for _ in range(100):
        for kernel in kernels:
            kernel.step(chance)
    begun = [number for kernel in (*kernels, *dead) for number in kernel.begun]
    assert len(begun) == len(set(begun))
    assert (pool.running, pool.waiting) == (0, 0)
    codes = {code(pending) for pending in pendings}
    assert codes == {"ok", "cancelled", "worker_lost"}
    # A dead worker loses the call that it ran, and none of those that waited there.
    lost = [pending for pending in pendings if code(pending) == "worker_lost"]
    assert len(lost) <= len(dead)
