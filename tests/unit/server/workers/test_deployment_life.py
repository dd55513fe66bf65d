"""Workers that come and go: with the calls, for their memory, for a GPU, from a former server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.errors import CallCancelled
from easymlnb.contract.resources import WorkerResources
from easymlnb.contract.worker_protocol import Call, ReconnectGrant
from easymlnb_server.placement.base import OrphanedWorker, WorkerOrder
from easymlnb_server.placement.gpus import Gpus
from easymlnb_server.workers import adoption, checks
from easymlnb_server.workers.registration import RegisteredWorker, secret_hash
from support.deployments import World, in_world, submit
from support.fakes import FakeKernel, FakeLink, left_in, spec, until

pytestmark = pytest.mark.usefixtures("fast")

MB = 2**20


def sleepy(**more: Any) -> Any:
    return spec(resources=WorkerResources(min_workers=0, idle=0.05), **more)


def answer(link: FakeLink) -> int:
    """Answer all calls that a worker has got and not answered; returns how many."""
    open_calls = [call for call in link.calls if link.runs(call)]
    for call in open_calls:
        link.answer(call)
    return len(open_calls)


async def answered(world: World, pending: Any) -> Any:
    """Answer in the kernels' stead until this call has its answer; returns that."""

    def done() -> bool:
        for kernel in world.placement.running:
            answer(kernel.link)
        return bool(pending.answered.done())

    await until(done)
    return pending.answered.result()


@in_world()
async def test_service_that_may_sleep_starts_nothing_until_it_is_called(world: World) -> None:
    world.deployment.run([sleepy()])
    await asyncio.sleep(0.1)
    assert (world.deployment.state, world.placement.kernels) == ("asleep", [])
    assert world.deployment.dispatcher.no_workers.state == "asleep"
    pending = submit(world)
    await until(lambda: world.deployment.state != "asleep")
    assert (await answered(world, pending)).error is None
    await until(lambda: world.deployment.state == "asleep")
    await until(lambda: left_in(world.work) == [])
    assert world.placement.running == []
    # From the one that was, it is known how long the next start takes, at least a second.
    assert world.deployment.dispatcher.no_workers.seconds >= 1


@pytest.mark.parametrize("turns", range(12))
async def test_call_that_comes_as_the_last_worker_goes_is_answered(
    tmp_path: Path, turns: int
) -> None:
    """The decision to sleep, and each of the steps after it, with a call right behind it."""
    world = World(tmp_path)
    world.deployment.run([sleepy()])
    assert (await answered(world, submit(world))).error is None
    assert world.deployment.state == "ready"
    while world.deployment.wanted:  # noqa: ASYNC110 - the very moment is what matters
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    assert (await answered(world, submit(world))).error is None
    await world.deployment.stop()
    assert world.gone()


@in_world()
async def test_more_calls_bring_more_workers_and_fewer_take_them_away(world: World) -> None:
    world.deployment.run([spec(workers=3, resources=WorkerResources(min_workers=1))])
    scaler = world.deployment._autoscaler
    assert scaler is not None
    scaler.limits = type(scaler.limits)(
        min_workers=1, max_workers=3, target_calls=1, scale_up_window=0.02, scale_down_window=0.1
    )
    await world.ready()
    pendings = [submit(world) for _ in range(6)]
    await until(lambda: len(world.deployment.dispatcher.workers) == 3)
    for pending in pendings:
        assert (await answered(world, pending)).error is None
    await until(lambda: len(world.deployment.dispatcher.workers) == 1)
    await until(lambda: len(left_in(world.work)) == 1)


@in_world()
async def test_worker_that_is_let_go_first_answers_what_it_has(world: World) -> None:
    world.deployment.run([spec(workers=2, resources=WorkerResources(min_workers=1))])
    scaler = world.deployment._autoscaler
    assert scaler is not None
    scaler.limits = type(scaler.limits)(min_workers=2, max_workers=2)
    await until(lambda: len(world.deployment.dispatcher.workers) == 2)
    pendings = [submit(world) for _ in range(2)]
    scaler.limits = type(scaler.limits)(min_workers=1, max_workers=1)
    await until(lambda: len(world.deployment.dispatcher.workers) == 1)
    await asyncio.sleep(0.1)
    assert len(world.placement.running) == 2
    for pending in pendings:
        assert (await answered(world, pending)).error is None
    await until(lambda: len(world.placement.running) == 1)


@in_world(specs=(spec("f", examples=({},)),))
async def test_examples_are_run_by_each_new_worker_before_it_gets_calls(world: World) -> None:
    specs = world.placement.specs
    world.deployment.run(specs)
    await until(lambda: world.placement.kernels and world.first.calls)
    assert world.deployment.dispatcher.workers == ()
    pending = submit(world)
    answer(world.first)
    assert (await answered(world, pending)).error is None
    world.placement.kernels[0].die()
    await until(lambda: len(world.placement.kernels) == 2 and world.placement.kernels[1].link.calls)
    second = world.placement.kernels[1].link
    second.fail(second.calls[0], CallCancelled("No."))
    await until(lambda: world.deployment.state == "failed")
    assert "Example 1 of 'f' failed" in world.deployment.reason
    assert world.placement.kernels[1].stopped == 1
    await answered(world, submit(world))


LIMITED = (spec(resources=WorkerResources(memory=100 * MB)),)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the memory of workers all the time."""
    monkeypatch.setattr(checks, "CHECK_EVERY", 0.01)
    monkeypatch.setattr(checks, "PEAK", 0.05)


async def test_worker_far_above_its_limit_is_ended_and_its_caller_told(
    tmp_path: Path, quick: None
) -> None:
    world = World(tmp_path, specs=LIMITED)
    world.deployment.run(LIMITED)
    await world.ready()
    pending = submit(world)
    world.placement.kernels[0].used = 151 * MB
    error = (await pending.answered).error
    assert error.code == "worker_out_of_memory"
    assert "100 MB" in error.message
    assert error.details == {"retryable": False, "limit": 100 * MB}
    await until(lambda: len(world.placement.kernels) == 2)
    await until(lambda: world.deployment.state == "ready")
    assert world.deployment.restarts == {"memory": 1}
    await world.deployment.stop()
    assert world.gone()


async def test_worker_that_stays_above_its_limit_is_replaced_and_nobody_notices(
    tmp_path: Path, quick: None
) -> None:
    world = World(tmp_path, specs=LIMITED)
    world.deployment.run(LIMITED)
    first = await world.ready()
    pending = submit(world)
    slow = asyncio.Event()
    world.placement.cell = slow.wait
    world.placement.kernels[0].used = 120 * MB
    await until(lambda: len(world.placement.kernels) == 2)
    # As long as the next one is starting this one takes calls.
    assert world.deployment.dispatcher.workers == (first,)
    slow.set()
    await until(lambda: world.deployment.dispatcher.workers not in ((), (first,)))
    assert not pending.answered.done()
    assert (await answered(world, pending)).error is None
    await until(lambda: len(world.placement.running) == 1)
    assert world.placement.running == [world.placement.kernels[1]]
    assert world.deployment.restarts == {"memory": 1}
    await world.deployment.stop()
    assert world.gone()


async def test_notebook_that_is_too_large_from_the_start_does_not_serve(tmp_path: Path) -> None:
    world = World(tmp_path, specs=(spec(resources=WorkerResources(memory=1)),))
    world.deployment.run(world.placement.specs)
    await until(lambda: world.deployment.state == "failed")
    assert "raise memory=" in world.deployment.reason
    await world.deployment.stop()
    assert world.gone()


async def test_workers_wait_for_a_free_gpu_and_say_so(tmp_path: Path) -> None:
    one = World(tmp_path, specs=(spec(resources=WorkerResources(gpu=1.0)),))
    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other", specs=one.placement.specs)
    one.placement.gpus = other.placement.gpus = Gpus(("GPU-1",))
    one.deployment.run(one.placement.specs)
    await one.ready()
    assert one.placement.kernels[0].order.reservation.gpus == ("GPU-1",)
    other.deployment.run(other.placement.specs)
    await until(lambda: other.deployment.reason)
    assert (other.deployment.state, "Waiting" in other.deployment.reason) == ("starting", True)
    await one.deployment.stop()
    await other.ready()
    assert other.deployment.reason == ""
    await other.deployment.stop()
    assert one.gone()
    assert other.gone()


async def test_worker_that_is_to_be_replaced_makes_room_where_there_is_no_other(
    tmp_path: Path, quick: None
) -> None:
    specs = (spec(resources=WorkerResources(gpu=1.0, memory=100 * MB)),)
    world = World(tmp_path, specs=specs)
    world.placement.gpus = Gpus(("GPU-1",))
    world.deployment.run(specs)
    await world.ready()
    pending = submit(world)
    world.placement.kernels[0].used = 120 * MB
    assert (await answered(world, pending)).error is None
    await until(lambda: len(world.placement.kernels) == 2 and world.deployment.state == "ready")
    assert world.placement.kernels[1].order.reservation.gpus == ("GPU-1",)
    await world.deployment.stop()
    assert world.gone()


async def test_gpu_that_only_the_running_code_asks_for_is_given(tmp_path: Path) -> None:
    world = World(tmp_path, specs=(spec(resources=WorkerResources(gpu=1.0)),))
    world.placement.gpus = Gpus(("GPU-1",))
    assert world.bundle.manifest.gpu == 0
    worker, _ = await world.deployment.launch(())
    assert [kernel.order.reservation.gpus for kernel in world.placement.kernels] == [(), ("GPU-1",)]
    world.deployment.run(world.placement.specs, worker)
    await world.ready()
    await world.deployment.stop()
    assert world.gone()
    assert world.placement.gpus.reserve(1) is not None


class Past:
    """A worker that ran for a former server."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.token = secret_hash("secret")
        folder = world.work / "old"
        folder.mkdir()
        order = WorkerOrder("old", "python3", folder, "")
        self.kernel = FakeKernel(world.placement, order)
        world.placement.kernels.append(self.kernel)
        self.survivor = OrphanedWorker("old", world.bundle.id, self.token, self.kernel)

    async def dial(self) -> None:
        future = await until(lambda: self.world.placement.rendezvous.claim("secret"))
        future.set_result(RegisteredWorker(self.kernel.link, self.world.placement.specs))


@in_world()
async def test_worker_of_a_former_server_serves_on(world: World) -> None:
    past = Past(world)
    world.deployment.run([spec()], orphans=[past.survivor])
    pending = submit(world)
    assert world.deployment.state == "starting"
    await past.dial()
    assert (await answered(world, pending)).error is None
    assert world.placement.kernels == [past.kernel]
    # It also gets the grant for the next server, which is stored before.
    (back,) = [said for said in past.kernel.link.sent if isinstance(said, ReconnectGrant)]
    assert past.kernel.notes == [(world.bundle.id, secret_hash(back.secret))]


@in_world()
async def test_worker_that_does_not_come_back_is_replaced(world: World) -> None:
    kept, adoption.RETURN_TIMEOUT = adoption.RETURN_TIMEOUT, 0.05
    try:
        past = Past(world)
        world.deployment.run([spec()], orphans=[past.survivor])
        pending = submit(world)
        assert (await answered(world, pending)).error is None
        assert past.kernel.stopped == 1
        assert left_in(world.work) == [world.placement.kernels[1].order.worker]
    finally:
        adoption.RETURN_TIMEOUT = kept


@in_world()
async def test_worker_that_dies_on_its_way_back_is_replaced(world: World) -> None:
    past = Past(world)
    world.deployment.run([spec()], orphans=[past.survivor])
    past.kernel.runs = False
    assert (await answered(world, submit(world))).error is None
    assert len(world.placement.kernels) == 2


@in_world()
async def test_more_workers_came_back_than_are_wanted(world: World) -> None:
    past = Past(world)
    world.deployment.run([sleepy()], orphans=[past.survivor])
    await past.dial()
    await until(lambda: world.deployment.state == "asleep")
    await until(lambda: past.kernel.stopped == 1)


async def test_stop_while_a_worker_is_awaited_ends_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    past = Past(world)
    world.deployment.run([spec()], orphans=[past.survivor])
    await asyncio.sleep(0.02)
    await world.deployment.stop()
    assert world.gone()


@in_world()
async def test_worker_serves_although_it_cannot_be_put_on_record(world: World) -> None:
    async def full(bundle: str, token: str) -> None:
        raise OSError("disk full")

    def broken() -> None:
        world.placement.kernels[-1].save_record = full  # type: ignore[method-assign]

    world.placement.cell = broken
    world.keep(1)
    link = await world.ready()
    assert not any(isinstance(said, ReconnectGrant) for said in link.sent)


async def _come_back(world: World, link: FakeLink, back: FakeLink) -> None:
    """Dial again with the secret that came over the link before."""
    (told,) = [said for said in link.sent if isinstance(said, ReconnectGrant)]
    future = await until(lambda: world.placement.rendezvous.claim(told.secret))
    future.set_result(RegisteredWorker(back, world.placement.specs))


@in_world()
async def test_worker_whose_link_broke_comes_back_as_it_is(world: World) -> None:
    world.keep(1)
    link = await world.ready()
    (kernel,) = world.placement.kernels
    kernel.far = True
    running, waiting = submit(world), submit(world)
    link.close()
    assert running.answered.result().error.code == "worker_lost"
    kernel.link = FakeLink()
    await _come_back(world, link, kernel.link)
    assert (await answered(world, waiting)).error is None
    assert (world.placement.kernels, kernel.stopped) == ([kernel], 0)
    # So it does the next time, too.
    kernel.link.close()
    before, kernel.link = kernel.link, FakeLink()
    await _come_back(world, before, kernel.link)
    assert (await answered(world, submit(world))).error is None
    assert world.deployment.restarts.total() == 0


@pytest.mark.parametrize("how", ["near", "dies", "late"])
async def test_worker_whose_link_broke_and_that_stays_away_is_replaced(
    tmp_path: Path, how: str
) -> None:
    kept, adoption.RETURN_TIMEOUT = adoption.RETURN_TIMEOUT, 0.1 if how == "late" else 60.0
    world = World(tmp_path)
    try:
        world.keep(1)
        link = await world.ready()
        (kernel,) = world.placement.kernels
        kernel.far = how != "near"
        link.close()
        await asyncio.sleep(0.02)
        kernel.runs = how != "dies"
        assert (await answered(world, submit(world))).error is None
        assert (len(world.placement.kernels), kernel.stopped) == (2, 1)
        assert world.deployment.restarts["lost"] == 1
    finally:
        adoption.RETURN_TIMEOUT = kept
        await world.deployment.stop()
    assert world.gone()


@in_world(orphan_timeout=0.0)
async def test_workers_that_shall_not_stay_are_told_nothing(world: World) -> None:
    world.keep(1)
    link = await world.ready()
    assert not any(isinstance(said, ReconnectGrant) for said in link.sent)
    assert world.placement.kernels[0].notes == []


@pytest.mark.parametrize("idempotent", [True, False])
async def test_worker_stopped_by_a_signal_is_ended_and_replaced(
    tmp_path: Path, idempotent: bool
) -> None:
    served = spec(resources=WorkerResources(idempotent=idempotent))
    world = World(tmp_path, specs=[served])
    world.deployment.run([served])
    first = await world.ready()
    pool = world.deployment.dispatcher
    pending = pool.submit(Call(id=0, service="f", seconds=30), b"{}", spec=served)
    assert first.calls
    world.placement.kernels[0].is_frozen = True
    second = await until(lambda: len(world.placement.kernels) == 2 and world.placement.kernels[1])
    if idempotent:
        await until(lambda: answer(second.link))
    error = (await pending.answered).error
    assert (error.code if error else "") == ("" if idempotent else "worker_lost")
    await until(lambda: world.deployment.state == "ready")
    assert world.deployment.restarts == {"hung": 1}
    await world.deployment.stop()
    assert world.gone()


@in_world()
async def test_worker_that_was_stopped_for_a_moment_stays(world: World) -> None:
    world.keep()
    await world.ready()
    kernel = world.placement.kernels[0]
    looks = [True] * (checks.STOPPED_CHECKS - 1) + [False]
    seen: list[bool] = []

    async def frozen() -> bool:
        seen.append(looks[len(seen) % len(looks)])
        return seen[-1]

    kernel.frozen = frozen  # type: ignore[method-assign]
    await until(lambda: len(seen) > 4 * len(looks))
    assert (kernel.stopped, len(world.placement.kernels)) == (0, 1)
