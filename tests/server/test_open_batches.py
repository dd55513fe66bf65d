"""Batched calls sent ahead: their worker makes the batch, of all that are there when it is free."""

import asyncio
import random

import pytest
from fakes import FakeLink, in_loop, spec, until

from easymlnb.contract.errors import Busy, CallCancelled, NotReady
from easymlnb.contract.frames import Call, Recall, Result, Unbegun
from easymlnb.contract.spec import Batch
from easymlnb_server.engine import crew, estimate, lookout
from easymlnb_server.engine.crew import AHEAD
from easymlnb_server.engine.pending import Pending
from easymlnb_server.engine.pool import Pool

FOUR = Batch(max_size=4)
LASTS = 0.001
"""Seconds that a run of a service was seen to take: always near its end."""


def submit(
    pool: Pool, service: str = "f", batch: Batch | None = FOUR, seconds: float = 30.0
) -> Pending:
    called = Call(id=0, service=service, seconds=seconds)
    return pool.submit(called, b"{}", spec=spec(service, batch=batch))


def finish(link: FakeLink, *pendings: Pending, seconds: float = LASTS) -> None:
    """Answer in the stead of a worker that ran these as one."""
    for pending in pendings:
        message = Result(id=pending.call.id, content_type="application/json", seconds=seconds)
        message.together = len(pendings) if pending is pendings[-1] else 0
        link.take(message, b"1")


def code(pending: Pending) -> str | None:
    if not pending.answered.done():
        return None
    error = pending.answered.result().error
    return error.code if error is not None else "ok"


def sent(link: FakeLink) -> list[int]:
    return [message.id for message in link.sent if isinstance(message, Call) and message.open]


def recalled(link: FakeLink) -> list[int]:
    return [message.id for message in link.sent if isinstance(message, Recall)]


def ids(pendings: list[Pending]) -> list[int]:
    return [pending.call.id for pending in pendings]


async def busy(*links: FakeLink, seconds: float = LASTS) -> tuple[Pool, list[Pending]]:
    """Return a pool whose workers each run a call of ``f``, which is known to take so long."""
    pool = Pool(100)
    pool.join(links[0], 1, AHEAD)
    first = submit(pool)
    await asyncio.sleep(0)
    finish(links[0], first, seconds=seconds)
    links[0].sent.clear()
    for link in links[1:]:
        pool.join(link, 1, AHEAD)
    running = []
    for _ in links:
        running.append(submit(pool))
        await until(lambda: pool.waiting == 0)
    assert all(len(link.calls) == 1 for link in links)
    return pool, running


@in_loop
async def test_calls_are_there_when_their_worker_is_free() -> None:
    link = FakeLink()
    pool, (running,) = await busy(link)
    held = [submit(pool) for _ in range(2)]
    await asyncio.sleep(0)
    held.append(submit(pool))
    await asyncio.sleep(0)
    assert sent(link) == ids(held)
    assert ([p.held for p in held], pool.waiting) == ([True] * 3, 0)
    finish(link, running)
    assert ([p.held for p in held], len(link.calls)) == ([False] * 3, 4)
    finish(link, *held)
    assert ([code(p) for p in held], pool.running) == (["ok"] * 3, 0)


@in_loop
async def test_no_more_than_a_batch_and_nothing_else_waits_there() -> None:
    link = FakeLink()
    pool, (running,) = await busy(link)
    many = [submit(pool) for _ in range(6)]
    await asyncio.sleep(0)
    other = submit(pool, "g")
    plain = submit(pool, "h", None)
    await asyncio.sleep(0)
    assert (sent(link), pool.waiting) == (ids(many[:4]), 4)
    finish(link, running)
    assert sent(link) == ids(many)
    late = submit(pool)
    await asyncio.sleep(0)
    assert (late.run, pool.waiting) == (None, 3)  # it is the turn of others
    finish(link, *many[:4])
    finish(link, *many[4:])
    assert link.calls[-1] == other.call.id
    finish(link, other)
    assert link.calls[-1] == plain.call.id


@in_loop
async def test_calls_wait_in_line_as_long_as_a_run_has_time() -> None:
    link = FakeLink()
    pool, (running,) = await busy(link, seconds=1.0)
    waiting = submit(pool)
    await asyncio.sleep(0.05)
    assert (sent(link), pool.waiting) == ([], 1)
    await until(lambda: sent(link))  # shortly before its end, with no answer yet
    assert (code(running), sent(link)) == (None, ids([waiting]))


@in_loop
async def test_worker_decides_who_goes_along() -> None:
    """It had begun as some came: those run next, with those that wait by then."""
    link = FakeLink()
    pool, (running,) = await busy(link)
    first, late = submit(pool), submit(pool)
    await asyncio.sleep(0)
    finish(link, running)
    after = submit(pool)
    await asyncio.sleep(0)
    assert [p.held for p in (first, late, after)] == [False, False, True]
    finish(link, first)
    assert [p.held for p in (late, after)] == [False, False]
    assert len(pool._crew.get(link).line) == 1  # type: ignore[union-attr]
    last = submit(pool)
    await asyncio.sleep(0)
    finish(link, late, after)
    finish(link, last)
    assert [code(p) for p in (first, late, after, last)] == ["ok"] * 4
    assert (pool.running, pool._crew.get(link).line) == (0, [])  # type: ignore[union-attr]


@in_loop
async def test_those_who_came_late_do_not_run_with_another_service() -> None:
    link = FakeLink()
    pool, (running,) = await busy(link)
    first, late = submit(pool), submit(pool)
    await asyncio.sleep(0)
    finish(link, running)
    other = submit(pool, "g")
    await asyncio.sleep(0)
    finish(link, first)
    finish(link, late)
    await until(lambda: other.call.id in link.calls)
    finish(link, other)
    assert ([code(p) for p in (late, other)], pool.running) == (["ok"] * 2, 0)


@in_loop
async def test_death_fails_what_may_have_begun_and_no_other() -> None:
    dead, new = FakeLink("dead"), FakeLink("new")
    pool, (running,) = await busy(dead)
    first, late = submit(pool), submit(pool)
    await asyncio.sleep(0)
    finish(dead, running)
    held = [submit(pool) for _ in range(2)]
    await asyncio.sleep(0)
    dead.close(by_kernel=True)
    assert [code(p) for p in (first, late)] == ["worker_lost"] * 2
    assert ([code(p) for p in held], pool.waiting) == ([None] * 2, 2)
    pool.join(new, 1, AHEAD)
    await until(lambda: new.calls == ids(held))


@in_loop
async def test_cancelled_call_does_not_keep_its_worker() -> None:
    link = FakeLink()
    pool, (running,) = await busy(link)
    gone, stays = submit(pool), submit(pool)
    await asyncio.sleep(0)
    pool.cancel(gone, CallCancelled())
    assert (code(gone), link.cancels) == ("cancelled", [gone.call.id])
    finish(link, running)
    link.fail(gone.call.id, CallCancelled())
    finish(link, stays)
    assert (code(stays), pool.running) == ("ok", 0)


@in_loop
async def test_nobody_is_sent_past_their_deadline() -> None:
    """A batch of two takes 0.2 s: who has less left is not made to wait with another."""
    link = FakeLink()
    pool, (running,) = await busy(link)
    for size, seconds in ((1, 0.1), (2, 0.2)) * 20:
        pool._fits.of("f").add(size, seconds)
    calls = [submit(pool, seconds=0.15), submit(pool)]
    await until(lambda: sent(link))
    assert (sent(link), pool.waiting) == (ids(calls[:1]), 1)
    finish(link, running)
    pool.close(NotReady("over"))


@in_loop
async def test_what_waits_behind_a_late_run_goes_to_a_free_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lookout, "LATE", 20.0)  # so that nothing but a free worker counts
    late, free = FakeLink("late"), FakeLink("free")
    pool, running = await busy(late, free)
    held = [submit(pool) for _ in range(2)]
    await asyncio.sleep(0)
    keeps = late if sent(late) else free
    other, runs = (free, running[1]) if keeps is late else (late, running[0])
    assert sent(keeps) == ids(held)
    await asyncio.sleep(crew.NEAR + 0.002)
    assert recalled(keeps) == []
    finish(other, runs)
    assert recalled(keeps) == ids(held)
    for pending in held:
        keeps.take(Unbegun(id=pending.call.id), b"")
    assert other.calls[1:] == ids(held)
    finish(other, *held)
    assert [code(p) for p in held] == ["ok"] * 2


@in_loop
async def test_late_run_keeps_nothing_for_long() -> None:
    link = FakeLink()
    pool, (running,) = await busy(link)
    held = submit(pool)
    await until(lambda: recalled(link) == [held.call.id])
    link.take(Unbegun(id=held.call.id), b"")
    assert pool.waiting == 1
    link.answer(running.call.id)
    await until(lambda: link.calls[-1] == held.call.id)


@in_loop
async def test_callers_of_one_moment_go_together_though_the_worker_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(estimate, "LONGEST_MOMENT", 1.0)
    pool, link = Pool(100), FakeLink()
    pool.join(link, 1, AHEAD)
    pool._fits.of("f").add(1, 100.0)
    calls = [submit(pool)]
    await asyncio.sleep(0.002)
    calls += [submit(pool), submit(pool)]
    assert link.calls == []
    await until(lambda: link.calls)
    assert link.calls == ids(calls)


class Stand:
    """A worker's inbox, as far as it decides who runs together."""

    def __init__(self, link: FakeLink) -> None:
        self.link = link
        self.read = self.turn = 0
        self.inbox: list[list[Call]] = []
        self.runs: list[Call] = []
        self.begun: list[int] = []

    def step(self, chance: random.Random) -> None:
        """Read what was sent, now or then, and begin or end a run."""
        if not self.runs or chance.random() < 0.5:
            self.take()
        if self.runs:
            self.end()
        elif self.inbox:
            first = self.inbox.pop(0)
            self.runs = first[:]
            while self.inbox and first[0].open and len(self.runs) < 4:
                call = self.inbox[0][0]
                if call.service != first[0].service or not 0 < call.open <= self.turn:
                    break
                self.runs += self.inbox.pop(0)
            self.begun += [call.id for call in self.runs]

    def take(self) -> None:
        new, self.read = self.link.sent[self.read :], len(self.link.sent)
        for call in new:
            if isinstance(call, Recall):
                self.give_back(call.id)
            elif isinstance(call, Call):
                if self.inbox and 0 < self.inbox[-1][0].batch == call.batch:
                    self.inbox[-1].append(call)
                else:
                    self.inbox.append([call])

    def give_back(self, number: int) -> None:
        for members in self.inbox:
            if [call.id for call in members] == [number]:
                self.inbox.remove(members)
                self.link.take(Unbegun(id=number), b"")
                return

    def end(self) -> None:
        runs, self.runs = self.runs, []
        self.turn += 1
        for call in runs:
            message = Result(id=call.id, content_type="", seconds=LASTS)
            if call is runs[-1]:
                message.together, message.turn = len(runs), self.turn
            self.link.take(message, b"1")


@pytest.mark.parametrize("seed", range(5))
@in_loop
async def test_random_lives(seed: int) -> None:
    """Whatever happens: every call is answered once, begun once at most, and no place is lost."""
    chance = random.Random(seed)
    pool = Pool(30)
    stands: list[Stand] = []
    gone: list[Stand] = []
    pendings: list[Pending] = []
    for _ in range(3000):
        step = chance.random()
        if step < 0.02 or not stands:
            stands.append(Stand(FakeLink()))
            pool.join(stands[-1].link, 1, AHEAD)
        elif step < 0.03:
            gone.append(stands.pop(chance.randrange(len(stands))))
            gone[-1].link.close(by_kernel=True)
        elif step < 0.45:
            service = chance.choice("ffgh")
            try:
                pendings.append(submit(pool, service, None if service == "h" else FOUR))
            except Busy:
                assert pool.waiting >= 30
        elif step < 0.5 and pendings:
            pool.cancel(chance.choice(pendings), CallCancelled())
        else:
            chance.choice(stands).step(chance)
        await asyncio.sleep(0)
        assert pool.running == sum(len(stand.link) for stand in stands)
        for stand in stands:
            member = pool._crew.get(stand.link)
            assert member is not None
            out = [p for run in member.line for p in run.calls]
            assert all(p.run in member.line for p in out)
            assert len(out) == len(stand.link)
    for _ in range(300):
        for stand in stands:
            stand.step(chance)
        await asyncio.sleep(0)
    assert (pool.running, pool.waiting) == (0, 0)
    begun = [number for stand in stands + gone for number in stand.begun]
    assert len(begun) == len(set(begun))
    assert all(pending.answered.done() for pending in pendings)
    assert not any(pool._choice._runs.values())
