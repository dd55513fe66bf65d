"""One bundle and its workers: as many as its calls need, replaced when lost."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nbformat import NotebookNode

from easymlnb.contract.errors import EasyMLNBError, InternalError, NotReady
from easymlnb.contract.resources import Gpu
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.dispatcher import GRACE, Dispatcher
from easymlnb_server.dispatch.duration_model import NoWorkers
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.dispatch.worker_slots import PREFETCH_LIMIT
from easymlnb_server.placement.base import OrphanedWorker, Placement
from easymlnb_server.placement.registry import PlacementSet, requested_placement
from easymlnb_server.workers import adoption, lifetime, starter, stopped_processes
from easymlnb_server.workers.autoscaler import Autoscaler, Limits, Load
from easymlnb_server.workers.circuit_breaker import CircuitBreaker
from easymlnb_server.workers.liveness import idle, lost
from easymlnb_server.workers.memory_monitor import MemoryWatch
from easymlnb_server.workers.registration import WorkerRegistration
from easymlnb_server.workers.settings import Settings
from easymlnb_server.workers.starter import Starter
from easymlnb_server.workers.worker_set import Worker, WorkerSet, clear

TICK = 0.5
"""Seconds between two looks at how many workers are wanted, when nothing asks for one."""

REASONS = ("lost", "hung", "memory", "time")
"""Why workers are replaced: they ended, hung, took too much memory, or their time was over."""

log = logging.getLogger("easymlnb.deployment")


@dataclass(eq=False, slots=True)
class Replica:
    """The place of one worker, filled again when that is lost.

    ``doomed`` says that its worker goes as soon as another has taken its place.
    """

    task: asyncio.Task[None] | None = None
    worker: Worker | None = None
    doomed: bool = False


class Deployment:
    """Keeps the workers of one bundle and supplies its pool with them.

    ``restarts`` counts the workers that were replaced, by which of the ``REASONS``; ``specs`` are
    the services that its workers are kept for.
    """

    def __init__(
        self,
        bundle: str,
        load: starter.Load,
        places: PlacementSet,
        rendezvous: WorkerRegistration,
        settings: Settings,
    ) -> None:
        self.bundle = bundle
        self.breaker = CircuitBreaker()
        self.pool = Dispatcher(settings.queue_limit, self._overdue, self._look)
        self.restarts: Counter[str] = Counter()
        self.specs: dict[str, ServiceSpec] = {}
        self._settings = settings
        self._rendezvous = rendezvous
        self._staff = WorkerSet(self.pool.leave)
        self._starter = Starter(load, places, rendezvous, self._staff, settings)
        self._watch = MemoryWatch(self._staff, settings.memory, self._doom)
        self._names: tuple[str, ...] = ()
        self._scaler: Autoscaler | None = None
        self._slots: list[Replica] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._looking = asyncio.Event()
        self._lent = 0

    @property
    def state(self) -> str:
        """Return ``ready``, ``starting``, ``asleep`` or ``failed`` (it is tried again)."""
        if self.pool.workers:
            return "ready"
        if self.breaker.error is not None:
            return "failed"
        asleep = self._scaler is not None and self.wanted == 0 and not self._lent
        return "asleep" if asleep else "starting"

    @property
    def reason(self) -> str:
        """Return in a sentence why workers that are wanted are not there; ``""`` if they are."""
        if self._lent and not self.pool.workers:
            return "The next version is starting in its place; calls wait for it."
        if len(self.pool.workers) >= self.wanted:
            return ""
        if self.breaker.error is None:
            return self.waits_for
        again = f" Retrying: {self.waits_for}" if self.waits_for else ""
        return self.breaker.error.message + again

    @property
    def waits_for(self) -> str:
        """Return in a sentence what a start waits for; ``""`` when it does not."""
        return self._starter.waits_for

    @property
    def cramped(self) -> bool:
        """Say whether a start waits for room that others have."""
        return self._starter.cramped

    @property
    def queued(self) -> float:
        """Return for how many seconds a scheduler has had no room for a start."""
        since = self._starter.queued
        return 0.0 if since is None else asyncio.get_running_loop().time() - since

    @property
    def placement(self) -> Placement | None:
        """Return where workers start; ``None`` before the first one looked for room."""
        return self._starter.placement

    @property
    def held(self) -> int:
        """Return how many workers have room, with those that are starting there."""
        return len(self._staff.all) + self._starter.rooms

    @property
    def gpu(self) -> Gpu | None:
        """Return the GPUs of each worker; ``None`` as long as only the bundle says it."""
        return self._starter.gpu

    def name_holders(self, holders: Callable[[Placement], str]) -> None:
        """Have it say, while it waits for room, who has the room of that placement."""
        self._starter.holders = holders

    @property
    def wanted(self) -> int:
        """Return how many workers there should be now."""
        return max(0, self._scaler.wanted - self._lent) if self._scaler is not None else 0

    @property
    def executed(self) -> NotebookNode:
        """The notebook as the latest worker ran it, with outputs: the log."""
        return self._starter.executed

    def memory(self) -> int:
        """Return the resident bytes of all workers; blocks, call it in a thread."""
        return sum(worker.kernel.memory() for worker in self._staff.all)

    async def launch(self, names: tuple[str, ...]) -> tuple[Worker, tuple[ServiceSpec, ...]]:
        """Start the first worker and check it; returns it with the specs it offers.

        Only services in ``names`` count, all if it is empty. Raises ``DeploymentFailed``.
        """
        self._names = names
        worker = await self._start()
        return worker, starter.wanted(worker.specs, names)

    def keep(
        self,
        specs: Iterable[ServiceSpec],
        first: Worker | None = None,
        survivors: Iterable[OrphanedWorker] = (),
    ) -> None:
        """Keep the workers that these services want from now on.

        ``first`` is one that runs already, ``survivors`` those that ran for a former server.
        """
        served = tuple(specs)
        self._names = tuple(spec.name for spec in served)
        self.specs = {spec.name: spec for spec in served}
        self._starter.gpu = starter.most_gpus(served)
        self._starter.place = requested_placement(served)
        self._starter.settle()
        self._watch.limit_to(served)
        there = list(survivors)
        self._scaler = Autoscaler(Limits.of(served), len(there) + (first is not None))
        for survivor in there:
            self._open(survivor=survivor)
        if first is not None:
            self._open(first)
        duties = (
            self._tend(),
            self._watch.keep(),
            lifetime.keep(self._staff, self._doom),
            stopped_processes.keep(self._staff),
        )
        self._tasks = [asyncio.create_task(duty) for duty in duties]

    async def lend(self, count: int) -> None:
        """Do with so many workers less until ``take_back``; returns when their room is free.

        They answer the calls they have. Without any worker left, calls wait in line.
        """
        self._lent = count
        ends = self._adjust()
        try:
            if ends:
                await asyncio.wait(ends)
        except asyncio.CancelledError:
            self.take_back()
            raise

    def take_back(self) -> None:
        """Have all workers again."""
        self._lent = 0
        self._look()

    def hand_over(self, other: "Deployment") -> None:
        """Have another version answer the calls that wait here without a worker."""
        if not self.pool.workers:
            self.pool.hand_over(other.pool, other.specs)

    async def stop(self, drain: float = 0.0) -> None:
        """End all workers; calls, those in line too, get ``drain`` seconds to be answered."""
        try:
            await self._wind_down(drain)
        finally:
            # Also when a server that stops breaks off the wait.
            self.pool.close(NotReady("The service was stopped."))
            await self._staff.gone()

    async def leave(self, drain: float) -> None:
        """Stop serving but leave the workers running, for the next server process to adopt."""
        try:
            await self._wind_down(drain)
        finally:
            self.pool.close(NotReady("Another server process takes over. Try again in a moment."))
            await self._staff.leave_all()

    async def _wind_down(self, drain: float) -> None:
        tasks = [*self._tasks, *(slot.task for slot in self._slots if slot.task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain):
                await self.pool.drained()

    def _look(self) -> None:
        """See soon how many workers are wanted: something has changed."""
        self._looking.set()

    async def _tend(self) -> None:
        """Open and close slots as the calls demand, for ever."""
        while True:
            self._looking.clear()
            self._adjust()
            # Not `wait_for`: that of Python 3.11 can lose the cancellation which ends this.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._looking.wait()

    def _adjust(self) -> list[asyncio.Task[None]]:
        """Open and close slots as calls demand; returns the ends of workers that begin by it."""
        assert self._scaler is not None
        calls = self.pool.waiting + self.pool.running
        ready = len(self.pool.workers)
        self._scaler.decide(Load(time.monotonic(), calls, ready))
        wanted = self.wanted
        kept = [slot for slot in self._slots if not slot.doomed]
        for _ in range(wanted - len(kept)):
            kept.append(self._open())
        # First those that have no worker yet, then those whose worker has nothing to do.
        kept.sort(key=lambda slot: len(slot.worker.link) + 1 if slot.worker else 0, reverse=True)
        ends = [end for slot in kept[wanted:] for end in self._close(slot)]
        state = "asleep" if self.state == "asleep" else "starting"
        why = self.reason if self._lent else self.waits_for
        self.pool.absence = NoWorkers(state, why, self._starter.starts.left)
        replaced = self._starter.cramped or all(slot.worker for slot in kept[:wanted])
        for slot in [slot for slot in self._slots if slot.doomed and replaced]:
            self._close(slot)
        return ends

    def _open(
        self, worker: Worker | None = None, *, survivor: OrphanedWorker | None = None
    ) -> Replica:
        slot = Replica()
        self._slots.append(slot)
        slot.task = asyncio.create_task(self._fill(slot, worker, survivor))
        return slot

    def _close(self, slot: Replica) -> list[asyncio.Task[None]]:
        """Give up a place; its worker first answers the calls it has. Returns what ends by it."""
        self._slots.remove(slot)
        ends: list[asyncio.Task[None]] = []
        if slot.task is not None:
            slot.task.cancel()
            ends.append(slot.task)
        if slot.worker is not None:
            self.pool.leave(slot.worker.link)
            ends.append(self._staff.sees_through(self._retire(slot.worker)))
        return ends

    async def _retire(self, worker: Worker) -> None:
        longest = max((spec.timeout for spec in worker.specs), default=0.0) + 2 * GRACE
        await idle(worker.kernel, worker.link, longest)
        await asyncio.shield(self._staff.end(worker))

    async def _fill(
        self, slot: Replica, worker: Worker | None, survivor: OrphanedWorker | None
    ) -> None:
        """Run one worker after the other, for ever."""
        if survivor is not None:
            worker = await self._adopt(survivor)
        while True:
            try:
                if worker is None:
                    await self.breaker.closed()
                    worker = await self._start()
                await adoption.prepare(worker, self.bundle, self._settings.stay)
                slot.worker = worker
                self.breaker.started()
                self.pool.join(worker.link, 1, PREFETCH_LIMIT)
                self._look()
                await lost(worker.kernel, worker.link)
                if (back := await adoption.again(worker, self._rendezvous)) is not None:
                    self._staff.swap(worker, back)
                    worker = back
                    continue
                await self._count(worker)
            except EasyMLNBError as error:
                log.warning("A worker of %s did not start: %s", self.bundle[:12], error)
                self._fail(error)
            except Exception:
                log.exception("A worker of %s did not start.", self.bundle[:12])
                self._fail(InternalError())
            slot.worker = None
            if worker is not None:
                await asyncio.shield(self._staff.end(worker))
            if slot.doomed:
                self._slots.remove(slot)
                return
            worker = None

    def _fail(self, error: EasyMLNBError) -> None:
        self.breaker.failed(error)
        if not self.pool.workers:
            self.pool.fail_waiting(NotReady("The service failed to start."))

    async def _count(self, worker: Worker) -> None:
        """Take note of a worker that was lost, or that we ended."""
        self.restarts[worker.cause or "lost"] += 1
        if worker.cause == "hung":  # in a call, or stopped by a signal: no fault of its start
            self.breaker.forgive()
            return
        if not worker.cause and await worker.kernel.node_lost():
            log.warning("The node that ran a worker of bundle %s is gone.", self.bundle[:12])
            self.breaker.displaced(worker.lived)
            return
        log.warning("A worker of bundle %s was lost.", self.bundle[:12])
        why = "used more memory than allowed" if worker.cause else "ended"
        self.breaker.lost(worker.lived, why)

    async def _start(self) -> Worker:
        return await self._starter.checked(self._names, self.pool, self._watch.limit_to)

    async def _adopt(self, survivor: OrphanedWorker) -> Worker | None:
        """Take a worker of a former server over; one that does not come back is ended."""
        folder = self._starter.folder(survivor.worker)
        worker: Worker | None = None
        try:
            worker = await adoption.adopt(survivor, self._rendezvous, folder)
        finally:
            if worker is None:
                end = self._staff.sees_through(clear(survivor.kernel, folder))
                await asyncio.shield(end)
        if worker is not None:
            self._staff.add(worker)
        return worker

    def _doom(self, worker: Worker, why: str) -> None:
        """Have a worker replaced while it still serves; ``why`` is one of the ``REASONS``."""
        for slot in self._slots:
            if slot.worker is worker and not slot.doomed:
                log.warning("A worker reached its limit of %s and is being replaced.", why)
                slot.doomed = True
                self.restarts[why] += 1
        self._look()

    def _overdue(self, link: WorkerLink) -> None:
        """End a worker that does not let go of a cancelled call; its slot replaces it."""
        worker = self._staff.of(link)
        if worker is not None:
            log.warning("A worker did not stop its call in time and is being killed.")
            worker.cause = "hung"
            self._staff.end(worker)
