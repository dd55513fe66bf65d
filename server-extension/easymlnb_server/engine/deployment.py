"""One bundle and the workers that serve it: started, checked, watched, replaced, stopped."""

import asyncio
import contextlib
import logging
import shutil
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import nbformat
from nbformat import NotebookNode

from easymlnb.contract.bundle import Bundle
from easymlnb.contract.errors import DeploymentFailed, EasyMLNBError, InternalError, NotReady
from easymlnb.contract.frames import Call
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.engine.execution import execute, serve
from easymlnb_server.engine.link import WorkerLink
from easymlnb_server.engine.pool import Pool
from easymlnb_server.engine.presence import dialled, lost
from easymlnb_server.engine.rendezvous import Rendezvous
from easymlnb_server.engine.turns import turn
from easymlnb_server.placement.base import Kernel, Order, Placement

STABLE = 60.0
"""Seconds a worker must live before its death counts as the first one again."""

CRASHES = 3
"""Deaths in a row, each soon after a start, from which on a deployment counts as failed."""

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
    killed: bool = False
    end: asyncio.Task[None] | None = None


class Deployment:
    """Keeps ``count`` workers of one bundle alive and its pool supplied with them.

    ``load`` reads the bundle, anew for each worker: storage may be away for a while, and one bundle
    that cannot be read must not keep others from starting.
    ``executed`` is the notebook as the latest worker ran it, with outputs: the log.
    ``gate`` bounds how many workers of all deployments start at once.
    ``restarts`` counts the workers that were lost or killed.
    """

    def __init__(
        self,
        bundle: str,
        load: Callable[[], Awaitable[Bundle]],
        placement: Placement,
        rendezvous: Rendezvous,
        *,
        folder: Path,
        start_timeout: float,
        queue_limit: int,
        gate: asyncio.Semaphore,
    ) -> None:
        self.bundle = bundle
        self._load = load
        self.pool = Pool(queue_limit, self._kill)
        self.error: EasyMLNBError | None = None
        self.restarts = 0
        self.executed: NotebookNode = nbformat.v4.new_notebook()
        self._placement = placement
        self._rendezvous = rendezvous
        self._folder = folder
        self._start_timeout = start_timeout
        self._gate = gate
        self._workers: dict[WorkerLink, Worker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> str:
        """Return ``ready``, ``starting`` or ``failed`` (it is tried again all the same)."""
        if self.pool.workers:
            return "ready"
        return "failed" if self.error is not None else "starting"

    @property
    def wanted(self) -> int:
        """Return how many workers are to be kept."""
        return len(self._tasks)

    def memory(self) -> int:
        """Return the resident bytes of all workers; blocks, call it in a thread."""
        return sum(worker.kernel.memory() for worker in tuple(self._workers.values()))

    async def launch(self, names: tuple[str, ...]) -> tuple[Worker, tuple[ServiceSpec, ...]]:
        """Start the first worker and check it; returns it with the specs it offers.

        Only services in ``names`` count, all if it is empty. Raises ``DeploymentFailed``.
        """
        async with turn(self._gate):
            worker = await self._start()
        try:
            specs = _wanted(worker.specs, names)
            await self._check(worker, specs)
        except BaseException:
            await asyncio.shield(self._end(worker))
            raise
        return worker, specs

    def keep(self, count: int, first: Worker | None = None) -> None:
        """Keep that many workers running from now on; ``first`` is one that runs already."""
        for number in range(count):
            task = asyncio.create_task(self._keep(first if number == 0 else None))
            self._tasks.add(task)

    async def stop(self, drain: float = 0.0) -> None:
        """End all workers; calls, those in line too, get ``drain`` seconds to be answered."""
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain):
                    await self.pool.drained()
        finally:
            # Also when a server that stops breaks off the wait.
            self.pool.close(NotReady("The service was stopped."))
            for worker in list(self._workers.values()):
                self._end(worker)
            if self._ends:
                await asyncio.wait(self._ends)

    async def _keep(self, worker: Worker | None) -> None:
        """Run one worker after the other, for ever."""
        failures = 0
        while True:
            try:
                if worker is None:
                    async with turn(self._gate):
                        worker = await self._start()
                self.error = None
                self.pool.join(worker.link, 1)
                await lost(worker.kernel, worker.link)
                self.restarts += 1
                failures = self._count(worker, failures)
            except EasyMLNBError as error:
                failures += 1
                log.warning("A worker of %s did not start: %s", self.bundle[:12], error)
                self._fail(error)
            except Exception:
                failures += 1
                log.exception("A worker of %s did not start.", self.bundle[:12])
                self._fail(InternalError())
            if worker is not None:
                await asyncio.shield(self._end(worker))
            worker = None
            await asyncio.sleep(backoff(failures))

    def _fail(self, error: EasyMLNBError) -> None:
        self.error = error
        if not self.pool.workers:
            self.pool.fail_waiting(NotReady("The service could not start."))

    def _count(self, worker: Worker, failures: int) -> int:
        """Return how many workers in a row failed, with this one, which was lost."""
        if worker.killed:  # by us, for a call that did not stop: no fault of its start
            return 0
        log.warning("A worker of bundle %s was lost.", self.bundle[:12])
        failures = 1 if time.monotonic() - worker.started > STABLE else failures + 1
        if failures >= CRASHES:
            self.error = DeploymentFailed(
                f"The worker ended {failures} times in a row soon after its start. "
                f"It is started again in {backoff(failures):g} s."
            )
        return failures

    async def _start(self) -> Worker:
        """Start a worker; raises ``DeploymentFailed`` or ``NotReady``, leaving nothing behind."""
        name = uuid.uuid4().hex
        folder = self._folder / name
        secret, arrival = self._rendezvous.expect()
        kernel: Kernel | None = None
        cells: list[int] = []
        try:
            async with asyncio.timeout(self._start_timeout):
                bundle = await self._load()
                notebook = self.executed = nbformat.from_dict(bundle.notebook)
                await asyncio.to_thread(bundle.extract, folder)
                order = Order(name, bundle.manifest.kernel, folder, secret)
                kernel = await self._placement.start(order)
                await execute(notebook, kernel.manager, kernel.client, cells.append)
                serve(kernel.client)
                found = await dialled(kernel, arrival)
                # What is printed past `sys.stdout` would pile up here, unread.
                kernel.client.stop_channels()
        except BaseException as error:
            self._rendezvous.forget(secret)
            await asyncio.shield(self._ending(_clear(kernel, folder)))
            if isinstance(error, TimeoutError):
                raise self._too_slow(cells) from error
            raise
        worker = Worker(kernel, found.link, found.specs, folder)
        self._workers[found.link] = worker
        return worker

    def _too_slow(self, cells: list[int]) -> DeploymentFailed:
        told = f"The notebook did not get ready within {self._start_timeout:g} s"
        if not cells:
            return DeploymentFailed(f"{told}; its first cell had not begun.")
        source = self.executed.cells[cells[-1]].source[:10_000]
        return DeploymentFailed(
            f"{told}; it was in cell {cells[-1] + 1}.",
            details={"cell": cells[-1], "source": source, "traceback": ""},
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
            worker.killed = True
            self._end(worker)

    def _end(self, worker: Worker) -> asyncio.Task[None]:
        """End a worker, once: later its process id may belong to somebody else."""
        if worker.end is None:
            self.pool.leave(worker.link)
            self._workers.pop(worker.link, None)
            worker.end = self._ending(_clear(worker.kernel, worker.folder, worker.link))
        return worker.end

    def _ending(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do it whatever is cancelled meanwhile; ``stop`` waits for it."""
        task = asyncio.create_task(work)
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        return task


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


async def _clear(kernel: Kernel | None, folder: Path, link: WorkerLink | None = None) -> None:
    if kernel is not None:
        await kernel.stop()
    if link is not None:
        link.close()
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
