"""A deployment on fake kernels, and tests in one."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

import nbformat

from easymlnb.contract.bundle import Bundle, open_bundle
from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.worker_protocol import Call
from easymlnb.publishing.bundle import build_bundle
from easymlnb_server.placement.registry import PlacementSet
from easymlnb_server.workers.deployment import Deployment
from easymlnb_server.workers.registration import WorkerRegistration
from easymlnb_server.workers.settings import DeploymentSettings
from easymlnb_server.workers.worker_set import Worker
from support.fakes import FakeLink, FakePlacement, left_in, spec, until
from support.notebooks import make_notebook


class World:
    """A deployment on fake kernels."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self._former_tasks = asyncio.all_tasks()
        path = folder / "work.ipynb"
        nbformat.write(make_notebook("x = 1"), path)
        self.bundle = open_bundle(build_bundle(path).data)
        self.bundle_error: EasyMLNBError | None = None
        self.work = folder / "work"
        self.work.mkdir()
        self.placement = FakePlacement(WorkerRegistration(), *settings.pop("specs", ()))
        self.gate = settings.pop("gate", asyncio.Semaphore(2))
        given = {"start_timeout": 30.0, "queue_limit": 10, **settings}
        self.deployment = Deployment(
            self.bundle.id, self._load, PlacementSet(self.placement), self.placement.rendezvous,
            self.gate, DeploymentSettings(folder=self.work, **given),
        )  # fmt: skip

    async def _load(self) -> Bundle:
        if self.bundle_error is not None:
            raise self.bundle_error
        return self.bundle

    def keep(self, count: int = 1, first: Worker | None = None) -> None:
        self.deployment.run([spec(workers=count)], first)

    @property
    def first(self) -> FakeLink:
        return self.placement.kernels[0].link

    def gone(self) -> bool:
        """Say whether nothing is left: no kernel, no folder, no task."""
        tasks = asyncio.all_tasks() - self._former_tasks
        stopped = [kernel.stopped for kernel in self.placement.kernels]
        return stopped == [1] * len(stopped) and left_in(self.work) == [] and not tasks

    async def ready(self) -> FakeLink:
        found = await until(lambda: self.deployment.dispatcher.workers)
        assert isinstance(found[0], FakeLink)
        return found[0]


Test = Callable[[World], Coroutine[Any, Any, None]]


def in_world(**settings: Any) -> Callable[[Test], Callable[[Path], None]]:
    def decorate(test: Test) -> Callable[[Path], None]:
        @wraps(test, assigned=("__name__", "__doc__", "__module__"))
        def run(tmp_path: Path) -> None:
            async def main() -> None:
                world = World(tmp_path, **settings)
                try:
                    await test(world)
                finally:
                    await world.deployment.stop()
                assert world.gone()

            asyncio.run(main())

        del run.__wrapped__  # type: ignore[attr-defined]
        return run

    return decorate


def submit(world: World, seconds: float = 30.0) -> Any:
    return world.deployment.dispatcher.submit(Call(id=0, service="f", seconds=seconds), b"{}")
