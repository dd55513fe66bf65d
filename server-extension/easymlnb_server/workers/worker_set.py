"""The running workers of a deployment, and how each one ends."""

import asyncio
import shutil
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.placement.base import Kernel
from easymlnb_server.workers import liveness


@dataclass(eq=False, slots=True)
class Worker:
    """One running worker. ``cause`` says why we ended it, if we did.

    ``token`` is the hash of the secret that it comes back with when it loses its link.
    """

    kernel: Kernel
    link: WorkerLink
    specs: tuple[ServiceSpec, ...]
    folder: Path
    started: float = field(default_factory=time.monotonic)
    cause: str = ""
    token: str = ""
    end: asyncio.Task[None] | None = None

    @property
    def lived(self) -> float:
        """Seconds since it began to serve this server."""
        return time.monotonic() - self.started


class WorkerSet:
    """All workers of one deployment; ``leave`` is told of each that ends, before it does."""

    def __init__(self, leave: Callable[[WorkerLink], None]) -> None:
        self._leave = leave
        self._workers: dict[WorkerLink, Worker] = {}
        self._ends: set[asyncio.Task[None]] = set()

    @property
    def all(self) -> tuple[Worker, ...]:
        return tuple(self._workers.values())

    def of(self, link: WorkerLink) -> Worker | None:
        """Return the worker behind a link, if it has not been ended."""
        return self._workers.get(link)

    def add(self, worker: Worker) -> None:
        self._workers[worker.link] = worker

    def swap(self, old: Worker, new: Worker) -> None:
        """Know a worker by its new link."""
        self._leave(old.link)
        self._workers.pop(old.link, None)
        self.add(new)

    def end(self, worker: Worker) -> asyncio.Task[None]:
        """End a worker, once: later its process id may belong to somebody else."""
        if worker.end is None:
            self._leave(worker.link)
            self._workers.pop(worker.link, None)
            worker.end = self.sees_through(clear(worker.kernel, worker.folder, worker.link))
        return worker.end

    def sees_through(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do it whatever is cancelled meanwhile; ``gone`` waits for it."""
        task = asyncio.create_task(work)
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        return task

    async def gone(self) -> None:
        """End all workers, and wait for the end of those whose end had begun too."""
        for worker in self.all:
            self.end(worker)
        if self._ends:
            await asyncio.wait(self._ends)

    async def leave_all(self) -> None:
        """Close the links of all workers that may come back to another server; end the others."""
        for worker in self.all:
            if not worker.token:
                self.end(worker)
                continue
            self._leave(worker.link)
            self._workers.pop(worker.link, None)
            worker.link.close()
        if self._ends:
            await asyncio.wait(self._ends)


async def clear(kernel: Kernel | None, folder: Path, link: WorkerLink | None = None) -> None:
    """End a worker, or what there is of one, and remove its folder."""
    if kernel is not None:
        await kernel.stop()
    if link is not None:
        await liveness.close(link)
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
