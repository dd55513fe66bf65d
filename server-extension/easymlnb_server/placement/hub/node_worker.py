"""A worker's kernel on a node, as the node's routes describe it."""

import asyncio
import contextlib
import math
import time
from pathlib import Path

import httpx
import msgspec

from easymlnb_server.placement import process_records
from easymlnb_server.placement.base import Reservation
from easymlnb_server.placement.hub import bounded_http, node_protocol
from easymlnb_server.placement.hub.node_protocol import KernelStatus
from easymlnb_server.placement.hub.usage_meter import Meter, Unmetered

ASK_TIMEOUT = 10.0
END_TIMEOUT = 30.0
AWAY = 5
"""Times in a row, a second apart, that others answer for a node until it counts as gone."""


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the next server must know to take a worker over: where it is, whose, its proof.

    ``user`` owns the node; it is empty in notes of before there were others than this server's.
    ``ends`` is when, in seconds since 1970, it should be replaced; 0 for never.
    """

    worker: str
    placement: str
    address: str
    kernel: str
    user: str = ""
    bundle: str = ""
    token: str = ""
    ends: float = 0.0


class SlotCounter:
    """How many workers of a placement there may be, and are, each with so many ``gpus``.

    ``meter`` knows what the same user has elsewhere.
    """

    def __init__(self, count: int, gpus: float = 0.0, meter: Meter | None = None) -> None:
        self._free = count
        self._gpus = gpus
        self._meter = meter or Unmetered()
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def over(self) -> bool:
        """Say whether those who sit here have to leave."""
        return self._meter.over(self._gpus)

    def take(self) -> Reservation | None:
        """Take one; ``None`` when there is none. Raises what the meter does."""
        self._meter.check(self._gpus)
        if self._free < 1:
            return None
        self._begin()
        return Reservation()

    def sit(self) -> None:
        """The worker for whom one was taken is on its node."""
        self._meter.holds(self._gpus)

    def hold(self) -> None:
        """Take one for a worker that is on its node already."""
        self._begin()
        self.sit()

    def _begin(self) -> None:
        self._free -= 1
        self._meter.began()

    def give_back(self, *, sat: bool) -> None:
        """Give one back; ``sat`` says whether its worker came to its node."""
        self._free += 1
        self._meter.ended(self._gpus if sat else 0.0)
        for one in self._waiting:
            if not one.done():
                one.set_result(None)
        self._waiting.clear()

    async def freed(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


class RemoteWorkerKernel:
    """A worker's kernel on a node, as far as the node's routes tell of it."""

    def __init__(
        self, note: WorkerRecord, file: Path, seats: SlotCounter, auth: httpx.Auth
    ) -> None:
        self._note = note
        self._file = file
        self._seats = seats
        self._auth = auth
        self._away = 0
        left = note.ends - time.time() if note.ends else math.inf
        self.until = time.monotonic() + left

    @property
    def _url(self) -> str:
        return f"{self._note.address}easymlnb/node/kernels/{self._note.kernel}"

    async def alive(self) -> bool:
        """Ask the node, which by this also learns that somebody still wants the kernel."""
        if self._seats.over:
            return False
        try:
            answer = await self._ask()
        except httpx.TransportError:
            return True  # the proxy is away for a moment; the link tells whether the worker is
        if answer.status_code == 404 and node_protocol.OURS in answer.headers:
            return False
        # Without a way to the node the proxy asks the Hub or the user's own server, and says 503
        # of a node that does not answer: for a moment, when it was restarted, or for good.
        self._away = self._away + 1 if answer.status_code in (302, 404, 424, 503) else 0
        return self._away < AWAY

    async def frozen(self) -> bool:
        return False  # its node looks itself, and ends it

    async def returns(self) -> bool:
        return await self.alive()

    async def displaced(self) -> bool:
        # A node that still runs knows, or no longer knows, the kernel; both come with our header.
        try:
            return node_protocol.OURS not in (await self._ask()).headers
        except httpx.TransportError:
            return True

    def memory(self) -> int:
        try:
            answer = asyncio.run(self._ask())
            return msgspec.json.decode(answer.content, type=KernelStatus).memory
        except (httpx.TransportError, msgspec.MsgspecError):
            return 0

    async def note(self, bundle: str, token: str) -> None:
        self._note = msgspec.structs.replace(self._note, bundle=bundle, token=token)
        await asyncio.to_thread(process_records.write, self._file, self._note)

    async def adopted(self) -> bool:
        return await asyncio.to_thread(
            process_records.has_other_token, self._file, self._note.token
        )

    async def stop(self) -> None:
        try:
            if not await self.adopted():
                await self._end()
                self._file.unlink(missing_ok=True)
        finally:
            self._seats.give_back(sat=True)

    async def _ask(self) -> httpx.Response:
        # In no thread: those of all users are few, and a node may keep one for as long as it likes.
        async with bounded_http.client(self._auth) as http:
            return await bounded_http.ask(http, "GET", self._url, ASK_TIMEOUT)

    async def _end(self) -> None:
        # Where it cannot be told, the node ends what nobody wants by itself.
        with contextlib.suppress(httpx.TransportError):
            async with bounded_http.client(self._auth) as http:
                await bounded_http.ask(http, "DELETE", self._url, END_TIMEOUT)
