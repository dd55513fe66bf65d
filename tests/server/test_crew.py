"""Places on workers: calls sent ahead and taken back, coroutines beside, bounds of a service."""

import asyncio
from typing import Any

import pytest
from fakes import FakeLink, in_loop, spec, until

from easymlnb.contract.errors import Busy, CallCancelled, DeadlineExceeded, WorkerLost
from easymlnb.contract.frames import Call, Recall, Unbegun
from easymlnb.contract.spec import Batch
from easymlnb_server.engine import crew
from easymlnb_server.engine import pool as module
from easymlnb_server.engine.crew import AHEAD
from easymlnb_server.engine.pending import Pending
from easymlnb_server.engine.pool import Pool

SHORT = 0.0001


def submit(pool: Pool, service: str = "f", seconds: float = 30.0, **more: Any) -> Pending:
    called = Call(id=0, service=service, seconds=seconds)
    patient = more.pop("patient", False)
    return pool.submit(called, b"{}", spec=spec(service, **more), patient=patient)


def code(pending: Pending) -> str | None:
    if not pending.answered.done():
        return None
    error = pending.answered.result().error
    return error.code if error is not None else "ok"


def recalls(link: FakeLink) -> list[int]:
    return [message.id for message in link.sent if isinstance(message, Recall)]


def known_short(*links: FakeLink, seconds: float = SHORT) -> Pool:
    """Return a pool of workers that has seen how long a call of ``f`` takes."""
    pool = Pool(100)
    for link in links:
        pool.join(link, 1, AHEAD)
    link = links[0]
    submit(pool)
    link.answer(link.calls.pop(), seconds=seconds)
    link.sent.clear()
    return pool


@in_loop
async def test_short_calls_wait_on_their_worker() -> None:
    pool = known_short(link := FakeLink())
    pendings = [submit(pool) for _ in range(AHEAD + 3)]
    assert link.calls == [p.call.id for p in pendings[: AHEAD + 1]]
    assert (pool.waiting, [p.held for p in pendings[:3]]) == (2, [False, True, True])
    for pending in pendings:
        link.answer(pending.call.id, seconds=SHORT)
    assert [code(p) for p in pendings] == ["ok"] * len(pendings)


@pytest.mark.parametrize(("seconds", "ahead"), [(0.0006, 2), (0.0009, 1), (0.0015, 0)])
@in_loop
async def test_a_worker_holds_little_work(seconds: float, ahead: int) -> None:
    pool = known_short(link := FakeLink(), seconds=seconds)
    for _ in range(5):
        submit(pool)
    assert len(link.calls) == 1 + ahead


@in_loop
async def test_calls_of_which_nothing_is_known_are_not_sent_ahead() -> None:
    pool, link = Pool(10), FakeLink()
    pool.join(link, 1, AHEAD)
    for _ in range(2):
        submit(pool)
    assert len(link.calls) == 1


@in_loop
async def test_free_workers_go_first() -> None:
    links = [FakeLink(str(n)) for n in range(3)]
    pool = known_short(*links)
    for _ in range(6):
        submit(pool)
    assert [len(link.calls) for link in links] == [2, 2, 2]


@in_loop
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
    assert len(link.calls) == 5 + 8


@in_loop
async def test_held_call_is_cancelled_without_harm() -> None:
    told: list[Any] = []
    pool = known_short(link := FakeLink())
    pool._overdue = told.append
    running, held, last = (submit(pool) for _ in range(3))
    pool.cancel(held, CallCancelled())
    assert (code(held), link.cancels) == ("cancelled", [held.call.id])
    link.answer(running.call.id)
    link.fail(held.call.id, CallCancelled())
    link.answer(last.call.id)
    assert (code(running), code(last), pool.running) == ("ok", "ok", 0)


@in_loop
async def test_cancelled_call_that_was_never_begun_does_not_end_its_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.01)
    told: list[Any] = []
    pool = known_short(link := FakeLink())
    pool._overdue = told.append
    running, held = submit(pool), submit(pool, seconds=0.01)
    assert isinstance((await held.answered).error, DeadlineExceeded)
    await asyncio.sleep(0.1)
    assert told == []  # the one before it may take its time
    link.answer(running.call.id)
    await until(lambda: told)  # but this one was told to stop


@in_loop
async def test_calls_behind_one_that_lasts_are_taken_back_for_others() -> None:
    slow, free = FakeLink("slow"), FakeLink("free")
    pool = known_short(slow)
    running, *held = (submit(pool) for _ in range(4))
    await until(lambda: len(recalls(slow)) == 3)
    pool.join(free, 1, AHEAD)
    for pending in held:
        slow.take(Unbegun(id=pending.call.id), b"")
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


@in_loop
async def test_call_that_was_begun_meanwhile_is_not_given_back() -> None:
    pool = known_short(link := FakeLink())
    first, second = submit(pool), submit(pool)
    await until(lambda: recalls(link) == [second.call.id])
    link.answer(first.call.id)
    link.answer(second.call.id)
    assert (code(first), code(second), pool.waiting) == ("ok", "ok", 0)


@in_loop
async def test_taken_back_and_cancelled_at_once() -> None:
    pool = known_short(link := FakeLink())
    first, second = submit(pool), submit(pool)
    pool.cancel(second, CallCancelled())
    link.take(Unbegun(id=second.call.id), b"")
    assert (code(second), pool.waiting, pool.running) == ("cancelled", 0, 1)
    link.answer(first.call.id)
    assert code(first) == "ok"


@in_loop
async def test_death_fails_what_ran_and_nothing_that_waited() -> None:
    dead, other = FakeLink("dead"), FakeLink("other")
    pool = known_short(dead)
    running, *held = (submit(pool) for _ in range(4))
    dead.close(by_kernel=True)
    assert isinstance(running.answered.result().error, WorkerLost)
    assert ([code(p) for p in held], pool.waiting) == ([None] * 3, 3)
    pool.join(other, 1, AHEAD)
    assert other.calls == [p.call.id for p in held]  # in their order
    for pending in held:
        other.answer(pending.call.id)
    assert {code(p) for p in held} == {"ok"}


@in_loop
async def test_what_may_have_begun_is_not_run_again() -> None:
    pool = known_short(link := FakeLink())
    running, held = submit(pool), submit(pool)
    link.close()  # not by the kernel's own end: its last answers may be lost
    assert (code(running), code(held), pool.waiting) == ("worker_lost", "worker_lost", 0)


@in_loop
async def test_coroutines_run_beside_up_to_their_number() -> None:
    pool, link = Pool(10), FakeLink()
    pool.join(link, 1)
    many = [submit(pool, "many", concurrency=3) for _ in range(5)]
    plain = submit(pool, "plain")
    assert link.calls == [p.call.id for p in (*many[:3], plain)]
    link.answer(many[1].call.id)
    assert link.calls[4:] == [many[3].call.id]
    link.answer(plain.call.id)
    assert len(link.calls) == 5


@in_loop
async def test_coroutines_go_where_fewest_are() -> None:
    links = FakeLink("a"), FakeLink("b")
    pool = Pool(10)
    for link in links:
        pool.join(link, 1)
    for _ in range(4):
        submit(pool, concurrency=16)
    assert [len(link.calls) for link in links] == [2, 2]


@in_loop
async def test_no_more_of_a_service_at_once_than_it_says() -> None:
    links = [FakeLink(str(n)) for n in range(3)]
    pool = Pool(10)
    for link in links:
        pool.join(link, 1)
    bounded = [submit(pool, "bounded", max_concurrent=2) for _ in range(3)]
    assert sum(len(link.calls) for link in links) == 2
    free = submit(pool, "free")
    assert links[2].calls == [free.call.id]
    links[0].answer(bounded[0].call.id)
    assert links[0].calls == [bounded[0].call.id, bounded[2].call.id]


@in_loop
async def test_flood_of_one_service_refuses_no_other() -> None:
    pool = Pool(2)
    for _ in range(2):
        submit(pool, "flood")
    with pytest.raises(Busy):
        submit(pool, "flood")
    other = submit(pool, "other")
    pool.join(link := FakeLink(), 1)
    link.answer(link.calls[0])
    assert link.calls[1] == other.call.id


@in_loop
async def test_priority_decides_who_is_next() -> None:
    pool, link = Pool(10), FakeLink()
    pool.join(link, 1)
    running = submit(pool)
    patient, urgent = submit(pool, patient=True), submit(pool)
    assert [pool.place(p) for p in (urgent, patient, running)] == [(1, 0.0), (2, 0.0), None]
    link.answer(running.call.id, seconds=2.0)
    assert link.calls[1] == urgent.call.id
    assert pool.place(patient) == (1, 2.0)


@in_loop
async def test_batch_is_no_larger_than_its_earliest_deadline_allows() -> None:
    pool, link = Pool(100), FakeLink()
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


@in_loop
async def test_hopeless_deadline_does_not_make_batches_small() -> None:
    pool, link = Pool(100), FakeLink()
    pool.join(link, 1)
    batch = Batch(max_size=32)
    submit(pool, batch=batch)
    await asyncio.sleep(0)
    link.answer(link.calls[0], seconds=5.0)
    link.sent.clear()
    pendings = [submit(pool, batch=batch, seconds=s) for s in (1.0, 30.0, 1.0)]
    await until(lambda: link.calls)
    assert link.calls == [p.call.id for p in pendings]


def test_late_is_longer_than_what_is_held() -> None:
    assert crew.LATE > crew.AHEAD_SECONDS
