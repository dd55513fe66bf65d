"""Batched calls in the pool: who goes together, and that each has its own end."""

import asyncio
import random

import pytest

from easymlnb.contract.errors import Busy, CallCancelled, DeadlineExceeded, NotReady, WorkerLost
from easymlnb.contract.spec import Batch
from easymlnb.contract.worker_protocol import Call
from easymlnb_server.dispatch import dispatcher as module
from easymlnb_server.dispatch import duration_model
from easymlnb_server.dispatch.call import CallHandle
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.dispatch.worker_slots import PREFETCH_LIMIT
from support.fakes import FakeLink, spec, until

FOUR = Batch(max_size=4)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.02)


def submit(
    pool: Dispatcher, batch: Batch | None = FOUR, service: str = "f", seconds: float = 30.0
) -> CallHandle:
    called = spec(service, batch=batch)
    return pool.submit(Call(id=0, service=service, seconds=seconds), b"{}", spec=called)


def ids(pendings: list[CallHandle]) -> list[int]:
    return [pending.call.id for pending in pendings]


def batches(link: FakeLink) -> list[int]:
    """Return the sizes of what was sent together."""
    sizes: list[int] = []
    last = 0
    for message in link.sent:
        if isinstance(message, Call):
            if message.batch and message.batch == last:
                sizes[-1] += 1
            else:
                sizes.append(1)
            last = message.batch
    return sizes


async def busy() -> tuple[Dispatcher, FakeLink, CallHandle]:
    """Return a pool whose one worker has a call."""
    pool, link = Dispatcher(100), FakeLink()
    pool.join(link, 1)
    first = submit(pool)
    await asyncio.sleep(0)
    assert link.calls == ids([first])
    return pool, link, first


async def test_calls_of_one_moment_go_together() -> None:
    pool, link = Dispatcher(10), FakeLink()
    pool.join(link, 1)
    pendings = [submit(pool) for _ in range(3)]
    await asyncio.sleep(0)
    assert batches(link) == [3]
    for pending in pendings:
        link.answer(pending.call.id, str(pending.call.id).encode())
    assert [p.answered.result().body for p in pendings] == [str(n).encode() for n in ids(pendings)]
    assert (pool.running, pool.waiting, len(link)) == (0, 0, 0)


async def test_free_worker_takes_all_that_wait_up_to_the_size() -> None:
    pool, link, first = await busy()
    pendings = [submit(pool) for _ in range(6)]
    await asyncio.sleep(0)
    link.answer(first.call.id)
    assert batches(link) == [1, 4]
    for pending in pendings[:4]:
        assert batches(link) == [1, 4]  # one slot, free when the last of them is done
        link.answer(pending.call.id)
    assert batches(link) == [1, 4, 2]


async def test_other_services_are_not_mixed_in_and_take_turns() -> None:
    pool, link, first = await busy()
    f1, g, f2, plain = (
        submit(pool),
        submit(pool, service="g"),
        submit(pool),
        submit(pool, None, "plain"),
    )
    link.answer(first.call.id)
    assert link.calls[1:] == ids([f1, f2])
    for pending in (f1, f2):
        link.answer(pending.call.id)
    assert link.calls[3:] == ids([g])
    link.answer(g.call.id)
    assert link.calls[4:] == ids([plain])


async def test_line_holds_a_batch_more() -> None:
    pool = Dispatcher(2)
    for _ in range(2 + FOUR.max_size):
        submit(pool)
    with pytest.raises(Busy):
        submit(pool)


async def test_cancelled_and_expired_calls_leave_the_line() -> None:
    pool, link, first = await busy()
    stay, leave, late = submit(pool), submit(pool), submit(pool, seconds=0.01)
    pool.cancel(leave, CallCancelled())
    assert isinstance((await late.answered).error, DeadlineExceeded)
    link.answer(first.call.id)
    assert link.calls[1:] == ids([stay])


async def test_one_of_a_running_batch_is_cancelled() -> None:
    told: list[object] = []
    pool, link = Dispatcher(10, told.append), FakeLink()
    pool.join(link, 1)
    pendings = [submit(pool) for _ in range(4)]
    await asyncio.sleep(0)
    pool.cancel(pendings[1], CallCancelled())
    assert isinstance(pendings[1].answered.result().error, CallCancelled)
    assert link.cancels == ids(pendings[1:2])
    await asyncio.sleep(0.1)
    assert told == []  # the worker runs on for the others, as it should
    for pending in pendings:
        link.answer(pending.call.id)
    assert [p.answered.result().error is None for p in pendings] == [True, False, True, True]


async def test_batch_that_nobody_wants_and_that_does_not_stop() -> None:
    told: list[object] = []
    pool, link = Dispatcher(10, told.append), FakeLink()
    pool.join(link, 1)
    for pending in (submit(pool), submit(pool, seconds=0.01)):
        await asyncio.sleep(0)
        if pending.call.seconds > 1:
            pool.cancel(pending, CallCancelled())
    await until(lambda: told)
    assert set(told) == {link}


async def test_slot_of_a_batch_that_cannot_be_stopped_is_given_on() -> None:
    pool, link = Dispatcher(10), FakeLink()
    pool.join(link, 1)
    stuck = [submit(pool) for _ in range(3)]
    await asyncio.sleep(0)
    behind = submit(pool)
    for pending in stuck:
        pool.cancel(pending, CallCancelled())
    await until(lambda: behind.call.id in link.calls)
    assert (pool.running, len(link)) == (1, 1)
    for pending in stuck:
        link.answer(pending.call.id)
    submit(pool)
    await asyncio.sleep(0)
    assert pool.waiting == 1


async def test_lost_worker_loses_all_of_its_batch() -> None:
    pool, link = Dispatcher(10), FakeLink()
    pool.join(link, 1)
    pendings = [submit(pool) for _ in range(3)]
    await asyncio.sleep(0)
    waiting = submit(pool)
    link.close()
    assert all(isinstance(p.answered.result().error, WorkerLost) for p in pendings)
    assert (pool.running, pool.waiting) == (0, 1)
    pool.join(new := FakeLink(), 1)
    assert new.calls == ids([waiting])


async def test_batch_waits_for_more_and_lets_others_pass() -> None:
    pool, link = Dispatcher(10), FakeLink()
    pool.join(link, 1)
    slow = Batch(max_size=3, max_wait=1.0)
    first = submit(pool, slow)
    await asyncio.sleep(0.01)
    assert link.calls == []
    other = submit(pool, None, "g")
    assert link.calls == ids([other])
    link.answer(other.call.id)
    assert link.calls == ids([other])
    second = submit(pool, slow)
    await until(lambda: len(link.calls) > 1)
    assert link.calls[1:] == ids([first, second])
    assert batches(link) == [1, 2]


async def test_full_batch_does_not_wait() -> None:
    pool, link = Dispatcher(10), FakeLink()
    pool.join(link, 1)
    pendings = [submit(pool, Batch(max_size=2, max_wait=60.0)) for _ in range(3)]
    await asyncio.sleep(0)
    assert link.calls == ids(pendings[:2])
    for pending in pendings[:2]:
        link.answer(pending.call.id)
    assert pool.waiting == 1


async def test_calls_that_arrive_together_share_a_batch_though_a_worker_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(duration_model, "LONGEST_WAIT", 1.0)
    pool, link = Dispatcher(100), FakeLink()
    pool.join(link, 1)
    pool._durations["f"].add(1, 100.0)
    calls = [submit(pool)]
    await asyncio.sleep(0.002)
    calls += [submit(pool), submit(pool)]
    assert link.calls == []
    await until(lambda: link.calls)
    assert batches(link) == [3]


async def test_batch_is_not_sent_before_its_worker_is_free() -> None:
    pool, link = Dispatcher(100), FakeLink()
    pool.join(link, 1, PREFETCH_LIMIT)
    first = submit(pool)
    await asyncio.sleep(0)
    link.answer(first.call.id, seconds=0.0001)
    running = submit(pool)
    await asyncio.sleep(0)
    waiting = [submit(pool) for _ in range(3)]
    await asyncio.sleep(0)
    assert (link.calls, pool.waiting) == (ids([first, running]), 3)
    link.answer(running.call.id)
    assert (link.calls[2:], batches(link)) == (ids(waiting), [1, 1, 3])


async def test_each_batch_is_counted_once_with_its_size() -> None:
    pool, link, first = await busy()
    rest = [submit(pool) for _ in range(3)]
    plain = submit(pool, None, "plain")
    for number in ids([first, *rest, plain]):
        link.answer(number)
    assert [p.starts_batch for p in (first, *rest, plain)] == [True, True, False, False, False]
    assert [p.run.size for p in (first, rest[0]) if p.run] == [1, 3]


async def test_random_lives_of_batches() -> None:
    """Whatever happens in whatever order, every call is answered once and no slot is lost."""
    chance = random.Random(11)
    pool = Dispatcher(20)
    links: list[FakeLink] = []
    pendings: list[CallHandle] = []
    for _ in range(4000):
        step = chance.random()
        if step < 0.02:
            links.append(FakeLink())
            pool.join(links[-1], chance.randrange(1, 3))
        elif step < 0.03 and links:
            chance.choice(links).close()
        elif step < 0.5:
            service = chance.choice("fgh")
            try:
                pendings.append(submit(pool, None if service == "h" else FOUR, service))
            except Busy:
                assert pool.waiting >= 20
        elif step < 0.6 and pendings:
            pool.cancel(chance.choice(pendings), CallCancelled())
        elif links:
            link = chance.choice(links)
            running = [call for call in link.calls if link.runs(call)]
            if running:
                link.answer(chance.choice(running))
        await asyncio.sleep(0)
        links = [link for link in links if not link.lost or len(link)]
        assert pool.running == sum(map(len, links))
        assert all(len(member.runs) <= member.capacity for member in pool._slots)
    for link in links:
        link.close()
    pool.close(NotReady("over"))
    assert pool.running == 0
    assert all(pending.answered.done() for pending in pendings)
