"""All open connections: their number, and the time limits of requests.

These are the connections of the fast path and those that Tornado reads. They are checked once a
second, so that calls do no extra work. WebSockets have their own limits and are not included.
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
"""Seconds between two checks."""

IDLE_TIMEOUT = 3600.0
"""Seconds after which an idle connection is closed, as in Tornado."""

MAX_UNSENT = 2**27
"""Maximum bytes of unsent responses over all connections. Above it, the connections that have been
stalled for the longest time are closed."""

REPORT_EVERY = 60.0
"""Seconds between two log lines about too many connections."""

BATCH = 64
"""At the limit, a 64th of all connections is closed at once, not one for each new connection."""

_UNLIMITED = float("inf")

log = logging.getLogger("easymlnb.connections")


class Phase(Enum):
    """What a connection waits for."""

    IDLE = "the next request"
    HEAD = "the rest of a request's head"
    BODY = "the rest of a request's body"
    BUSY = "the server"
    SENDING = "the caller to receive a finished response"


class OpenConnection(ABC):
    """One connection. ``last_used`` is the time of its last use, by the event loop's clock."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.last_used = asyncio.get_running_loop().time()
        self._time_left = 0.0
        self._last_received = 0
        self._waiting_for: Any = None
        self._last_unsent = 0
        self.stalled = 0

    @property
    @abstractmethod
    def phase(self) -> Phase:
        """What the connection waits for now."""

    @property
    @abstractmethod
    def request(self) -> int:
        """A number that changes with each new wait for the caller."""

    @property
    @abstractmethod
    def received(self) -> int:
        """Received bytes of bodies, or a number that grows with them."""

    @property
    @abstractmethod
    def unsent(self) -> int:
        """Bytes of responses that the caller has not received."""

    @abstractmethod
    def close(self, error: EasyMLNBError | None = None) -> None:
        """Close the connection; send ``error`` first if a response is still possible."""

    def check(self, elapsed: float, limits: Inbound) -> None:
        """Close the connection after a timeout; ``elapsed``: seconds since the last check."""
        phase = self.phase
        unsent = self.unsent
        self.stalled = self.stalled + 1 if unsent and unsent >= self._last_unsent else 0
        self._last_unsent = unsent
        if phase in (Phase.IDLE, Phase.BUSY):
            self._waiting_for = None
            return
        if (waiting_for := (phase, self.request)) != self._waiting_for:
            self._waiting_for = waiting_for
            self._start_timeout(phase, limits)
        if phase is Phase.BODY:
            arrived, self._last_received = self.received - self._last_received, self.received
            self._time_left = min(
                self._time_left + arrived / limits.body_rate, limits.body_timeout or _UNLIMITED
            )
        self._time_left -= elapsed
        if self._time_left <= 0:
            self._expire(phase, limits)

    def _start_timeout(self, phase: Phase, limits: Inbound) -> None:
        self._last_received = self.received
        self._time_left = {
            Phase.HEAD: limits.head_timeout or _UNLIMITED,
            Phase.BODY: limits.body_timeout or _UNLIMITED,
        }.get(phase, MIN_SEND_SECONDS + self.unsent / MIN_SEND_RATE)

    def _expire(self, phase: Phase, limits: Inbound) -> None:
        if phase is Phase.SENDING:
            self.close()
        elif phase is Phase.HEAD:
            message = f"The request's headers did not arrive within {limits.head_timeout:g} s."
            self.close(RequestTimeout(message))
        else:
            message = (
                f"The request's body arrived at less than {limits.body_rate:g} bytes per second "
                f"for {limits.body_timeout:g} s."
            )
            self.close(RequestTimeout(message))


class Connections:
    """All open connections."""

    def __init__(self, limits: Inbound, clock: Callable[[], float] | None = None) -> None:
        self._limits = limits
        self._clock = clock or asyncio.get_running_loop().time
        self._open: dict[OpenConnection, None] = {}
        self._per_address: Counter[str] = Counter()
        self._checked_at = self._clock()
        self._unsent = 0
        self._refused = 0
        self._closed_idle = 0
        self._reported_at = float("-inf")
        self._waiting: set[OpenConnection] = set()

    def __len__(self) -> int:
        return len(self._open)

    def try_admit(self) -> bool:
        """Return whether a new connection is accepted; closes idle ones if necessary."""
        limit = self._limits.connections
        admitted = (
            not limit or len(self._open) < limit or self._make_room(max(1, limit // BATCH)) > 0
        )
        self._refused += not admitted
        return admitted

    def add(self, connection: OpenConnection) -> None:
        """Add a connection."""
        self._open[connection] = None
        if connection.address:
            self._per_address[connection.address] += 1

    def remove(self, connection: OpenConnection) -> None:
        """Remove a connection, if it has not been removed before."""
        if connection not in self._open:
            return
        del self._open[connection]
        if connection.address:
            self._per_address[connection.address] -= 1
            if not self._per_address[connection.address]:
                del self._per_address[connection.address]

    def add_unsent(self, size: int) -> None:
        """Count unsent bytes of a response."""
        self._unsent += size
        if self._unsent > MAX_UNSENT:
            self._shed()

    async def run(self) -> None:
        """Check all connections until canceled."""
        while True:
            await asyncio.sleep(EVERY)
            self.check()

    def check(self) -> None:
        """Close connections after their timeouts and over the limits."""
        now = self._clock()
        # A blocked event loop reads nothing; callers must not time out because of that.
        elapsed, self._checked_at = min(now - self._checked_at, 2 * EVERY), now
        for connection in list(self._open):
            if connection.phase is Phase.IDLE and now - connection.last_used > IDLE_TIMEOUT:
                self._close(connection)
            else:
                connection.check(elapsed, self._limits)
        self._thin_out()
        self._shed()
        if now - self._reported_at >= REPORT_EVERY:
            self._report(now)

    def _make_room(self, count: int, address: str = "") -> int:
        """Close the connections that have been idle longest; returns their number."""
        idle = (
            connection for connection in self._open if not address or connection.address == address
        )
        idle = (connection for connection in idle if connection.phase in (Phase.IDLE, Phase.HEAD))
        chosen = heapq.nsmallest(count, idle, key=lambda connection: connection.last_used)
        for connection in chosen:
            self._close(connection)
        self._closed_idle += len(chosen)
        return len(chosen)

    def _thin_out(self) -> None:
        """Close idle connections of addresses over the limit.

        Connections in use do not count: many callers may share one address. Neither do those
        that came since the last check: their requests may have arrived and not been read yet.
        """
        limit = self._limits.per_address
        crowded = {address for address, count in self._per_address.items() if count > limit > 0}
        waiting = {
            connection
            for connection in self._open
            if connection.address in crowded and connection.phase in (Phase.IDLE, Phase.HEAD)
        }
        lasting = Counter(connection.address for connection in waiting & self._waiting)
        self._waiting = waiting
        for address, count in lasting.items():
            if count > limit:
                self._make_room(count - limit, address)

    def _shed(self) -> None:
        sizes = {connection: size for connection in self._open if (size := connection.unsent)}
        self._unsent = sum(sizes.values())
        if self._unsent <= MAX_UNSENT:
            return
        for connection in sorted(
            sizes, key=lambda connection: (connection.stalled, sizes[connection]), reverse=True
        ):
            self._close(connection)
            self._unsent -= sizes[connection]
            if self._unsent <= MAX_UNSENT // 2:
                return

    def _close(self, connection: OpenConnection) -> None:
        self.remove(connection)
        connection.close()

    def _report(self, now: float) -> None:
        """Log closed and refused connections since the last report."""
        if self._refused or self._closed_idle:
            log.warning(
                "Too many connections: closed %d idle ones and refused %d new ones. See "
                "EasyMLNB.connections and EasyMLNB.connections_per_address.",
                self._closed_idle,
                self._refused,
            )
            self._refused = self._closed_idle = 0
            self._reported_at = now


def network_of(address: Any) -> str:
    """Return the key that connections are counted by: an IPv4 address or an IPv6 /64 network.

    Returns an empty string for connections without an address, such as Unix sockets.
    """
    if not isinstance(address, tuple) or not address:
        return ""
    try:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
