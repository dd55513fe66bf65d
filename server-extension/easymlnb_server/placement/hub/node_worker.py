"""A worker's kernel on a node, as the node's routes describe it."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
from jupyter_client.manager import AsyncKernelManager

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.placement.base import Reservation
from easymlnb_server.placement.hub import bounded_http, node_protocol
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.node_protocol import KernelChange, KernelStatus
from easymlnb_server.placement.hub.provisioner import HubProvisioner
from easymlnb_server.placement.process_records import WorkerRecord
from easymlnb_server.placement.worker_kernel import WorkerKernel

QUERY_TIMEOUT = 10.0
END_TIMEOUT = 30.0
MAX_MISSES = 5
"""Consecutive checks, a second apart, in which a node is not reached until it counts as gone."""

PATIENT_MISSES = 120
"""The same for kernels that run jobs, as long as the Hub says that the node runs."""

log = logging.getLogger("easymlnb.node")


class NodeRecord(WorkerRecord, frozen=True, kw_only=True, omit_defaults=True):
    """A worker on a node.

    kernel: the kernel's id at the node's ``address``.
    user: the owner of the node.
    ends: when the worker should be replaced, in seconds since 1970; 0: never.
    over: when the node ends, likewise.
    stay: seconds that a kernel of jobs runs without its owner.
    """

    placement: str
    address: str
    kernel: str
    user: str = ""
    ends: float = 0.0
    over: float = 0.0
    stay: float = 0.0


class WorkerMeter:
    """Counts one user's workers in all placements. This one has no limits."""

    def check(self, gpus: float) -> None:
        """Raise ``Forbidden`` or ``NotReady`` if no more worker with that many GPUs may run."""

    def start(self) -> None:
        """Count a worker, which may still wait for a node."""

    def hold(self, gpus: float) -> None:
        """Count the GPUs of a worker that reached its node."""

    def end(self, gpus: float) -> None:
        """Remove a worker and the GPUs that it held."""

    def exceeded(self, gpus: float) -> bool:
        """Return whether workers with that many GPUs must end now."""
        return False


class SlotCounter:
    """The slots of a placement.

    count: how many workers there may be.
    gpus: how many GPUs each has.
    meter: counts the same user's workers in all placements.
    """

    def __init__(self, count: int, gpus: float = 0.0, meter: WorkerMeter | None = None) -> None:
        self._free = count
        self._gpus = gpus
        self._meter = meter or WorkerMeter()
        self._released = asyncio.Event()

    @property
    def exceeded(self) -> bool:
        """Whether the user's limit is exceeded, so the workers must end."""
        return self._meter.exceeded(self._gpus)

    def reserve(self) -> Reservation | None:
        """Reserve a slot; ``None`` if none is free. Raises what the meter raises."""
        self._meter.check(self._gpus)
        if self._free < 1:
            return None
        self._start()
        return Reservation()

    def hold(self) -> None:
        """Count a worker with a reserved slot that reached its node."""
        self._meter.hold(self._gpus)

    def adopt(self) -> None:
        """Count a worker that was on its node before this server started."""
        self._start()
        self.hold()

    def release(self, *, held: bool) -> None:
        """Release a slot; ``held``: its worker had reached its node."""
        self._free += 1
        self._meter.end(self._gpus if held else 0.0)
        self._released.set()
        self._released = asyncio.Event()

    async def freed(self) -> None:
        """Wait until a slot is released."""
        await self._released.wait()

    def _start(self) -> None:
        self._free -= 1
        self._meter.start()


class RemoteWorkerKernel(WorkerKernel[NodeRecord]):
    """A worker's kernel on a node; ``hub`` makes a client of the Hub, which knows its nodes."""

    is_on_node = True

    def __init__(
        self,
        file: Path,
        record: NodeRecord,
        slots: SlotCounter,
        auth: httpx.Auth,
        manager: AsyncKernelManager | None = None,
        hub: Callable[[], HubClient] | None = None,
    ) -> None:
        super().__init__(file, record, manager)
        self._slots = slots
        self._auth = auth
        self._hub = hub
        self._misses = 0
        self.replace_at = _monotonic(record.ends)
        self.ends_at = _monotonic(record.over)

    async def alive(self) -> bool:
        return not self._slots.exceeded and await super().alive()

    async def frozen(self) -> bool:
        return False  # the node checks this, and ends the worker

    async def may_reconnect(self) -> bool:
        return await self.alive() and (self._manager is None or await self._runs())

    async def keep(self, seconds: float) -> None:
        if seconds <= self._record.stay:
            return
        problem = ""
        try:
            response = await self._request("PATCH", QUERY_TIMEOUT, KernelChange(stay=seconds))
            if not response.is_success:
                problem = f"it responded with status {response.status_code}"
        except httpx.HTTPError as error:
            problem = str(error)
        if problem:
            log.warning("A node will end the kernel of a job soon after its server: %s", problem)
            return
        self._record = msgspec.structs.replace(self._record, stay=seconds)
        if self._manager is not None and isinstance(self._manager.provisioner, HubProvisioner):
            self._manager.provisioner.keep(seconds)

    async def node_lost(self) -> bool:
        # A node that runs answers with our header, whether it knows the kernel or not.
        try:
            return node_protocol.OURS not in (await self._request("GET", QUERY_TIMEOUT)).headers
        except httpx.TransportError:
            return True

    def memory(self) -> int:
        try:
            response = asyncio.run(self._request("GET", QUERY_TIMEOUT))
            return msgspec.json.decode(response.content, type=KernelStatus).memory
        except (httpx.TransportError, msgspec.MsgspecError):
            return 0

    async def _runs(self) -> bool:
        """Ask the node, which keeps a kernel running while someone asks for it."""
        try:
            response = await self._request("GET", QUERY_TIMEOUT)
        except httpx.TransportError:
            return True  # the proxy is away for a moment; the link shows whether the worker is
        if response.status_code == 404 and node_protocol.OURS in response.headers:
            return False
        # If the proxy does not reach the node, it asks the Hub or the user's own server, or
        # responds with 503: for a moment after a restart, or permanently.
        missed = response.status_code in (302, 404, 424, 503)
        self._misses = self._misses + 1 if missed else 0
        if self._misses < MAX_MISSES or not self._record.stay:
            return self._misses < MAX_MISSES
        # A job waits for a network that heals, unless the node has ended.
        return self._misses < PATIENT_MISSES and not await self._is_node_stopped()

    async def _is_node_stopped(self) -> bool:
        """Return whether the Hub reports that the node does not run."""
        if self._hub is None:
            return False
        with contextlib.suppress(EasyMLNBError):
            client = self._hub()
            try:
                name = self._record.address.rstrip("/").rpartition("/")[2]
                model = (await client.servers()).get(name)
            finally:
                await client.close()
            return not (model and (model.get("ready") or model.get("pending")))
        return False

    async def _end(self) -> None:
        # A node that cannot be reached ends kernels without an owner automatically.
        with contextlib.suppress(httpx.TransportError):
            await self._request("DELETE", END_TIMEOUT)
        self._file.unlink(missing_ok=True)

    def _release(self) -> None:
        self._slots.release(held=True)

    async def _request(
        self, method: str, seconds: float, body: KernelChange | None = None
    ) -> httpx.Response:
        # Not in a thread: all users share a few threads, and a node can block one for long.
        url = f"{self._record.address}easymlnb/node/kernels/{self._record.kernel}"
        async with bounded_http.client(self._auth) as http:
            content = msgspec.msgpack.encode(body) if body is not None else b""
            return await bounded_http.request(http, method, url, seconds, content=content)


def _monotonic(wall_clock: float) -> float:
    """Return a time in seconds since 1970 on the monotonic clock; ``inf`` for 0."""
    return time.monotonic() + wall_clock - time.time() if wall_clock else math.inf
