"""All open connections: their number, and the time limits of requests.

Connections of the fast path and those that Tornado reads are held here alike. They are looked at
once a second, so a call pays nothing for it. A connection that became something else, a WebSocket,
is no longer held: those have limits of their own.
"""

import asyncio
import heapq
import ipaddress
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Any

from easymlnb.contract.errors import EasyMLNBError, RequestTimeout
from easymlnb_server.calls.stream_buffer import MIN_SEND_RATE, MIN_SEND_SECONDS
from easymlnb_server.http.connection_settings import Inbound

EVERY = 1.0
"""Seconds between two looks."""

IDLE = 3600.0
"""Seconds after which an idle connection is closed; it is Tornado's own time."""

UNSENT = 2**27
"""Bytes of answers that callers have not taken, over all connections. Beyond that the connections
whose callers have taken nothing for the longest time are closed."""

TOLD_EVERY = 60.0
"""Seconds between two lines in the log about a full house."""

BATCH = 64
"""A full house makes room for a 64th of its connections at once, not for each new one again."""

_EVER = float("inf")

log = logging.getLogger("easymlnb.connections")


class Phase(Enum):
    """What a connection waits for."""

    IDLE = "the next request"
    HEAD = "the rest of a request's head"
    BODY = "the rest of a request's body"
    BUSY = "the server"
    SENDING = "the caller to receive a finished response"


class Held(ABC):
    """One connection. ``heard`` is when it was used last, by the event loop's clock."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard = asyncio.get_running_loop().time()
        self._left = 0.0
        self._moved = 0
        self._begun: Any = None
        self._kept = 0
        self.stalled = 0

    @property
    @abstractmethod
    def phase(self) -> Phase:
        """What it waits for now."""

    @property
    @abstractmethod
    def request(self) -> int:
        """A number that changes whenever it begins to wait for a caller."""

    @property
    @abstractmethod
    def received(self) -> int:
        """Bytes of bodies that have arrived, or any number that grows with them."""

    @property
    @abstractmethod
    def unsent(self) -> int:
        """Bytes of answers that the caller has not taken."""

    @abstractmethod
    def close(self, error: EasyMLNBError | None = None) -> None:
        """Close it now; ``error`` is told first, if an answer can still be given."""

    def look(self, elapsed: float, limits: Inbound) -> None:
        """Close it if its time is over; ``elapsed`` seconds have passed since the last look."""
        phase = self.phase
        unsent = self.unsent
        self.stalled = self.stalled + 1 if unsent and unsent >= self._kept else 0
        self._kept = unsent
        if phase in (Phase.IDLE, Phase.BUSY):
            self._begun = None
            return
        if (begun := (phase, self.request)) != self._begun:
            self._begun = begun
            self._begin(phase, limits)
        if phase is Phase.BODY:
            got, self._moved = self.received - self._moved, self.received
            self._left = min(self._left + got / limits.body_rate, limits.body_timeout or _EVER)
        self._left -= elapsed
        if self._left <= 0:
            self._expire(phase, limits)

    def _begin(self, phase: Phase, limits: Inbound) -> None:
        self._moved = self.received
        self._left = {
            Phase.HEAD: limits.head_timeout or _EVER,
            Phase.BODY: limits.body_timeout or _EVER,
        }.get(phase, MIN_SEND_SECONDS + self.unsent / MIN_SEND_RATE)

    def _expire(self, phase: Phase, limits: Inbound) -> None:
        if phase is Phase.SENDING:
            self.close()
        elif phase is Phase.HEAD:
            said = f"The request's headers did not arrive within {limits.head_timeout:g} s."
            self.close(RequestTimeout(said))
        else:
            said = (
                f"The request's body arrived at less than {limits.body_rate:g} bytes per second "
                f"for {limits.body_timeout:g} s."
            )
            self.close(RequestTimeout(said))


class Connections:
    """Those that are open."""

    def __init__(self, limits: Inbound, clock: Callable[[], float] | None = None) -> None:
        self._limits = limits
        self._clock = clock or asyncio.get_running_loop().time
        self._open: dict[Held, None] = {}
        self._per_address: Counter[str] = Counter()
        self._looked = self._clock()
        self._unsent = 0
        self._refused = 0
        self._made_room = 0
        self._told = float("-inf")
        self._waiting: set[Held] = set()

    def __len__(self) -> int:
        return len(self._open)

    def admits(self) -> bool:
        """Say whether one more connection may come, making room if need be."""
        limit = self._limits.connections
        good = not limit or len(self._open) < limit or self._make_room(max(1, limit // BATCH)) > 0
        self._refused += not good
        return good

    def add(self, held: Held) -> None:
        """Hold a connection from now on."""
        self._open[held] = None
        if held.address:
            self._per_address[held.address] += 1

    def remove(self, held: Held) -> None:
        """Hold a connection no longer; it may have been removed before."""
        if held not in self._open:
            return
        del self._open[held]
        if held.address:
            self._per_address[held.address] -= 1
            if not self._per_address[held.address]:
                del self._per_address[held.address]

    def keeps_back(self, size: int) -> None:
        """Note that a caller did not take so many bytes of an answer at once."""
        self._unsent += size
        if self._unsent > UNSENT:
            self._shed()

    async def keep(self) -> None:
        """Look at all of them, for as long as the server runs."""
        while True:
            await asyncio.sleep(EVERY)
            self.look()

    def look(self) -> None:
        """Close those whose time is over."""
        now = self._clock()
        # While this server stood still nothing was read: that is no fault of those who send.
        elapsed, self._looked = min(now - self._looked, 2 * EVERY), now
        for held in list(self._open):
            if held.phase is Phase.IDLE and now - held.heard > IDLE:
                self._close(held)
            else:
                held.look(elapsed, self._limits)
        self._thin_out()
        self._shed()
        if now - self._told >= TOLD_EVERY:
            self._tell(now)

    def _make_room(self, count: int, address: str = "") -> int:
        """Close those that have been idle for the longest time; returns how many."""
        idle = (held for held in self._open if not address or held.address == address)
        idle = (held for held in idle if held.phase in (Phase.IDLE, Phase.HEAD))
        chosen = heapq.nsmallest(count, idle, key=lambda held: held.heard)
        for held in chosen:
            self._close(held)
        self._made_room += len(chosen)
        return len(chosen)

    def _thin_out(self) -> None:
        """Close what is too much of one address.

        Connections in use do not count: many callers may share one address. Neither do those
        that came since the last check: their requests may have arrived and not been read yet.
        """
        limit = self._limits.per_address
        crowded = {address for address, count in self._per_address.items() if count > limit > 0}
        waiting = {
            held
            for held in self._open
            if held.address in crowded and held.phase in (Phase.IDLE, Phase.HEAD)
        }
        lasting = Counter(held.address for held in waiting & self._waiting)
        self._waiting = waiting
        for address, count in lasting.items():
            if count > limit:
                self._make_room(count - limit, address)

    def _shed(self) -> None:
        sizes = {held: size for held in self._open if (size := held.unsent)}
        self._unsent = sum(sizes.values())
        if self._unsent <= UNSENT:
            return
        for held in sorted(sizes, key=lambda held: (held.stalled, sizes[held]), reverse=True):
            self._close(held)
            self._unsent -= sizes[held]
            if self._unsent <= UNSENT // 2:
                return

    def _close(self, held: Held) -> None:
        self.remove(held)
        held.close()

    def _tell(self, now: float) -> None:
        """Write one line for all that happened since the last one."""
        if self._refused or self._made_room:
            log.warning(
                "Too many connections: closed %d idle ones and refused %d new ones. See "
                "EasyMLNB.connections and EasyMLNB.connections_per_address.",
                self._made_room,
                self._refused,
            )
            self._refused = self._made_room = 0
            self._told = now


def network_of(address: Any) -> str:
    """Return what connections are counted by: an IPv4 address, or an IPv6 network of one site.

    Returns an empty text for what has no address, such as a Unix socket.
    """
    if not isinstance(address, tuple) or not address:
        return ""
    try:
        found = ipaddress.ip_address(str(address[0]).partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
