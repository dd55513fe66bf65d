"""A deployment keeps its workers alive, and leaves nothing of them behind."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from easymlnb.contract.errors import CallCancelled, DeploymentFailed, NotReady, StorageDamaged
from easymlnb_server.placement.base import WorkerOrder
from easymlnb_server.workers import circuit_breaker, liveness, starter
from easymlnb_server.workers.start_limiter import start_slot
from support.deployments import World, in_world, submit
from support.fakes import FakeKernel, left_in, spec, until

pytestmark = pytest.mark.usefixtures("fast")


@in_world()
async def test_kept_worker_answers(world: World) -> None:
    assert world.deployment.state == "starting"
    world.keep(1)
    pending = submit(world)
    link = await world.ready()
    assert world.deployment.state == "ready"
    link.answer(pending.call.id)
    assert (await pending.answered).error is None


@in_world()
async def test_so_many_workers_as_wanted(world: World) -> None:
    world.keep(3)
    await until(lambda: len(world.deployment.dispatcher.workers) == 3)
    assert len(left_in(world.work)) == 3


@in_world()
async def test_lost_worker_is_replaced_and_its_folder_goes(world: World) -> None:
    world.keep(1)
    first = await world.ready()
    world.placement.kernels[0].die()
    assert await until(lambda: world.deployment.dispatcher.workers) != (first,)
    assert left_in(world.work) == [world.placement.kernels[1].order.worker]
    assert world.placement.kernels[0].stopped == 1


@in_world()
async def test_dead_process_is_seen_though_its_link_stays_open(world: World) -> None:
    world.keep(1)
    await world.ready()
    pending = submit(world)
    world.placement.kernels[0].runs = False
    assert (await pending.answered).error.code == "worker_lost"
    await until(lambda: len(world.placement.kernels) == 2)


@in_world()
async def test_worker_that_does_not_stop_a_call_is_killed_once_and_replaced(world: World) -> None:
    world.keep(1)
    await world.ready()
    assert (await submit(world, 0.01).answered).error.code == "deadline_exceeded"
    waiting = submit(world)
    await until(lambda: len(world.placement.kernels) == 2)
    link = await world.ready()
    assert link.calls == [waiting.call.id]
    assert world.placement.kernels[0].stopped == 1


@in_world()
async def test_kills_are_no_crashes(world: World) -> None:
    world.keep(1)
    for number in range(5):
        await until(lambda n=number: len(world.placement.running) == 1 and n <= len(
            world.placement.kernels
        ) - 1)  # fmt: skip
        await world.ready()
        await submit(world, 0.001).answered
        await until(lambda n=number: len(world.placement.kernels) > n + 1)
    assert world.deployment.breaker.error is None


@in_world()
async def test_worker_that_keeps_crashing_counts_as_failed_until_it_stays(world: World) -> None:
    world.keep(1)
    seen = set()
    for number in range(circuit_breaker.CRASHES):
        await until(lambda n=number: len(world.placement.kernels) > n)
        await world.ready()
        seen.add(world.deployment.state)
        world.placement.kernels[number].die()
    assert seen == {"ready"}
    await until(lambda: world.deployment.state == "failed")
    assert isinstance(world.deployment.breaker.error, DeploymentFailed)
    await world.ready()
    assert (world.deployment.state, world.deployment.breaker.error) == ("ready", None)


@in_world()
async def test_nodes_that_are_taken_away_do_not_make_it_failed(world: World) -> None:
    world.keep(1)
    for number in range(circuit_breaker.CRASHES + 1):
        await until(lambda n=number: len(world.placement.kernels) > n)
        await world.ready()
        world.placement.kernels[number].taken = True
        world.placement.kernels[number].die()
    await until(lambda: len(world.placement.kernels) > circuit_breaker.CRASHES + 1)
    assert world.deployment.breaker.error is None
    assert world.deployment.restarts["lost"] == circuit_breaker.CRASHES + 1


@in_world()
async def test_a_node_that_goes_away_under_the_notebook_is_replaced(world: World) -> None:
    def taken() -> None:
        kernel = world.placement.kernels[-1]
        if len(world.placement.kernels) == 1:
            kernel.taken = True
            raise DeploymentFailed("Cell 1 of the notebook ended the kernel.")

    world.placement.cell = taken
    await world.deployment.launch(())
    assert [kernel.stopped for kernel in world.placement.kernels] == [1, 0]


@in_world()
async def test_a_start_whose_nodes_all_go_away_says_so(world: World) -> None:
    def taken() -> None:
        world.placement.kernels[-1].taken = True
        raise DeploymentFailed("Cell 1 of the notebook ended the kernel.")

    world.placement.cell = taken
    with pytest.raises(NotReady, match="its job was canceled"):
        await world.deployment.launch(())
    assert len(world.placement.kernels) == starter.MAX_NODES


@in_world()
async def test_what_a_retry_waits_for_is_said_with_why_it_is_one(world: World) -> None:
    def broken() -> None:
        raise DeploymentFailed("It is broken.")

    world.placement.cell = broken
    world.keep(1)
    await until(lambda: world.deployment.state == "failed")
    start = world.placement.start

    async def pend(order: WorkerOrder) -> FakeKernel:
        order.on_progress("Pending in queue...")
        await asyncio.sleep(60)
        return await start(order)

    world.placement.start = pend  # type: ignore[method-assign]
    await until(lambda: "Pending" in world.deployment.reason)
    assert world.deployment.reason == "It is broken. Retrying: Pending in queue..."


@in_world()
async def test_failing_start_tells_who_waits_and_is_tried_again(world: World) -> None:
    def broken() -> None:
        raise DeploymentFailed("It is broken.")

    world.placement.cell = broken
    world.keep(1)
    waiting = submit(world)
    assert isinstance((await waiting.answered).error, NotReady)
    assert (world.deployment.state, world.deployment.reason) == ("failed", "It is broken.")
    world.placement.cell = lambda: None
    await world.ready()
    assert world.deployment.state == "ready"


@pytest.mark.parametrize("error", [OSError("disk"), RuntimeError("zmq"), KeyError("x")])
async def test_unexpected_failure_of_a_start_is_tried_again_too(
    tmp_path: Path, error: Exception
) -> None:
    world = World(tmp_path)

    def broken() -> None:
        raise error

    world.placement.cell = broken
    world.keep(1)
    await until(lambda: world.deployment.state == "failed")
    assert world.deployment.breaker.error is not None
    assert world.deployment.breaker.error.code == "internal_error"
    world.placement.cell = lambda: None
    await world.ready()
    await world.deployment.stop()
    assert world.gone()


@in_world(start_timeout=1.0)
async def test_hanging_start_fails_in_time(world: World) -> None:
    world.placement.cell = partial(asyncio.sleep, 60)
    with pytest.raises(DeploymentFailed, match="cell 1 was still running"):
        await world.deployment.launch(())


@in_world()
async def test_kernel_that_ends_before_it_serves(world: World) -> None:
    world.placement.dials = False
    launch = asyncio.create_task(world.deployment.launch(()))
    await until(lambda: world.placement.kernels)
    world.placement.kernels[0].runs = False
    with pytest.raises(DeploymentFailed, match="ended after the last cell"):
        await launch


@in_world()
async def test_kernel_that_never_dials(world: World) -> None:
    world.placement.dials = False
    liveness.CONNECT_TIMEOUT, kept = 0.05, liveness.CONNECT_TIMEOUT
    try:
        with pytest.raises(DeploymentFailed, match="did not connect to the server"):
            await world.deployment.launch(())
    finally:
        liveness.CONNECT_TIMEOUT = kept


@in_world(specs=(spec("a"), spec("b")))
async def test_launch_offers_the_wanted_services(world: World) -> None:
    worker, specs = await world.deployment.launch(("b",))
    assert [s.name for s in specs] == ["b"]
    world.keep(1, worker)
    await world.ready()
    assert len(world.placement.kernels) == 1


@in_world()
async def test_launch_without_a_wanted_service(world: World) -> None:
    with pytest.raises(DeploymentFailed, match="no service named 'other'"):
        await world.deployment.launch(("other",))


@in_world(specs=(spec("f", examples=({"x": 1}, {"x": 2})),))
async def test_examples_are_calls(world: World) -> None:
    launch = asyncio.create_task(world.deployment.launch(()))
    await until(lambda: world.placement.kernels and world.first.calls)
    world.first.answer(world.first.calls[0])
    await until(lambda: len(world.first.calls) == 2)
    world.first.fail(world.first.calls[1], CallCancelled("No."))
    with pytest.raises(DeploymentFailed, match="Example 2 of 'f' failed: No"):
        await launch


@in_world(specs=(spec("f", examples=({},), timeout=30.0),))
async def test_worker_lost_in_its_example_fails_at_once(world: World) -> None:
    launch = asyncio.create_task(world.deployment.launch(()))
    await until(lambda: world.placement.kernels and world.first.calls)
    world.placement.kernels[0].die()
    with pytest.raises(DeploymentFailed, match="was lost"):
        await launch


@in_world(specs=(spec("f", examples=({},), timeout=0.01),))
async def test_example_that_never_ends(world: World) -> None:
    with pytest.raises(DeploymentFailed, match="exceeded its timeout"):
        await world.deployment.launch(())


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_stop_in_the_middle_of_anything_leaves_nothing(tmp_path: Path, turns: int) -> None:
    """Starts, deaths and kills, interrupted after a number of iterations of the event loop."""
    world = World(tmp_path)
    world.keep(2)
    if turns % 2:
        await world.ready()
        world.placement.kernels[0].die()
        await submit(world, 0.0).answered
    for _ in range(turns):
        await asyncio.sleep(0)
    await world.deployment.stop()
    assert world.gone()


async def test_stop_that_is_itself_broken_off_ends_all_the_same(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.keep(1)
    await world.ready()
    pending = submit(world)
    stop = asyncio.create_task(world.deployment.stop(60))
    await asyncio.sleep(0.05)
    assert not pending.answered.done()
    stop.cancel()
    await asyncio.gather(stop, return_exceptions=True)
    assert pending.answered.result().error.code == "worker_lost"
    assert world.gone()


async def test_stop_waits_for_calls_that_run_and_wait(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.keep(1)
    link = await world.ready()
    pendings = [submit(world) for _ in range(2)]
    stop = asyncio.create_task(world.deployment.stop(60))
    for pending in pendings:
        await asyncio.sleep(0.02)
        assert not stop.done()
        link.answer(pending.call.id)
    await asyncio.wait_for(stop, 20)
    assert [p.answered.result().error for p in pendings] == [None, None]
    with pytest.raises(NotReady):
        submit(world)
    assert world.gone()


async def test_hanging_starts_do_not_keep_others_from_starting(tmp_path: Path) -> None:
    gate = asyncio.Semaphore(1)
    begun = []

    async def start(number: int) -> None:
        async with start_slot(gate, 0.02):
            begun.append(number)
            await asyncio.sleep(60)

    tasks = [asyncio.create_task(start(n)) for n in range(3)]
    await until(lambda: begun == [0, 1, 2])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.1)
    # Each place was given back once: there is still exactly one.
    await gate.acquire()
    assert gate.locked()


async def test_bundle_that_cannot_be_read_fails_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breaker, "backoff", lambda failures: 0.01)
    world = World(tmp_path, specs=(spec("f"),))
    world.bundle_error = StorageDamaged("0" * 64)
    world.keep(1)
    await until(lambda: world.deployment.state == "failed")
    world.bundle_error = None
    await until(lambda: world.deployment.state == "ready")
    await world.deployment.stop()
