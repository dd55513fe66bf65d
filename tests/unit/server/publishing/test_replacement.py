"""A new version where the former one's workers have the only room there is."""

import asyncio
from pathlib import Path
from typing import Any

import nbformat
import pytest

from easymlnb.contract.bundle import open_bundle
from easymlnb.contract.errors import DeploymentFailed
from easymlnb.contract.replacing import AUTO, IN_PLACE, WAIT
from easymlnb.contract.resources import WorkerResources
from easymlnb.publishing.bundle import build_bundle
from easymlnb_server.placement.base import LimitReached, SlotsTaken, WorkerOrder
from easymlnb_server.placement.gpus import Gpus
from easymlnb_server.placement.registry import PlacementSet
from easymlnb_server.publishing import replacement
from easymlnb_server.publishing.replacement import Replacement, formers_of, holders
from easymlnb_server.services.models import VersionEntry
from easymlnb_server.workers.deployment import Deployment
from easymlnb_server.workers.settings import DeploymentSettings
from support.deployments import World, submit
from support.fakes import FakeKernel, spec, until, with_version
from support.notebooks import make_notebook

pytestmark = pytest.mark.usefixtures("fast")

NOTEBOOK = "import easymlnb as ml\n@ml.service(gpu=1)\ndef f(): ..."
WANTS = WorkerResources(gpu=1.0)


class Two(World):
    """A version that serves with the GPUs there are, and the start of the next one."""

    def __init__(self, folder: Path, gpus: int = 1, **more: Any) -> None:
        super().__init__(folder, specs=(spec(resources=WANTS, **more),), start_timeout=30.0)
        self.placement.gpus = Gpus(tuple(map(str, range(gpus))))
        nbformat.write(make_notebook(NOTEBOOK), folder / "work.ipynb")
        self.bundle = open_bundle(build_bundle(folder / "work.ipynb").data)
        self.how = AUTO
        self.others: list[Deployment] = []
        self.next = self.made()
        self.replacement = Replacement(
            self.next, [self.deployment], lambda: self.others, lambda: self.how
        )
        version = VersionEntry(1, self.bundle.id, self.placement.specs[0], self.deployment)
        self.serving = {"f": with_version(version)}
        for one in (self.deployment, self.next):
            one.starter.holders = lambda placement: holders(placement, self.serving, [])

    def made(self) -> Deployment:
        return Deployment(
            "next", self._load, PlacementSet(self.placement), self.placement.rendezvous,
            self.gate, DeploymentSettings(folder=self.work, start_timeout=30.0, queue_limit=10),
        )  # fmt: skip

    async def serve(self, workers: int = 1) -> None:
        self.deployment.run([spec(workers=workers, resources=WANTS)])
        await until(lambda: len(self.deployment.dispatcher.workers) == workers)

    def launch(self) -> "asyncio.Task[Any]":
        return asyncio.create_task(self.replacement.launch(()))

    async def end(self, launch: "asyncio.Task[Any] | None" = None) -> None:
        if launch is not None:
            launch.cancel()
            await asyncio.gather(launch, return_exceptions=True)
        for one in (self.deployment, self.next, *self.others):
            await one.stop()
        assert self.gone()


async def test_the_only_room_is_given_up_and_calls_wait_for_the_new_version(tmp_path: Path) -> None:
    world = Two(tmp_path)
    await world.serve()
    running = submit(world)
    launch = world.launch()
    await until(lambda: world.replacement.lent)
    assert not launch.done()  # it answers what it runs first
    world.first.answer(running.call.id)
    worker, _ = await launch
    assert len(world.placement.running) == 1
    assert world.deployment.state == "starting"
    assert "next version" in world.deployment.reason
    assert "not enough capacity" in world.replacement.waits_for
    waiting = submit(world)
    assert world.deployment.dispatcher.queue_position(waiting)
    world.next.run([spec(resources=WANTS)], worker)
    world.replacement.end([])
    await world.deployment.stop()
    await until(lambda: worker.link.calls)
    worker.link.answer(waiting.call.id)
    assert (await waiting.answered).error is None
    await world.end()


async def test_a_call_that_was_handed_over_keeps_its_time_and_can_be_stopped(
    tmp_path: Path,
) -> None:
    world = Two(tmp_path)
    await world.serve()
    worker, _ = await world.launch()
    brief, stopped = submit(world, 0.05), submit(world)
    world.next.run([spec(resources=WANTS)])
    world.next.dispatcher.leave(worker.link)
    world.replacement.end([])
    assert world.deployment.dispatcher.queue_position(stopped)[0] == 2
    assert (await brief.answered).error.code == "not_ready"
    assert world.deployment.dispatcher.queue_position(stopped)[0] == 1
    world.deployment.dispatcher.cancel(stopped, DeploymentFailed("Enough."))
    assert world.next.dispatcher.waiting == 0
    assert (await stopped.answered).error.message == "Enough."
    await world.end()


async def test_the_former_version_starts_again_if_the_new_one_fails(tmp_path: Path) -> None:
    world = Two(tmp_path)
    world.how = IN_PLACE
    await world.serve()

    def broken() -> None:
        raise DeploymentFailed("It is broken.")

    world.placement.cell = broken
    with pytest.raises(DeploymentFailed, match="It is broken"):
        await world.launch()
    assert not world.placement.running
    waiting = submit(world)
    world.placement.cell = lambda: None
    assert world.replacement.give_back()
    link = await world.ready()
    link.answer(waiting.call.id)
    assert (await waiting.answered).error is None
    assert world.deployment.state == "ready"
    await world.end()


async def test_a_version_that_is_not_replaced_after_all_starts_again(tmp_path: Path) -> None:
    world = Two(tmp_path, gpus=2)
    world.how = IN_PLACE
    await world.serve()
    await world.launch()
    assert not world.deployment.dispatcher.workers
    world.replacement.end([world.deployment])
    await world.ready()
    await world.end()


async def test_with_room_beside_it_the_former_version_is_left_alone(tmp_path: Path) -> None:
    world = Two(tmp_path, gpus=2)
    await world.serve()
    await world.launch()
    assert len(world.placement.running) == 2
    assert not world.replacement.lent
    await world.end()


async def test_one_worker_of_two_makes_room_and_the_other_serves_on(tmp_path: Path) -> None:
    world = Two(tmp_path, gpus=2)
    await world.serve(2)
    await world.launch()
    assert len(world.deployment.dispatcher.workers) == 1
    assert world.deployment.state == "ready"
    await world.end()


async def test_to_wait_is_a_choice_that_can_be_changed(tmp_path: Path) -> None:
    world = Two(tmp_path)
    world.how = WAIT
    await world.serve()
    launch = world.launch()
    await until(lambda: world.next.starter.waiting_for_capacity)
    assert world.replacement.waits_for == (
        "Waiting for capacity: all GPUs or slots of the placement 'local' are in use. "
        "In use by version 1 of 'f' (1 worker)."
    )
    await asyncio.sleep(3 * replacement.LOOK_EVERY)
    assert not world.replacement.lent
    world.how = IN_PLACE
    await launch
    assert len(world.placement.running) == 1
    await world.end()


async def test_in_place_ends_all_workers_first(tmp_path: Path) -> None:
    world = Two(tmp_path, gpus=4)
    world.how = IN_PLACE
    await world.serve(2)
    await world.launch()
    assert [kernel.stopped for kernel in world.placement.kernels] == [1, 1, 0]
    await world.end()


async def test_room_that_somebody_else_has_waited_for_is_not_made(tmp_path: Path) -> None:
    world = Two(tmp_path)
    await world.serve()
    world.others.append(world.made())
    other = asyncio.create_task(world.others[0].launch(()))
    await until(lambda: world.others[0].starter.waiting_for_capacity)
    launch = world.launch()
    await until(lambda: world.next.starter.waiting_for_capacity)
    await asyncio.sleep(3 * replacement.LOOK_EVERY)
    assert not world.replacement.lent
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    await launch
    await world.end()


@pytest.mark.parametrize("error", [SlotsTaken("All seats are taken."), LimitReached("One each.")])
async def test_a_refusal_for_want_of_room_makes_room(tmp_path: Path, error: Exception) -> None:
    world = Two(tmp_path, gpus=2)
    await world.serve()
    start = world.placement.start

    async def refuse(order: WorkerOrder) -> FakeKernel:
        if len(world.placement.running) == 1:
            world.placement.release(order.reservation)
            raise error
        return await start(order)

    world.placement.start = refuse  # type: ignore[method-assign]
    await world.launch()
    assert len(world.placement.kernels) == 2
    assert len(world.placement.running) == 1
    await world.end()


async def test_a_scheduler_without_room_is_waited_for_a_while_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacement, "QUEUE_PATIENCE", 0.05)
    world = Two(tmp_path, gpus=2)
    await world.serve()
    start = world.placement.start

    async def pend(order: WorkerOrder) -> FakeKernel:
        if len(world.placement.running) == 1:
            order.on_progress("Pending in queue...")
            try:
                await asyncio.sleep(60)
            finally:
                world.placement.release(order.reservation)
        return await start(order)

    world.placement.start = pend  # type: ignore[method-assign]
    launch = world.launch()
    await until(lambda: world.next.starter.queued_seconds)
    assert world.next.starter.reason == "Pending in queue... In use by version 1 of 'f' (1 worker)."
    await launch
    assert len(world.placement.running) == 1
    await world.end()


async def test_only_a_version_that_is_replaced_whole_makes_room(tmp_path: Path) -> None:
    world = Two(tmp_path)
    there = {
        name: with_version(VersionEntry(1, bundle, spec(name), deployment))
        for name, bundle, deployment in (
            ("a", "one", world.deployment),
            ("b", "one", world.deployment),
            ("c", "two", world.next),
        )
    }
    running = {"one": world.deployment, "two": world.next}
    assert formers_of("new", ["a"], there, running) == []
    assert formers_of("new", ["a", "b"], there, running) == [world.deployment]
    assert formers_of("new", ["c", "d"], there, running) == [world.next]
    # The same notebook published for more of its services: its workers answer for all of them.
    assert formers_of("one", ["d"], there, running) == [world.deployment]
    await world.end()
