"""The nodes of one placement: named servers of the user, started on demand."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from easymlnb.contract.errors import EasyMLNBError, NotReady
from easymlnb_server.placement.base import SeatsTaken
from easymlnb_server.placement.hub import bounded_http
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.node_protocol import FULL, OURS, KernelRequest, NodeStatus
from easymlnb_server.placement.hub.profiles import PlacementProfile
from easymlnb_server.placement.hub.tokens import NodeAuth

PREFIX = "easymlnb-"
"""How the names of node servers begin; a server of such a name serves nothing but kernels."""

UP_TIMEOUT = 30.0
"""Seconds that the proxy may take to know a server that the Hub calls ready."""

HUB_AWAY = 60.0
"""Seconds that the Hub may be away while a node starts."""

SILENT = 6.0
"""Seconds after which a node that the Hub calls ready, and that is not reached, is passed over."""

PATIENCE = 90.0
"""Seconds that a node may take to answer; starting a kernel is the longest that it is asked."""

END_TIMEOUT = 12.0
"""Seconds that a node may take to end a kernel; what it is not told of it ends by itself later."""

UNREACHED = (302, 424, 503)
"""How the proxy and the Hub answer in place of a node that they do not reach."""

CUT = httpx.Response(503)
"""Stands for an answer that did not come, as the way to a node broke."""

RECHECK = 2.0
"""Seconds without a way to a node after which the Hub is asked to look whether it still runs."""

LOOK_EVERY = 0.3

_waiting: Counter[tuple[str, str]] = Counter()
"""How many kernels of this process wait for the node of a user and a name to start."""

Tell = Callable[[str], None]
"""Is told in a sentence what is waited for."""


def node_names(placement: str, spot: PlacementProfile) -> list[str]:
    """Return the names of the servers that a placement may use, in the order of their use."""
    return [f"{PREFIX}{placement}-{number}" for number in range(1, spot.nodes + 1)]


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a kernel runs: the node's address, the kernel's id there, the node's age by then."""

    address: str
    kernel: str
    age: float


class Nodes:
    """Finds seats for kernels. Nodes themselves know how many are taken, so many may ask."""

    def __init__(self, api: HubClient, placement: str, spot: PlacementProfile) -> None:
        self.api = api
        self._placement = placement
        self._spot = spot
        self.auth = NodeAuth(api.account.node_token)
        self._http = bounded_http.client(self.auth)

    async def close(self) -> None:
        await self._http.aclose()
        await self.api.close()

    async def _ask(
        self, method: str, url: str, seconds: float = PATIENCE, **more: Any
    ) -> httpx.Response:
        return await bounded_http.ask(self._http, method, url, seconds, **more)

    async def seat(self, wanted: KernelRequest, tell: Tell) -> Seat:
        """Start a kernel on a node that has a seat, waking one if need be.

        Raises ``SeatsTaken`` with who has them, or ``NotReady`` when the Hub or its scheduler
        refuses, in their words.
        """
        await asyncio.to_thread(self.auth.headers)  # before a node is started in vain
        names = node_names(self._placement, self._spot)
        running = await self.api.servers()
        names.sort(key=lambda name: not running.get(name, {}).get("ready"))
        left, full = list(names), []
        while left:
            # One whose seats others wait for already comes last: its start may take hours.
            free = (n for n in left if _waiting[self.api.account.user, n] < self._spot.seats)
            name = next(free, left[0])
            left.remove(name)
            if left and running.get(name, {}).get("ready"):
                address = self.api.address(running[name])
                if not await self._answers(address):
                    continue  # its host is lost, which the Hub may learn minutes later
            address = await self._wake(name, tell)
            seat = await self._start(name, address, wanted, tell)
            if seat is not None:
                return seat
            full.append((name, address))
        raise SeatsTaken(await self._taken(full))

    async def _taken(self, full: list[tuple[str, str]]) -> str:
        """Return a sentence that says who has the seats."""
        found = []
        for name, address in full:
            status = await self.status(address)
            found += [
                f"a {'worker' if one.worker else 'kernel'} of {one.label or 'an unnamed notebook'} "
                f"on {name}"
                for one in (status.kernels if status is not None else ())
            ]
        count = self._spot.max_workers
        seats = "The only slot" if count == 1 else f"All {count} slots"
        by = f" by {', '.join(found)}" if found else ""
        return (
            f"{seats} of the placement {self._placement!r} {'is' if count == 1 else 'are'} in "
            f"use{by}. Stop one of the kernels; 'easymlnb placement list' shows them."
        )

    async def _answers(self, address: str) -> bool:
        """Say whether a node that the Hub takes for running is reached, now or in a moment."""
        until = asyncio.get_running_loop().time() + SILENT
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self._ask("GET", f"{address}easymlnb/node", SILENT / 2)
                if answer.status_code not in UNREACHED:
                    return True
            if asyncio.get_running_loop().time() > until:
                return False
            await asyncio.sleep(LOOK_EVERY)

    async def status(self, address: str) -> NodeStatus | None:
        """Return what a node tells of itself; ``None`` where none answers."""
        with contextlib.suppress(httpx.TransportError, msgspec.MsgspecError):
            answer = await self._ask("GET", f"{address}easymlnb/node")
            if answer.status_code == 200:
                return msgspec.json.decode(answer.content, type=NodeStatus)
        return None

    async def end(self, address: str, kernel: str) -> None:
        """End a kernel and all it started; where the node is gone it is so already."""
        with contextlib.suppress(httpx.TransportError):
            url = f"{address}easymlnb/node/kernels/{kernel}"
            await self._ask("DELETE", url, END_TIMEOUT)

    async def free(self, address: str) -> None:
        """Stop a node at once if no kernel is left on it."""
        name = address.rstrip("/").rpartition("/")[2]
        status = await self.status(address)
        if name.startswith(PREFIX) and status is not None and not status.kernels:
            with contextlib.suppress(EasyMLNBError):
                await self.api.stop(name)

    async def gone(self, address: str) -> bool:
        """Say whether the Hub knows that a node does not run; ``False`` while it does not say."""
        name = address.rstrip("/").rpartition("/")[2]
        try:
            model = (await self.api.servers()).get(name)
        except EasyMLNBError:
            return False
        return not (model and (model.get("ready") or model.get("pending")))

    async def last_event(self, name: str) -> str:
        """Return what the Hub told last of a server that starts; ``""`` if it does not say."""
        said = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                async for event in self.api.events(name):
                    said = str(event.get("message", "")).strip() or said
        return said

    async def _wake(self, name: str, tell: Tell, *, doubted: bool = False) -> str:
        """Return the address of a running node; one that is ``doubted`` the Hub looks at first.

        A start that nobody here waits for any more is called off: it would hold its place in the
        queue, and then a GPU.
        """
        key = (self.api.account.user, name)
        _waiting[key] += 1
        try:
            return await self._woken(name, tell, doubted)
        except asyncio.CancelledError:
            if _waiting[key] == 1:
                await self._call_off(name)
            raise
        finally:
            _waiting[key] -= 1

    async def _call_off(self, name: str) -> None:
        with contextlib.suppress(EasyMLNBError):
            if (await self.api.servers()).get(name, {}).get("pending") == "spawn":
                await self.api.stop(name)

    async def _woken(self, name: str, tell: Tell, doubted: bool) -> str:
        model = (await self.api.servers()).get(name, {})
        if model.get("ready") and not doubted:
            return self.api.address(model)
        if model.get("pending") == "stop":
            tell("Waiting for a node to stop before it is started again ...")
            await self._settled(name, tell)
        if model.get("ready"):
            tell(
                f"The node {name} does not respond; the Hub is checking whether the node is "
                "running ..."
            )
        else:
            tell(f"Starting a node for the placement {self._placement!r} ...")
        title = f"easymlnb: {self._placement}"
        await self.api.start(name, title, self._spot.options)
        failed = ""
        while True:
            async for event in self.api.events(name):
                message = str(event.get("message", "")).strip()
                if event.get("failed"):
                    failed = message
                elif message:
                    tell(message)
            model = await self._settled(name, tell)
            if model.get("ready"):
                return self.api.address(model)
            if not model.get("pending"):
                raise NotReady(
                    f"The node for {self._placement!r} failed to start: "
                    f"{failed.removeprefix('Spawn failed:').strip() or 'the Hub gives no reason.'}"
                )

    async def _settled(self, name: str, tell: Tell) -> dict[str, Any]:
        """Return a server's model once it is ready, starting, or not there."""
        quiet = 0
        while True:
            model = await self._model(name)
            if model.get("ready") or model.get("pending") == "spawn":
                return model
            # A start that was accepted just now may not be seen yet.
            quiet += not model.get("pending")
            if quiet > 3:
                return model
            await asyncio.sleep(LOOK_EVERY)

    async def _model(self, name: str) -> dict[str, Any]:
        """Return what the Hub says of a server; a Hub that is being restarted is waited for."""
        until = asyncio.get_running_loop().time() + HUB_AWAY
        while True:
            try:
                return (await self.api.servers()).get(name, {})
            except NotReady:
                if asyncio.get_running_loop().time() > until:
                    raise
            await asyncio.sleep(LOOK_EVERY)

    async def _start(
        self, name: str, address: str, wanted: KernelRequest, tell: Tell
    ) -> Seat | None:
        """Start a kernel on a node; ``None`` when it is full.

        A node that is not reached may have been stopped, or its job cancelled, and the Hub may not
        know yet: it is asked to look, and starts the node again.
        """
        headers = {"Content-Type": "application/x-msgpack"}
        content = msgspec.msgpack.encode(wanted)
        clock = asyncio.get_running_loop().time
        until, recheck = clock() + UP_TIMEOUT, clock() + RECHECK
        strange = 0
        while True:
            url = f"{address}easymlnb/node/kernels"
            try:
                answer = await self._ask("POST", url, content=content, headers=headers)
            except httpx.TimeoutException as error:
                raise NotReady(f"The node {name} does not respond.") from error
            except httpx.TransportError:
                answer = CUT
            if answer.status_code == 201:
                told = answer.json()
                return Seat(address, str(told["id"]), float(told["age"]))
            if answer.status_code == FULL:
                return None
            if not await self._is_elsewhere(address, answer):
                foreign = answer.status_code == 404 and OURS not in answer.headers
                strange += foreign
                # Once may be a route that came, or went, between the two questions.
                if not foreign or strange > 1:
                    raise NotReady(_refused(name, answer))
            now = clock()
            if now > until:
                raise NotReady(
                    f"The node {name} is not reachable, although the Hub reports it as running. "
                    "Try again in a moment."
                )
            if now > recheck:
                address = await self._wake(name, tell, doubted=True)
                recheck = clock() + RECHECK
                until += clock() - now  # what it took to start the node again does not count
            await asyncio.sleep(LOOK_EVERY)

    async def _is_elsewhere(self, address: str, answer: httpx.Response) -> bool:
        """Say whether something else than the node answered, for want of a way to it.

        Where the proxy has no route to a node, the user's own server says 404, as a node
        without easymlnb would; only the node has Jupyter's API at this address.
        """
        if "code" in answer.text and OURS in answer.headers:
            return False
        if answer.status_code != 404:
            return answer.status_code in UNREACHED
        with contextlib.suppress(httpx.TransportError):
            return (await self._ask("GET", f"{address}api")).status_code != 200
        return True


def _refused(name: str, answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        pass
    if answer.status_code == 404:
        return (
            f"The node {name} does not run easymlnb. Install the version of this server in the "
            "environment of the profile's servers."
        )
    return (
        f"The node {name} responded with status {answer.status_code} instead of starting a kernel."
    )
