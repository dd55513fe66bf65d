"""Start a worker from a bundle: capacity, kernel, notebook, link, health check."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import nbformat
from nbformat import NotebookNode

from easymlnb.contract import units
from easymlnb.contract.bundle import Bundle
from easymlnb.contract.errors import DeploymentFailed, NotReady
from easymlnb.contract.resources import PREFER, Gpu
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import Call
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.dispatch.duration_model import StartupEstimator
from easymlnb_server.placement.base import (
    Kernel,
    Placement,
    Reservation,
    WorkerOrder,
    is_queued_message,
)
from easymlnb_server.placement.registry import PlacementSet, requested_placement
from easymlnb_server.workers.cell_lines import ending, in_notebook
from easymlnb_server.workers.liveness import dialled
from easymlnb_server.workers.notebook_execution import execute, serve
from easymlnb_server.workers.registration import WorkerRegistration, secret_hash
from easymlnb_server.workers.settings import Settings
from easymlnb_server.workers.start_limiter import turn
from easymlnb_server.workers.worker_set import Worker, WorkerSet, clear

Load = Callable[[], Awaitable[Bundle]]

MOST_NODES = 3
"""Nodes that may go away under one start of a worker."""


class NodeLost(NotReady):
    """The node that executed a notebook went away: its job was cancelled, or it crashed."""

    def __init__(self) -> None:
        super().__init__(
            "The node that executed the notebook is gone: its job was canceled, ran out of time "
            "or memory, or its host crashed."
        )


class Starter:
    """Starts workers of one bundle, each in room that is kept for it.

    ``load`` reads the bundle, anew for each worker: storage may be away for a while, and one bundle
    that cannot be read must not keep others from starting.
    ``executed`` is the notebook as the latest worker ran it, with outputs: the log. ``gpu`` is what
    a worker needs and ``place`` where it runs, ``None`` as long as only the bundle says it;
    ``reason`` says what workers wait for, if they do; ``cramped`` that it is the room of others,
    ``queued`` since when, by the loop's clock, a scheduler has had no room. ``placement`` is where
    the latest start looked for room, ``rooms`` how many starts have theirs. ``holders`` says who
    has the room of a placement; ``starts`` is how long workers take.
    """

    def __init__(
        self,
        load: Load,
        places: PlacementSet,
        rendezvous: WorkerRegistration,
        staff: WorkerSet,
        settings: Settings,
    ) -> None:
        self.executed: NotebookNode = nbformat.v4.new_notebook()
        self.gpu: Gpu | None = None
        self.place: str | None = None
        self.reason = ""
        self.cramped = False
        self.queued: float | None = None
        self.placement: Placement | None = None
        self.rooms = 0
        self.holders: Callable[[Placement], str] = lambda placement: ""
        self.starts = StartupEstimator()
        self._load = load
        self._places = places
        self._rendezvous = rendezvous
        self._staff = staff
        self._settings = settings

    def folder(self, worker: str) -> Path:
        """Return the folder that a worker of this name runs in."""
        return self._settings.folder / worker

    def settle(self) -> None:
        """Know where workers start before one does, such as when a former server's are adopted."""
        with contextlib.suppress(DeploymentFailed):
            chosen = self._places.choose(self.place or "", self.gpu or 0.0)
            self.placement = self._places.get(chosen)

    async def checked(
        self,
        names: tuple[str, ...],
        pool: Dispatcher,
        limit_to: Callable[[tuple[ServiceSpec, ...]], int],
    ) -> Worker:
        """Start a worker that passes its examples; raises, and then nothing is left of it."""
        with self.starts.measured():
            worker = await self.start(names)
            try:
                specs = wanted(worker.specs, names)
                await check(pool, worker, specs, limit_to(specs), self.executed)
            except BaseException:
                await asyncio.shield(self._staff.end(worker))
                raise
        return worker

    async def start(self, names: tuple[str, ...]) -> Worker:
        """Start a worker that has the services of these names; it belongs to the crew then.

        Raises ``DeploymentFailed`` or ``NotReady``, leaving nothing behind.
        """
        bundle = await self._read()
        displaced = 0
        while True:
            needed = bundle.manifest.gpu if self.gpu is None else self.gpu
            place = bundle.manifest.placement if self.place is None else self.place
            chosen = self._places.choose(place, needed)
            placement = self._places.get(chosen)
            try:
                room = await self._room(chosen, placement, needed)
            except DeploymentFailed as error:
                raise DeploymentFailed(error.message + self._places.alternatives(chosen)) from error
            self.rooms += 1
            try:
                worker = await self._start_in_turn(bundle, placement, room)
                self._staff.add(worker)
            except NodeLost:
                displaced += 1
                if displaced == MOST_NODES:
                    raise
                continue
            finally:
                self.rooms -= 1
            try:
                specs = wanted(worker.specs, names)
                self.gpu, self.place = most_gpus(specs), requested_placement(specs)
                if (self.gpu, self.place) == (needed, place):
                    return worker
            except BaseException:
                await asyncio.shield(self._staff.end(worker))
                raise
            # Its code asks for other GPUs, or another place, than could be read before it ran.
            await asyncio.shield(self._staff.end(worker))

    @property
    def waits_for(self) -> str:
        """Return what workers wait for, and who has the room if it is room."""
        if self.placement is None or not (self.cramped or self.queued is not None):
            return self.reason
        return f"{self.reason} {self.holders(self.placement)}".strip()

    async def _room(self, name: str, placement: Placement, gpu: Gpu) -> Reservation:
        self.placement = placement
        try:
            while (room := placement.reserve(gpu)) is None:
                self.cramped = True
                self.reason = (
                    f"Waiting for capacity: all GPUs or slots of the placement {name!r} are in use."
                )
                await placement.freed()
        finally:
            self.reason, self.cramped = "", False
        return room

    async def _start_in_turn(
        self, bundle: Bundle, placement: Placement, room: Reservation
    ) -> Worker:
        held: Reservation | None = room
        try:
            async with turn(self._settings.gate):
                held = None
                return await self._start(bundle, placement, room)
        finally:
            if held is not None:  # stopped while it waited for its turn
                placement.release(held)

    async def _start(self, bundle: Bundle, placement: Placement, room: Reservation) -> Worker:
        name = uuid.uuid4().hex
        folder = self.folder(name)
        secret, arrival = self._rendezvous.expect()
        kernel: Kernel | None = None
        held: Reservation | None = room
        cells: list[int] = []
        try:
            async with asyncio.timeout(self._settings.start_timeout) as clock:
                notebook = self.executed = nbformat.from_dict(bundle.notebook)
                await asyncio.to_thread(bundle.extract, folder)
                order = WorkerOrder(
                    name,
                    bundle.manifest.kernel,
                    folder,
                    secret,
                    room,
                    label=bundle.manifest.notebook,
                    on_progress=self._heard(clock),
                )
                held = None
                started = await placement.start(order)
                kernel = started.kernel
                self._quiet()
                await execute(notebook, started.manager, started.client, cells.append)
                serve(started.client)
                found = await dialled(kernel, arrival)
                # What is printed past `sys.stdout` would pile up here, unread.
                started.client.stop_channels()
        except BaseException as error:
            self._quiet()
            self._rendezvous.forget(secret_hash(secret))
            if held is not None:
                placement.release(held)
            lost = kernel is not None and _may_be_lost(error) and await kernel.node_lost()
            await asyncio.shield(self._staff.sees_through(clear(kernel, folder)))
            if lost:
                raise NodeLost from error
            if isinstance(error, TimeoutError):
                raise self._too_slow(cells) from error
            raise
        return Worker(kernel, found.link, found.specs, folder)

    def _heard(self, clock: asyncio.Timeout) -> Callable[[str], None]:
        """Return what takes news of a start: it goes on, so its time begins anew."""
        loop = asyncio.get_running_loop()

        def hear(text: str) -> None:
            self.reason = text
            if not is_queued_message(text):
                self.queued = None
            elif self.queued is None:
                self.queued = loop.time()
            with contextlib.suppress(RuntimeError):  # it started meanwhile
                clock.reschedule(loop.time() + self._settings.start_timeout)

        def say(text: str) -> None:
            loop.call_soon_threadsafe(hear, text)

        return say

    def _quiet(self) -> None:
        self.reason, self.queued = "", None

    async def _read(self) -> Bundle:
        try:
            async with asyncio.timeout(self._settings.start_timeout):
                return await self._load()
        except TimeoutError as error:
            raise self._too_slow([]) from error

    def _too_slow(self, cells: list[int]) -> DeploymentFailed:
        told = f"The notebook was not ready within {self._settings.start_timeout:g} s"
        if not cells:
            return DeploymentFailed(f"{told}; its first cell had not started.")
        source = self.executed.cells[cells[-1]].source[:10_000]
        return DeploymentFailed(
            f"{told}; cell {cells[-1] + 1} was still running.",
            details={"cell": cells[-1], "source": source, "traceback": ""},
        )


def _may_be_lost(error: BaseException) -> bool:
    """Say whether a start may have failed for want of its node, not by the notebook's code."""
    if isinstance(error, DeploymentFailed):
        return not (isinstance(error.details, dict) and error.details.get("traceback"))
    return isinstance(error, Exception) and not isinstance(error, TimeoutError)


def wanted(specs: tuple[ServiceSpec, ...], names: tuple[str, ...]) -> tuple[ServiceSpec, ...]:
    """Return the services of these names, all if there are none; raises ``DeploymentFailed``."""
    found = {spec.name: spec for spec in specs}
    missing = [name for name in names if name not in found]
    if missing:
        raise DeploymentFailed(
            f"The notebook defines no service named {', '.join(map(repr, missing))}. Its "
            f"services: {', '.join(found) or 'none'}."
        )
    if not found:
        raise DeploymentFailed(
            "The notebook defines no service. Decorate a function with @ml.service."
        )
    return tuple(found[name] for name in names) if names else specs


async def check(
    pool: Dispatcher,
    worker: Worker,
    specs: tuple[ServiceSpec, ...],
    limit: int,
    notebook: NotebookNode,
) -> None:
    """Run every example as an ordinary call, on this worker; ``limit`` is its memory in bytes.

    Raises ``DeploymentFailed``, with the cell and line of ``notebook`` where an example failed.
    """
    for spec in specs:
        for number, example in enumerate(spec.examples):
            body = msgspec.json.encode(example)
            call = Call(id=0, service=spec.name, seconds=spec.timeout, view=spec.view)
            answer = await pool.submit(call, body, spec=spec, worker=worker.link).answered
            if answer.error is not None:
                trace = answer.failure.trace if answer.failure else ""
                given = body[:10_000].decode(errors="replace")
                where, details = _place(notebook, trace)
                why = ending(trace) or answer.error.message
                raise DeploymentFailed(
                    f"Example {number + 1} of {spec.name!r} failed{where}: {why}",
                    details={"source": given, "example": given, **details, "traceback": trace},
                )
    used = await asyncio.to_thread(worker.kernel.memory) if limit else 0
    if used > limit:
        raise DeploymentFailed(
            f"The worker uses {units.shown(used)} of memory before its first call; its limit is "
            f"{units.shown(limit)}. Load less data, or raise memory= of the service."
        )


def _place(notebook: NotebookNode, trace: str) -> tuple[str, dict[str, Any]]:
    """Return where an example failed, in words and as details; empty when it is unknown."""
    found = in_notebook(notebook, trace)
    if found is None:
        return "", {}
    cell, line = found
    source = str(notebook.cells[cell].source)[:10_000]
    return f" in cell {cell + 1}, line {line}", {"cell": cell, "line": line, "source": source}


def most_gpus(specs: tuple[ServiceSpec, ...]) -> Gpu:
    """Return what a worker of all these services needs."""
    asked = [spec.running.gpu for spec in specs]
    firm = max((one for one in asked if one != PREFER), default=0.0)
    return firm or (PREFER if PREFER in asked else 0.0)
