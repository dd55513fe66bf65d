"""One bundle and the workers that serve it: started, checked, watched, replaced, stopped."""

import asyncio
import contextlib
import logging
import shutil
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import nbformat
from nbformat import NotebookNode

from easymlnb.contract.bundle import Bundle
from easymlnb.contract.errors import DeploymentFailed, EasyMLNBError, NotReady
from easymlnb.contract.frames import Call, Leave
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.engine.execution import execute, serve
from easymlnb_server.engine.link import WorkerLink
from easymlnb_server.engine.pool import Pool
from easymlnb_server.engine.rendezvous import Rendezvous
from easymlnb_server.placement.base import Kernel, Order, Placement

DIAL_TIMEOUT = 60.0
STABLE = 60.0
"""Seconds a worker must live before its death counts as the first one again."""

log = logging.getLogger("easymlnb.deployment")


def backoff(failures: int) -> float:
    """Return the seconds to wait before the next attempt after so many failures in a row."""
    return 0.0 if failures <= 1 else float(min(60, 2 ** (failures - 2)))


@dataclass(slots=True)
class Worker:
    """One running worker."""

    kernel: Kernel
    link: WorkerLink
    specs: tuple[ServiceSpec, ...]
    folder: Path
    started: float = field(default_factory=time.monotonic)


class Deployment:
    """Keeps ``count`` workers of one bundle alive and its pool supplied with them.

    ``executed`` is the notebook as the latest worker ran it, with outputs: the log.
    ``gate`` bounds how many workers of all deployments start at once.
    """

    def __init__(
        self,
        bundle: Bundle,
        placement: Placement,
        rendezvous: Rendezvous,
        *,
        folder: Path,
        start_timeout: float,
        queue_limit: int,
        gate: asyncio.Semaphore,
    ) -> None:
        self.bundle = bundle
        self.pool = Pool(queue_limit, self._kill)
        self.error: EasyMLNBError | None = None
        self.executed: NotebookNode = nbformat.from_dict(bundle.notebook)
        self._placement = placement
        self._rendezvous = rendezvous
        self._folder = folder
        self._start_timeout = start_timeout
        self._gate = gate
        self._workers: dict[WorkerLink, Worker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._kills: set[asyncio.Task[None]] = set()
        self._cell = 0

    @property
    def state(self) -> str:
        """Return ``ready``, ``starting`` or ``failed`` (it is tried again all the same)."""
        if self.pool.workers:
            return "ready"
        return "failed" if self.error is not None else "starting"

    async def launch(self, names: tuple[str, ...]) -> tuple[Worker, tuple[ServiceSpec, ...]]:
        """Start the first worker and check it; returns it with the specs it offers.

        Only services in ``names`` count, all if it is empty. Raises ``DeploymentFailed``.
        """
        async with self._gate:
            worker = await self._start()
        try:
            specs = _wanted(worker.specs, names)
            await self._check(worker, specs)
        except BaseException:
            await self._end(worker)
            raise
        return worker, specs

    def keep(self, count: int, first: Worker | None = None) -> None:
        """Keep that many workers running from now on; ``first`` is one that runs already."""
        for number in range(count):
            task = asyncio.create_task(self._keep(first if number == 0 else None))
            self._tasks.add(task)

    async def stop(self, drain: float = 0.0) -> None:
        """End all workers; calls get ``drain`` seconds to finish, waiting ones fail at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.pool.fail_waiting(NotReady("The service was stopped."))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain):
                await asyncio.gather(*(link.idle() for link in self._workers))
        await asyncio.gather(*(self._end(worker) for worker in list(self._workers.values())))

    async def _keep(self, worker: Worker | None) -> None:
        """Run one worker after the other, for ever."""
        failures = 0
        while True:
            try:
                if worker is None:
                    async with self._gate:
                        worker = await self._start()
                self.error = None
                self.pool.join(worker.link, 1)
                await worker.link.closed.wait()
                log.warning("A worker of bundle %s was lost.", self.bundle.id[:12])
                failures = 1 if time.monotonic() - worker.started > STABLE else failures + 1
            except EasyMLNBError as error:
                failures += 1
                self.error = error
                log.warning("A worker of %s did not start: %s", self.bundle.id[:12], error)
                if not self.pool.workers:
                    self.pool.fail_waiting(NotReady("The service could not start."))
            finally:
                if worker is not None and worker.link.lost:
                    await self._end(worker)
            worker = None
            await asyncio.sleep(backoff(failures))

    async def _start(self) -> Worker:
        """Start a worker; raises ``DeploymentFailed`` or ``NotReady``, leaving nothing behind."""
        name = uuid.uuid4().hex
        folder = self._folder / name
        secret, arrival = self._rendezvous.expect()
        kernel: Kernel | None = None
        notebook = self.executed = nbformat.from_dict(self.bundle.notebook)
        try:
            async with asyncio.timeout(self._start_timeout):
                await asyncio.to_thread(self.bundle.extract, folder)
                order = Order(name, self.bundle.manifest.kernel, folder, secret)
                kernel = await self._placement.start(order)
                await execute(notebook, kernel.manager, kernel.client, self._at_cell)
                serve(kernel.client)
                found = await asyncio.wait_for(arrival, DIAL_TIMEOUT)
        except BaseException as error:
            self._rendezvous.forget(secret)
            await _clear(kernel, folder)
            if isinstance(error, TimeoutError):
                raise self._too_slow(notebook) from error
            raise
        worker = Worker(kernel, found.link, found.specs, folder)
        self._workers[found.link] = worker
        return worker

    def _at_cell(self, index: int) -> None:
        self._cell = index

    def _too_slow(self, notebook: NotebookNode) -> DeploymentFailed:
        source = notebook.cells[self._cell].source if notebook.cells else ""
        return DeploymentFailed(
            f"The notebook did not get ready within {self._start_timeout:g} s; "
            f"it was in cell {self._cell + 1}.",
            details={"cell": self._cell, "source": source[:10_000], "traceback": ""},
        )

    async def _check(self, worker: Worker, specs: tuple[ServiceSpec, ...]) -> None:
        """Run every example as an ordinary call, on this worker."""
        for spec in specs:
            for number, example in enumerate(spec.examples):
                body = msgspec.json.encode(example)
                call = Call(id=0, service=spec.name, seconds=spec.timeout, view=spec.view)
                answer = await self.pool.submit(call, body, worker=worker.link).answered
                if answer.error is not None:
                    trace = answer.failure.trace if answer.failure else ""
                    raise DeploymentFailed(
                        f"Example {number + 1} of {spec.name!r} failed: {answer.error.message}",
                        details={"source": body[:10_000].decode(), "traceback": trace},
                    )

    def _kill(self, link: WorkerLink) -> None:
        """End a worker that does not let go of a cancelled call; ``_keep`` replaces it."""
        worker = self._workers.get(link)
        if worker is not None:
            log.warning("A worker did not stop its call and is killed.")
            self.pool.leave(link)
            task = asyncio.create_task(self._end(worker))
            self._kills.add(task)
            task.add_done_callback(self._kills.discard)

    async def _end(self, worker: Worker) -> None:
        self.pool.leave(worker.link)
        if self._workers.pop(worker.link, None) is None:
            return  # ended already; its process id may belong to somebody else by now
        if not worker.link.lost:
            with contextlib.suppress(Exception):
                worker.link.say(Leave())
        await _clear(worker.kernel, worker.folder)


def _wanted(specs: tuple[ServiceSpec, ...], names: tuple[str, ...]) -> tuple[ServiceSpec, ...]:
    found = {spec.name: spec for spec in specs}
    missing = [name for name in names if name not in found]
    if missing:
        raise DeploymentFailed(
            f"The notebook defines no service named {', '.join(map(repr, missing))}; "
            f"it has: {', '.join(found) or 'none'}."
        )
    if not found:
        raise DeploymentFailed(
            "The notebook defines no service: decorate a function with @ml.service."
        )
    return tuple(found[name] for name in names) if names else specs


async def _clear(kernel: Kernel | None, folder: Path) -> None:
    if kernel is not None:
        await kernel.stop()
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
