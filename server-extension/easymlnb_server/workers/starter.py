"""Start a worker from a bundle: capacity, kernel, notebook, link, health check."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from easymlnb.contract.bundle import Bundle
from easymlnb.contract.environment_record import Drift
from easymlnb.contract.errors import DeploymentFailed, NotReady
from easymlnb.contract.resources import Gpu
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.credentials.manager import NO_CREDENTIALS, WorkerCredentials
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.dispatch.duration_model import StartupEstimator
from easymlnb_server.placement.base import (
    Kernel,
    Placement,
    Reservation,
    WorkerOrder,
    is_queued_message,
)
from easymlnb_server.placement.locked_python import LockedPython
from easymlnb_server.placement.registry import LOCAL, PlacementSet, requested_placement
from easymlnb_server.workers import environment_drift, liveness
from easymlnb_server.workers.environments import prepare
from easymlnb_server.workers.examples import run_examples
from easymlnb_server.workers.given_credentials import given
from easymlnb_server.workers.liveness import wait_connected
from easymlnb_server.workers.notebook_execution import execute, serve
from easymlnb_server.workers.registration import WorkerRegistration, secret_hash
from easymlnb_server.workers.selection import required_gpus, select_specs
from easymlnb_server.workers.settings import DeploymentSettings
from easymlnb_server.workers.start_limiter import start_slot
from easymlnb_server.workers.worker_set import Worker, WorkerSet, clean_up

LoadBundle = Callable[[], Awaitable[Bundle]]

MAX_NODES = 3
"""Nodes that may be lost during one start of a worker."""


@dataclass(frozen=True, slots=True)
class JobLane:
    """Where and how the kernels of a lane of jobs start.

    - ``placement``: where, whatever their services request; empty for no rule
    - ``threads``, ``stay``, ``seconds``: see ``WorkerOrder``
    """

    placement: str = ""
    threads: int = 0
    stay: float = 0.0
    seconds: float = 0.0

    @property
    def is_on_nodes(self) -> bool:
        return self.placement not in ("", LOCAL)


class NoKernelInTime(DeploymentFailed):
    """The time to start was over before there was a kernel."""


class KernelEnded(DeploymentFailed):
    """The kernel ended while it started, which may be its notebook's fault or not."""


class NodeLost(NotReady):
    """The node that executed a notebook was lost: its job was canceled, or it crashed."""

    def __init__(self) -> None:
        super().__init__(
            "The node that executed the notebook is gone: its job was canceled, ran out of time "
            "or memory, or its host crashed."
        )


class Starter:
    """Starts workers of one bundle, each with a reservation of its placement.

    - ``load``: reads the bundle, for each start: storage may be unavailable for a while, and an
      unreadable bundle must not prevent other starts
    - ``placements``, ``registration``, ``workers``, ``settings``, ``start_gate``: where workers
      start, how they connect, the set that they join, the server's settings, and concurrent starts
    - ``lane``: how workers start that run jobs
    - ``executed``: the notebook as the latest worker ran it, with outputs
    - ``gpu``, ``placement_name``: what a worker needs and where it runs; ``None`` while only the
      bundle is known
    - ``placement``: where the latest start made its reservation; ``None`` before the first start
    - ``reservations``: number of starts that have a reservation
    - ``waiting_for_capacity``: whether a start waits for a reservation that others hold
    - ``queued_since``: since when a scheduler has had no capacity for a start, by the event loop's
      clock
    - ``holders``: returns a sentence about who uses a placement's capacity
    - ``estimator``: how long workers take to start
    - ``drift``: how the packages of the latest worker differ from those at publishing; ``None`` if
      unknown
    """

    def __init__(
        self,
        load: LoadBundle,
        placements: PlacementSet,
        registration: WorkerRegistration,
        start_gate: asyncio.Semaphore,
        workers: WorkerSet,
        settings: DeploymentSettings,
        credentials: WorkerCredentials = NO_CREDENTIALS,
        lane: JobLane = JobLane(),
    ) -> None:
        self.executed: NotebookNode = nbformat.v4.new_notebook()
        self.gpu: Gpu | None = None
        self.placement_name: str | None = None
        self.placement: Placement | None = None
        self.reservations = 0
        self.waiting_for_capacity = False
        self.queued_since: float | None = None
        self.holders: Callable[[Placement], str] = lambda placement: ""
        self.estimator = StartupEstimator()
        self.drift: Drift | None = None
        self._reason = ""
        self._load = load
        self._placements = placements
        self._registration = registration
        self._start_gate = start_gate
        self._workers = workers
        self._settings = settings
        self._credentials = credentials
        self._names: tuple[str, ...] = ()
        self._lane = lane

    def folder(self, worker: str) -> Path:
        """Return the folder that a worker runs in."""
        return self._settings.folder / worker

    def require(self, specs: tuple[ServiceSpec, ...]) -> None:
        """Set what workers with these services need, and choose their placement."""
        gpu, name = self._needs(specs)
        self.gpu, self.placement_name = gpu, name
        with contextlib.suppress(DeploymentFailed):
            chosen = self._placements.choose(name, gpu)
            self.placement = self._placements.get(chosen)

    def _needs(self, specs: tuple[ServiceSpec, ...]) -> tuple[Gpu, str]:
        """Return the GPUs and the placement that a worker with these services needs."""
        is_job = self._lane.threads > 0  # of these kernels only, the threads are limited
        return required_gpus(specs, training=is_job), requested_placement(specs)

    @property
    def reason(self) -> str:
        """What a start waits for, and who uses that capacity; ``""`` if it does not wait."""
        waits = self.waiting_for_capacity or self.queued_since is not None
        if self.placement is None or not waits:
            return self._reason
        return f"{self._reason} {self.holders(self.placement)}".strip()

    @property
    def queued_seconds(self) -> float:
        """Seconds for which a scheduler has had no capacity for a start."""
        since = self.queued_since
        return 0.0 if since is None else asyncio.get_running_loop().time() - since

    async def start_checked(
        self,
        names: tuple[str, ...],
        dispatcher: Dispatcher,
        set_memory_limit: Callable[[tuple[ServiceSpec, ...]], int],
    ) -> Worker:
        """Start a worker and run its examples; clean up and raise an error if one fails."""
        with self.estimator.measure():
            worker = await self.start(names)
            try:
                specs = select_specs(worker.specs, names)
                limit = set_memory_limit(specs)
                await run_examples(dispatcher, worker, specs, limit, self.executed)
            except BaseException:
                await asyncio.shield(self._workers.end(worker))
                raise
        return worker

    async def start(self, names: tuple[str, ...]) -> Worker:
        """Start a worker that has the named services, and add it to the worker set.

        Raises ``DeploymentFailed`` or ``NotReady`` after cleaning up.
        """
        self._names = names
        bundle = await self._load_bundle()
        locked = await self._prepare(bundle)
        lost_nodes = 0
        while True:
            gpu = bundle.manifest.gpu if self.gpu is None else self.gpu
            name = self.placement_name
            name = bundle.manifest.placement if name is None else name
            name = self._lane.placement or name
            try:
                worker = await self._start_at(name, gpu, bundle, locked)
            except NodeLost:
                lost_nodes += 1
                if lost_nodes == MAX_NODES:
                    raise
                continue
            try:
                specs = select_specs(worker.specs, names)
                self.gpu, self.placement_name = self._needs(specs)
                self.placement_name = self._lane.placement or self.placement_name
                if (self.gpu, self.placement_name) == (gpu, name):
                    return worker
            except BaseException:
                await asyncio.shield(self._workers.end(worker))
                raise
            # Its code needs another placement or other GPUs than the bundle's manifest states.
            await asyncio.shield(self._workers.end(worker))

    async def _prepare(self, bundle: Bundle) -> LockedPython | None:
        """Return the locked environment of a bundle, if it has one."""

        def show(text: str) -> None:
            self._reason = text

        try:
            return await prepare(self._settings.environments, bundle, show)
        finally:
            self._reason = ""

    async def _start_at(
        self, name: str, gpu: Gpu, bundle: Bundle, locked: LockedPython | None
    ) -> Worker:
        """Start a worker at the placement ``name``, or where it fits if the name is empty."""
        chosen = self._placements.choose(name, gpu)
        placement = self._placements.get(chosen)
        try:
            reservation = await self._reserve(chosen, placement, gpu)
        except DeploymentFailed as error:
            raise DeploymentFailed(error.message + self._placements.alternatives(chosen)) from error
        self.reservations += 1
        unused: Reservation | None = reservation
        try:
            async with start_slot(self._start_gate):
                unused = None
                worker = await self._start(bundle, placement, reservation, locked)
            self._workers.add(worker)
            return worker
        finally:
            self.reservations -= 1
            if unused is not None:  # canceled while it waited for the start slot
                placement.release(unused)

    async def _reserve(self, name: str, placement: Placement, gpu: Gpu) -> Reservation:
        self.placement = placement
        try:
            while (reservation := placement.reserve(gpu)) is None:
                self.waiting_for_capacity = True
                self._reason = (
                    f"Waiting for capacity: all GPUs or slots of the placement {name!r} are in use."
                )
                await placement.freed()
        finally:
            self._reason, self.waiting_for_capacity = "", False
        return reservation

    async def _start(
        self,
        bundle: Bundle,
        placement: Placement,
        reservation: Reservation,
        locked: LockedPython | None,
    ) -> Worker:
        folder = self.folder(uuid.uuid4().hex)
        secret, expected = self._registration.expect()
        kernel: Kernel | None = None
        unused: Reservation | None = reservation
        cells: list[int] = []
        try:
            async with asyncio.timeout(self._settings.start_timeout) as clock:
                notebook = self.executed = nbformat.from_dict(bundle.notebook)
                await asyncio.to_thread(bundle.extract, folder)
                order = self._order(bundle, folder, secret, reservation, locked, clock)
                unused = None
                values = self._credentials.of(self._names or bundle.manifest.defines)
                started = await placement.start(order)
                kernel = started.kernel
                self._clear_reason()
                async with given(values, started.client, notebook):
                    await execute(notebook, started.manager, started.client, cells.append)
                self.drift = await environment_drift.measure(bundle, started.client, self.drift)
                serve(started.client)
                registered = await wait_connected(expected, kernel.alive, liveness.CONNECT_TIMEOUT)
                # Output that bypasses ``sys.stdout`` would accumulate here, unread.
                started.client.stop_channels()
        except BaseException as error:
            self._registration.forget(secret_hash(secret))
            if unused is not None:
                placement.release(unused)
            await self._clean_up(error, kernel, folder, cells)
            raise
        return Worker(kernel, registered.link, registered.specs, folder)

    def _order(
        self,
        bundle: Bundle,
        folder: Path,
        secret: str,
        reservation: Reservation,
        locked: LockedPython | None,
        clock: asyncio.Timeout,
    ) -> WorkerOrder:
        return WorkerOrder(
            folder.name,
            bundle.manifest.kernel,
            folder,
            secret,
            reservation,
            label=bundle.manifest.notebook,
            on_progress=self._progress_listener(clock),
            threads=self._lane.threads,
            locked=locked,
            stay=self._lane.stay,
            seconds=self._lane.seconds,
        )

    async def _clean_up(
        self, error: BaseException, kernel: Kernel | None, folder: Path, cells: list[int]
    ) -> None:
        """Clean up after a failed start; raise an error that explains the failure better."""
        self._clear_reason()
        lost = ended = False
        if kernel is not None and _may_be_lost(error):
            lost, ended = await kernel.node_lost(), not await kernel.alive()
        await asyncio.shield(self._workers.run_shielded(clean_up(kernel, folder)))
        if lost:
            raise NodeLost from error
        if ended:
            raise _ended_error(error) from error
        if isinstance(error, TimeoutError):
            raise self._timeout_error(cells) from error

    def _progress_listener(self, clock: asyncio.Timeout) -> Callable[[str], None]:
        """Return a thread-safe listener for a start's progress, which restarts its timeout."""
        loop = asyncio.get_running_loop()

        def on_progress(text: str) -> None:
            self._reason = text
            if not is_queued_message(text):
                self.queued_since = None
            elif self.queued_since is None:
                self.queued_since = loop.time()
            with contextlib.suppress(RuntimeError):  # the start has ended
                clock.reschedule(loop.time() + self._settings.start_timeout)

        def listener(text: str) -> None:
            loop.call_soon_threadsafe(on_progress, text)

        return listener

    def _clear_reason(self) -> None:
        self._reason, self.queued_since = "", None

    async def _load_bundle(self) -> Bundle:
        try:
            async with asyncio.timeout(self._settings.start_timeout):
                return await self._load()
        except TimeoutError as error:
            raise self._timeout_error([]) from error

    def _timeout_error(self, cells: list[int]) -> DeploymentFailed:
        message = f"The notebook was not ready within {self._settings.start_timeout:g} s"
        if not cells:
            return NoKernelInTime(f"{message}; its first cell had not started.")
        source = self.executed.cells[cells[-1]].source[:10_000]
        return DeploymentFailed(
            f"{message}; cell {cells[-1] + 1} was still running.",
            details={"cell": cells[-1], "source": source, "traceback": ""},
        )


def _ended_error(error: BaseException) -> KernelEnded:
    if isinstance(error, DeploymentFailed):
        return KernelEnded(error.message, details=error.details)
    return KernelEnded("The kernel ended while the notebook started.")


def _may_be_lost(error: BaseException) -> bool:
    """Return whether a start may have failed because of its node, not the notebook's code."""
    if isinstance(error, DeploymentFailed):
        return not (isinstance(error.details, dict) and error.details.get("traceback"))
    return isinstance(error, Exception) and not isinstance(error, TimeoutError)
