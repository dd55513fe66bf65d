"""The running workers of a deployment, and how each one ends."""

import asyncio
import shutil
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.dispatcher import GRACE
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.placement.base import Kernel
from easymlnb_server.workers import liveness

REASONS = ("lost", "hung", "memory", "time")
"""Why workers are replaced: they ended, hung, used too much memory, or their node's time is up."""


@dataclass(eq=False, slots=True)
class Worker:
    """One running worker.

    ``cause`` is why the server ended it, or ``""``. ``secret_hash`` identifies it when it
    reconnects.
    """

    kernel: Kernel
    link: WorkerLink
    specs: tuple[ServiceSpec, ...]
    folder: Path
    started: float = field(default_factory=time.monotonic)
    cause: str = ""
    secret_hash: str = ""
    end: asyncio.Task[None] | None = None

    @property
    def lived(self) -> float:
        """Seconds since it started to serve this server."""
        return time.monotonic() - self.started


@dataclass(eq=False, slots=True)
class Replica:
    """One worker that a deployment should have, started again when it is lost.

    ``outgoing``: the worker is ended as soon as another one serves in its place.
    """

    task: asyncio.Task[None] | None = None
    worker: Worker | None = None
    outgoing: bool = False


class WorkerSet:
    """All workers of one deployment. ``on_leave`` is called with the link of each that ends."""

    def __init__(self, on_leave: Callable[[WorkerLink], None]) -> None:
        self._on_leave = on_leave
        self._workers: dict[WorkerLink, Worker] = {}
        self._ends: set[asyncio.Task[None]] = set()

    @property
    def all(self) -> tuple[Worker, ...]:
        return tuple(self._workers.values())

    def get(self, link: WorkerLink) -> Worker | None:
        """Return the worker behind a link, unless it has been ended."""
        return self._workers.get(link)

    def add(self, worker: Worker) -> None:
        self._workers[worker.link] = worker

    def swap(self, old: Worker, new: Worker) -> None:
        """Replace a worker's record after it reconnected."""
        self._remove(old)
        self.add(new)

    def release(self, worker: Worker) -> None:
        """Remove a worker without ending it."""
        self._remove(worker)

    def end(self, worker: Worker) -> asyncio.Task[None]:
        """End a worker once: later its process id may belong to another process."""
        if worker.end is None:
            self._remove(worker)
            worker.end = self.run_shielded(clean_up(worker.kernel, worker.folder, worker.link))
        return worker.end

    async def retire(self, worker: Worker) -> None:
        """End a worker that gets no more calls when it has answered its last ones."""
        longest = max((spec.timeout for spec in worker.specs), default=0.0) + 2 * GRACE
        await liveness.wait_idle(worker.kernel, worker.link, longest)
        if self.get(worker.link) is worker:  # else it has been released meanwhile
            await asyncio.shield(self.end(worker))

    def run_shielded(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` to its end, whatever is canceled; ``stop_all`` waits for it."""
        task = asyncio.create_task(work)
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        return task

    async def stop_all(self, *, detach: bool = False) -> None:
        """End all workers and wait for their ends.

        With ``detach``, workers that may reconnect to another server keep running.
        """
        for worker in self.all:
            if detach and worker.secret_hash:
                self._remove(worker)
                worker.link.close()
            else:
                self.end(worker)
        if self._ends:
            await asyncio.wait(self._ends)

    def _remove(self, worker: Worker) -> None:
        self._on_leave(worker.link)
        self._workers.pop(worker.link, None)


async def clean_up(kernel: Kernel | None, folder: Path, link: WorkerLink | None = None) -> None:
    """End a worker's kernel, close its link and remove its folder, as far as they exist."""
    if kernel is not None:
        await kernel.stop()
    if link is not None:
        await liveness.close(link)
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
