"""One bundle and its workers: as many as its calls need, replaced when lost."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterable

from easymlnb.contract.errors import EasyMLNBError, InternalError, NotReady
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.credentials.manager import NO_CREDENTIALS, WorkerCredentials
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.dispatch.duration_model import NoWorkers
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.dispatch.worker_slots import PREFETCH_LIMIT
from easymlnb_server.placement.base import OrphanedWorker
from easymlnb_server.placement.registry import PlacementSet
from easymlnb_server.supervisor import Supervisor
from easymlnb_server.workers import adoption
from easymlnb_server.workers.autoscaler import Autoscaler, Load
from easymlnb_server.workers.checks import WorkerChecks
from easymlnb_server.workers.circuit_breaker import CircuitBreaker
from easymlnb_server.workers.demand import Demand
from easymlnb_server.workers.liveness import wait_lost
from easymlnb_server.workers.registration import WorkerRegistration
from easymlnb_server.workers.selection import notebook_services, select_specs
from easymlnb_server.workers.settings import DeploymentSettings
from easymlnb_server.workers.starter import LoadBundle, Starter
from easymlnb_server.workers.worker_set import Replica, Worker, WorkerSet, clean_up

TICK = 0.5
"""Seconds between two decisions of the autoscaler, unless something wakes it earlier."""

log = logging.getLogger("easymlnb.deployment")


class Deployment:
    """Runs the workers of one bundle and lets its dispatcher use them.

    - ``bundle``: the bundle's id
    - ``load``: reads the bundle
    - ``placements``, ``registration``, ``settings``: where workers start, how they connect, and the
      server's settings
    - ``start_gate``: limits concurrent starts
    - ``credentials``: those of the bundle's services
    - ``dispatcher``: runs the version's calls
    - ``starter``: starts the workers, and knows what a start waits for
    - ``restarts``: number of replaced workers by reason, see ``worker_set.REASONS``
    - ``demand``: whether calls arrive, and whether a worker is needed before they do
    - ``specs``: the services that the workers serve, by name
    """

    def __init__(
        self,
        bundle: str,
        load: LoadBundle,
        placements: PlacementSet,
        registration: WorkerRegistration,
        start_gate: asyncio.Semaphore,
        settings: DeploymentSettings,
        credentials: WorkerCredentials = NO_CREDENTIALS,
    ) -> None:
        self.bundle = bundle
        self.breaker = CircuitBreaker()
        self.dispatcher = Dispatcher(settings.queue_limit, self._end_stuck, self._wake)
        self.dispatcher.give_up = self._give_up
        self.restarts: Counter[str] = Counter()
        self.specs: dict[str, ServiceSpec] = {}
        self._settings = settings
        self._registration = registration
        self._credentials = credentials
        self._workers = WorkerSet(self.dispatcher.leave)
        self.starter = Starter(
            load, placements, registration, start_gate, self._workers, settings, credentials
        )
        replace = self._schedule_replacement
        self._checks = WorkerChecks(self._workers, settings.memory_limit, replace)
        self._supervisor = Supervisor()
        self._names: tuple[str, ...] = ()
        self._autoscaler: Autoscaler | None = None
        self._replicas: list[Replica] = []
        self._woken = asyncio.Event()
        self._lent = 0
        self.demand = Demand(self.dispatcher, self.breaker, self._rescale)

    @property
    def state(self) -> str:
        """``ready``, ``starting``, ``asleep`` or ``failed``; a failed start is retried."""
        if self.dispatcher.workers:
            return "ready"
        if self.breaker.error is not None:
            return "failed"
        asleep = self._autoscaler is not None and self.wanted == 0 and not self._lent
        return "asleep" if asleep else "starting"

    @property
    def reason(self) -> str:
        """Why there are fewer workers than there should be, as a sentence; ``""`` if not."""
        if self._lent and not self.dispatcher.workers:
            return "The next version is starting in its place; calls wait for it."
        if len(self.dispatcher.workers) >= self.wanted:
            return ""
        waits_for = self.starter.reason
        if self.breaker.error is None:
            return waits_for
        return self.breaker.error.message + (f" Retrying: {waits_for}" if waits_for else "")

    @property
    def reserved(self) -> int:
        """Number of workers that have a reservation, running or starting."""
        return len(self._workers.all) + self.starter.reservations

    @property
    def wanted(self) -> int:
        """Number of workers that there should be."""
        return max(0, self._autoscaler.wanted - self._lent) if self._autoscaler is not None else 0

    @property
    def idle(self) -> bool:
        """Whether there are no workers and no calls."""
        return not (
            self.dispatcher.waiting or self.dispatcher.running or self.reserved or self.wanted
        )

    def memory(self) -> list[int]:
        """Return the resident bytes of each worker. Blocks: call it in a thread."""
        return [worker.kernel.memory() for worker in self._workers.all]

    async def launch(self, names: tuple[str, ...]) -> tuple[Worker, tuple[ServiceSpec, ...]]:
        """Start and check the first worker; return it with the specs of its services.

        ``names`` selects services; empty for all. Raises ``DeploymentFailed``.
        """
        self._names = names
        worker = await self._start()
        return worker, select_specs(worker.specs, names)

    def run(
        self,
        specs: Iterable[ServiceSpec],
        first: Worker | None = None,
        orphans: Iterable[OrphanedWorker] = (),
        *,
        serving: bool = True,
    ) -> None:
        """Run the workers that these services need, from now on.

        ``first`` is a worker that runs already; ``orphans`` are workers of a former server. See
        ``set_traffic`` for ``serving``.
        """
        served = tuple(specs)
        self.demand.serving = serving
        self._names = notebook_services(served)
        self.specs = {spec.name: spec for spec in served}
        self.starter.require(served)
        self._checks.set_memory_limit(served)
        orphans = list(orphans)
        running = len(orphans) + (first is not None)
        self._autoscaler = Autoscaler(self.demand.limits(self.specs.values()), running)
        for orphan in orphans:
            self._add_replica(orphan=orphan)
        if first is not None:
            self._add_replica(first)
        self._supervisor.run("autoscaler", self._autoscale)
        self._checks.run(self._supervisor)

    def include(self, specs: Iterable[ServiceSpec]) -> None:
        """Answer for further services of the bundle."""
        self.specs |= {spec.name: spec for spec in specs}
        self._names = notebook_services(self.specs.values())
        self.starter.require(tuple(self.specs.values()))
        self._rescale()

    def set_traffic(self, serving: bool) -> None:
        """Scale by the services' limits, or to no worker once the present calls have ended.

        Without traffic, a call that pins a version still gets a worker, for the services' idle
        time.
        """
        if serving == self.demand.serving:
            return
        self.demand.serving = serving
        self._lent = 0
        if self._autoscaler is not None:
            self._autoscaler.limits = self.demand.limits(self.specs.values())
            if not serving:
                self._autoscaler.forget_calls()
        self._wake()

    async def lend(self, count: int) -> None:
        """Run ``count`` workers fewer until ``take_back``; return when their capacity is free.

        The workers first finish their calls. Without any worker left, calls wait in the queue.
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
        """Run all workers again."""
        self._lent = 0
        self._wake()

    def hand_over(self, successor: "Deployment") -> None:
        """Let another version run the calls that wait here without a worker."""
        if not self.dispatcher.workers:
            self.dispatcher.hand_over(successor.dispatcher, successor.specs)

    async def stop(self, drain: float = 0.0) -> None:
        """End all workers; running and queued calls get ``drain`` seconds to finish."""
        await self._stop(drain, NotReady("The service was stopped."))

    async def detach(self, drain: float) -> None:
        """Stop serving, but leave the workers running for the next server process."""
        error = NotReady("Another server process takes over. Try again in a moment.")
        await self._stop(drain, error, detach=True)

    async def _stop(self, drain: float, error: EasyMLNBError, *, detach: bool = False) -> None:
        try:
            self._supervisor.cancel()  # the autoscaler first, which adds replicas
            tasks = [replica.task for replica in self._replicas if replica.task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(self._supervisor.close(), *tasks, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain):
                    await self.dispatcher.wait_drained()
        finally:
            # Also if the server's stop cancels the wait.
            self.dispatcher.close(error)
            await self._workers.stop_all(detach=detach)

    def _give_up(self, link: WorkerLink) -> Worker | None:
        """Release a worker, whose call has become a job; another one starts in its place."""
        if (worker := self._workers.get(link)) is not None:
            self._workers.release(worker)
            for replica in [one for one in self._replicas if one.worker is worker]:
                self._remove_replica(replica)
        return worker

    def _rescale(self) -> None:
        if self._autoscaler is not None:
            self._autoscaler.limits = self.demand.limits(self.specs.values())
        self._wake()

    def _wake(self) -> None:
        """Let the autoscaler decide now."""
        self._woken.set()

    async def _autoscale(self) -> None:
        while True:
            self._woken.clear()
            self._adjust()
            # Not ``wait_for``, which can lose the cancellation in Python 3.11.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._woken.wait()

    def _adjust(self) -> list[asyncio.Task[None]]:
        """Add or remove replicas; return the tasks that end the removed ones."""
        assert self._autoscaler is not None
        calls = self.demand.count_calls()
        self._autoscaler.decide(Load(time.monotonic(), calls, len(self.dispatcher.workers)))
        wanted = self.wanted
        kept = [replica for replica in self._replicas if not replica.outgoing]
        kept += [self._add_replica() for _ in range(wanted - len(kept))]
        # Replicas without a worker are removed first, then those with the fewest calls.
        kept.sort(key=lambda r: len(r.worker.link) + 1 if r.worker else 0, reverse=True)
        ends = [end for replica in kept[wanted:] for end in self._remove_replica(replica)]
        state = "asleep" if self.state == "asleep" else "starting"
        why = self.reason if self._lent else self.starter.reason
        self.dispatcher.no_workers = NoWorkers(state, why, self.starter.estimator.remaining)
        if self.starter.waiting_for_capacity or all(replica.worker for replica in kept[:wanted]):
            for replica in [replica for replica in self._replicas if replica.outgoing]:
                self._remove_replica(replica)
        return ends

    def _add_replica(
        self, worker: Worker | None = None, *, orphan: OrphanedWorker | None = None
    ) -> Replica:
        replica = Replica()
        self._replicas.append(replica)
        replica.task = asyncio.create_task(self._run_replica(replica, worker, orphan))
        return replica

    def _remove_replica(self, replica: Replica) -> list[asyncio.Task[None]]:
        """Remove a replica, whose worker first finishes its calls; return the ending tasks."""
        self._replicas.remove(replica)
        ends: list[asyncio.Task[None]] = []
        if replica.task is not None:
            replica.task.cancel()
            ends.append(replica.task)
        if replica.worker is not None and self._workers.get(replica.worker.link) is not None:
            self.dispatcher.leave(replica.worker.link)
            ends.append(self._workers.run_shielded(self._workers.retire(replica.worker)))
        return ends

    async def _run_replica(
        self, replica: Replica, worker: Worker | None, orphan: OrphanedWorker | None
    ) -> None:
        """Run one worker after another until the replica is removed."""
        if orphan is not None:
            worker = await self._adopt(orphan)
        while True:
            try:
                if worker is None:
                    await self.breaker.wait_closed()
                    worker = await self._start()
                await self._serve(replica, worker)
                back = await adoption.wait_reconnect(worker, self._registration)
                if back is not None:
                    self._workers.swap(worker, back)
                    worker = back
                    continue
                await self._record_loss(worker)
            except EasyMLNBError as error:
                log.warning("A worker of %s did not start: %s", self.bundle[:12], error)
                self._record_failure(error)
            except Exception:
                log.exception("A worker of %s did not start.", self.bundle[:12])
                self._record_failure(InternalError())
            replica.worker = None
            if worker is not None:
                await asyncio.shield(self._workers.end(worker))
            if replica.outgoing:
                self._replicas.remove(replica)
                return
            worker = None

    async def _serve(self, replica: Replica, worker: Worker) -> None:
        """Let the dispatcher use a worker until it is lost."""
        await adoption.grant_reconnect(worker, self.bundle, self._settings.orphan_timeout)
        replica.worker = worker
        self._credentials.deliver(worker.link, self._names)
        self.breaker.record_start()
        self.dispatcher.join(worker.link, 1, PREFETCH_LIMIT)
        self.demand.notify()
        self._wake()
        await wait_lost(worker.kernel, worker.link)

    def _record_failure(self, error: EasyMLNBError) -> None:
        self.breaker.record_failure(error)
        self.demand.notify(error)
        if not self.dispatcher.workers:
            self.dispatcher.fail_queued(NotReady("The service failed to start."))

    async def _record_loss(self, worker: Worker) -> None:
        self.restarts[worker.cause or "lost"] += 1
        if worker.cause == "hung":  # in a call or by a signal, not because of its start
            self.breaker.reset()
            return
        if not worker.cause and await worker.kernel.node_lost():
            log.warning("The node that ran a worker of bundle %s is gone.", self.bundle[:12])
            self.breaker.record_displacement(worker.lived)
            return
        log.warning("A worker of bundle %s was lost.", self.bundle[:12])
        why = "used more memory than allowed" if worker.cause else "ended"
        self.breaker.record_loss(worker.lived, why)

    async def _start(self) -> Worker:
        return await self.starter.start_checked(
            self._names, self.dispatcher, self._checks.set_memory_limit
        )

    async def _adopt(self, orphan: OrphanedWorker) -> Worker | None:
        """Take over a worker of a former server; end it if it does not reconnect."""
        folder = self.starter.folder(orphan.worker)
        worker: Worker | None = None
        try:
            worker = await adoption.adopt(orphan, self._registration, folder)
        finally:
            if worker is None:
                end = self._workers.run_shielded(clean_up(orphan.kernel, folder))
                await asyncio.shield(end)
        if worker is not None:
            self._workers.add(worker)
        return worker

    def _schedule_replacement(self, worker: Worker, why: str) -> None:
        """Replace a worker, which serves until then; ``why`` is one of ``worker_set.REASONS``."""
        for replica in self._replicas:
            if replica.worker is worker and not replica.outgoing:
                log.warning("A worker reached its limit of %s and is being replaced.", why)
                replica.outgoing = True
                self.restarts[why] += 1
        self._wake()

    def _end_stuck(self, link: WorkerLink) -> None:
        """End a worker that did not stop a canceled call; its replica starts another one."""
        worker = self._workers.get(link)
        if worker is not None:
            log.warning("A worker did not stop its call in time and is being killed.")
            worker.cause = "hung"
            self._workers.end(worker)
