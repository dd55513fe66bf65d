"""The nodes of one placement: named servers of the user, started on demand."""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from easymlnb.contract.errors import EasyMLNBError, NotReady
from easymlnb_server.placement.base import ProgressCallback, SlotsTaken
from easymlnb_server.placement.hub import bounded_http
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.node_protocol import FULL, OURS, KernelRequest, NodeStatus
from easymlnb_server.placement.hub.profiles import PlacementProfile
from easymlnb_server.placement.hub.tokens import NodeAuth

PREFIX = "easymlnb-"
"""Prefix of the names of node servers; a server with such a name serves nothing but kernels."""

UP_TIMEOUT = 30.0
"""Seconds until the proxy must reach a server that the Hub reports as ready."""

HUB_TIMEOUT = 60.0
"""Seconds that the Hub may be away while a node starts."""

UNREACHED_TIMEOUT = 6.0
"""Seconds after which a node that the Hub reports as ready, but is not reached, is skipped."""

REQUEST_TIMEOUT = 90.0
"""Seconds for a node's response; starting a kernel is its longest request."""

END_TIMEOUT = 12.0
"""Seconds for a node to end a kernel; without the request the node ends the kernel later."""

UNREACHED = (302, 424, 503)
"""Status codes of the proxy and the Hub in place of a node that they do not reach."""

NO_RESPONSE = httpx.Response(503)
"""Represents the response of a node whose connection broke."""

RECHECK_AFTER = 2.0
"""Seconds without reaching a node after which the Hub is asked to check whether it runs."""

POLL_INTERVAL = 0.3

_waiting: Counter[tuple[str, str]] = Counter()
"""How many kernels of this process wait for the start of a node, by user and name."""


def node_names(placement: str, profile: PlacementProfile) -> list[str]:
    """Return the names of the servers that a placement may use, in the order of their use."""
    return [f"{PREFIX}{placement}-{number}" for number in range(1, profile.max_nodes + 1)]


@dataclass(frozen=True, slots=True)
class NodeSlot:
    """Where a kernel runs.

    address: the node's URL.
    kernel: the kernel's id there.
    age: seconds that the node had run when it started the kernel.
    """

    address: str
    kernel: str
    age: float


class Nodes:
    """Starts kernels on nodes. The nodes count their own slots, so several servers may do so."""

    def __init__(self, hub: HubClient, placement: str, profile: PlacementProfile) -> None:
        self.hub = hub
        self.auth = NodeAuth(hub.credentials.node_token)
        self._placement = placement
        self._profile = profile
        self._http = bounded_http.client(self.auth)

    async def close(self) -> None:
        await self._http.aclose()
        await self.hub.close()

    async def start_kernel(self, request: KernelRequest, on_progress: ProgressCallback) -> NodeSlot:
        """Start a kernel on a node with a free slot; start a node if necessary.

        Raises ``SlotsTaken`` with the kernels that use them, or ``NotReady`` with the message of
        the Hub or its scheduler.
        """
        await asyncio.to_thread(self.auth.headers)  # fails before a node is started in vain
        names = node_names(self._placement, self._profile)
        running = await self.hub.servers()
        names.sort(key=lambda name: not running.get(name, {}).get("ready"))
        left, full = list(names), []
        while left:
            # A node whose slots other kernels wait for comes last: its start may take hours.
            user, slots = self.hub.credentials.user, self._profile.slots
            name = next((name for name in left if _waiting[user, name] < slots), left[0])
            left.remove(name)
            if left and running.get(name, {}).get("ready"):
                address = self.hub.address(running[name])
                if not await self._is_reachable(address):
                    continue  # its host is lost, which the Hub may notice minutes later
            address = await self._start_node(name, on_progress)
            slot = await self._request_kernel(name, address, request, on_progress)
            if slot is not None:
                return slot
            full.append((name, address))
        raise SlotsTaken(await self._describe_use(full))

    async def status(self, address: str) -> NodeStatus | None:
        """Return a node's status; ``None`` if no node responds."""
        with contextlib.suppress(httpx.TransportError, msgspec.MsgspecError):
            response = await self._request("GET", f"{address}easymlnb/node")
            if response.status_code == 200:
                return msgspec.json.decode(response.content, type=NodeStatus)
        return None

    async def end(self, address: str, kernel: str) -> None:
        """End a kernel and all that it started; if the node is gone, so are they."""
        with contextlib.suppress(httpx.TransportError):
            url = f"{address}easymlnb/node/kernels/{kernel}"
            await self._request("DELETE", url, END_TIMEOUT)

    async def stop_if_empty(self, address: str) -> None:
        """Stop a node now if it runs no kernel."""
        name = _server_name(address)
        status = await self.status(address)
        if name.startswith(PREFIX) and status is not None and not status.kernels:
            with contextlib.suppress(EasyMLNBError):
                await self.hub.stop(name)

    async def is_gone(self, address: str) -> bool:
        """Return whether the Hub reports that a node does not run."""
        try:
            model = (await self.hub.servers()).get(_server_name(address))
        except EasyMLNBError:
            return False
        return not (model and (model.get("ready") or model.get("pending")))

    async def last_event(self, name: str) -> str:
        """Return the Hub's last message about a server that starts; may be empty."""
        message = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                async for event in self.hub.events(name):
                    message = str(event.get("message", "")).strip() or message
        return message

    async def _request(
        self, method: str, url: str, seconds: float = REQUEST_TIMEOUT, **options: Any
    ) -> httpx.Response:
        return await bounded_http.request(self._http, method, url, seconds, **options)

    async def _describe_use(self, full: list[tuple[str, str]]) -> str:
        """Return a sentence that says which kernels use the slots."""
        users = []
        for name, address in full:
            status = await self.status(address)
            users += [
                f"a {'worker' if kernel.worker else 'kernel'} of "
                f"{kernel.label or 'an unnamed notebook'} on {name}"
                for kernel in (status.kernels if status is not None else ())
            ]
        count = self._profile.max_workers
        slots = "The only slot" if count == 1 else f"All {count} slots"
        by = f" by {', '.join(users)}" if users else ""
        return (
            f"{slots} of the placement {self._placement!r} {'is' if count == 1 else 'are'} in "
            f"use{by}. Stop one of the kernels; 'easymlnb placement list' shows them."
        )

    async def _is_reachable(self, address: str) -> bool:
        """Return whether a node that the Hub reports as ready responds soon."""
        deadline = asyncio.get_running_loop().time() + UNREACHED_TIMEOUT
        while True:
            with contextlib.suppress(httpx.TransportError):
                url = f"{address}easymlnb/node"
                response = await self._request("GET", url, UNREACHED_TIMEOUT / 2)
                if response.status_code not in UNREACHED:
                    return True
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(POLL_INTERVAL)

    async def _start_node(
        self, name: str, on_progress: ProgressCallback, *, recheck: bool = False
    ) -> str:
        """Return the address of a running node; with ``recheck`` the Hub checks it first.

        A start that no kernel of this process waits for is canceled: it would take a place in the
        queue, and then a GPU.
        """
        key = (self.hub.credentials.user, name)
        _waiting[key] += 1
        try:
            return await self._wait_for_node(name, on_progress, recheck)
        except asyncio.CancelledError:
            if _waiting[key] == 1:
                await self._cancel_start(name)
            raise
        finally:
            _waiting[key] -= 1

    async def _cancel_start(self, name: str) -> None:
        with contextlib.suppress(EasyMLNBError):
            if (await self.hub.servers()).get(name, {}).get("pending") == "spawn":
                await self.hub.stop(name)

    async def _wait_for_node(self, name: str, on_progress: ProgressCallback, recheck: bool) -> str:
        model = (await self.hub.servers()).get(name, {})
        if model.get("ready") and not recheck:
            return self.hub.address(model)
        if model.get("pending") == "stop":
            on_progress("Waiting for a node to stop before it is started again ...")
            await self._wait_settled(name)
        if model.get("ready"):
            on_progress(
                f"The node {name} does not respond; the Hub is checking whether the node is "
                "running ..."
            )
        else:
            on_progress(f"Starting a node for the placement {self._placement!r} ...")
        title = f"easymlnb: {self._placement}"
        await self.hub.start(name, title, self._profile.spawner_options)
        failure = ""
        while True:
            async for event in self.hub.events(name):
                message = str(event.get("message", "")).strip()
                if event.get("failed"):
                    failure = message
                elif message:
                    on_progress(message)
            model = await self._wait_settled(name)
            if model.get("ready"):
                return self.hub.address(model)
            if not model.get("pending"):
                raise NotReady(
                    f"The node for {self._placement!r} failed to start: "
                    f"{failure.removeprefix('Spawn failed:').strip() or 'the Hub gives no reason.'}"
                )

    async def _wait_settled(self, name: str) -> dict[str, Any]:
        """Return a server's model once the server is ready, starting, or gone."""
        clock = asyncio.get_running_loop().time
        absent, answered_at = 0, clock()
        while True:
            try:
                model = (await self.hub.servers()).get(name, {})
            except NotReady:  # the Hub may be restarting
                if clock() - answered_at > HUB_TIMEOUT:
                    raise
            else:
                answered_at = clock()
                # A start that was just accepted may not be visible yet.
                absent += not model.get("pending")
                settled = model.get("ready") or model.get("pending") == "spawn"
                if settled or absent > 3:
                    return model
            await asyncio.sleep(POLL_INTERVAL)

    async def _request_kernel(
        self, name: str, address: str, request: KernelRequest, on_progress: ProgressCallback
    ) -> NodeSlot | None:
        """Start a kernel on a node; ``None`` if the node is full.

        A node that is not reached may have been stopped, or its job canceled, before the Hub
        notices: the Hub is asked to check, and starts the node again.
        """
        content = msgspec.msgpack.encode(request)
        clock = asyncio.get_running_loop().time
        deadline, recheck_at = clock() + UP_TIMEOUT, clock() + RECHECK_AFTER
        foreign = 0
        while True:
            response = await self._post_kernel(name, address, content)
            if response.status_code == 201:
                reply = response.json()
                return NodeSlot(address, str(reply["id"]), float(reply["age"]))
            if response.status_code == FULL:
                return None
            if not await self._is_other_server(address, response):
                foreign += (is_foreign := _is_foreign(response))
                # Once may be a route that came, or went, between the two requests.
                if not is_foreign or foreign > 1:
                    raise NotReady(_refusal(name, response))
            now = clock()
            if now > deadline:
                raise NotReady(
                    f"The node {name} is not reachable, although the Hub reports it as running. "
                    "Try again in a moment."
                )
            if now > recheck_at:
                address = await self._start_node(name, on_progress, recheck=True)
                recheck_at = clock() + RECHECK_AFTER
                deadline += clock() - now  # starting the node again does not count
            await asyncio.sleep(POLL_INTERVAL)

    async def _post_kernel(self, name: str, address: str, content: bytes) -> httpx.Response:
        headers = {"Content-Type": "application/x-msgpack"}
        url = f"{address}easymlnb/node/kernels"
        try:
            return await self._request("POST", url, content=content, headers=headers)
        except httpx.TimeoutException as error:
            raise NotReady(f"The node {name} does not respond.") from error
        except httpx.TransportError:
            return NO_RESPONSE

    async def _is_other_server(self, address: str, response: httpx.Response) -> bool:
        """Return whether another server responded because the node was not reached.

        If the proxy has no route to a node, the user's own server responds with 404, as a node
        without easymlnb would. But only the node has Jupyter's API at this address.
        """
        if "code" in response.text and OURS in response.headers:
            return False
        if response.status_code != 404:
            return response.status_code in UNREACHED
        with contextlib.suppress(httpx.TransportError):
            return (await self._request("GET", f"{address}api")).status_code != 200
        return True


def _server_name(address: str) -> str:
    return address.rstrip("/").rpartition("/")[2]


def _is_foreign(response: httpx.Response) -> bool:
    return response.status_code == 404 and OURS not in response.headers


def _refusal(name: str, response: httpx.Response) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(response.json()["error"]["message"])
    if response.status_code == 404:
        return (
            f"The node {name} does not run easymlnb. Install the version of this server in the "
            "environment of the profile's servers."
        )
    return (
        f"The node {name} responded with status {response.status_code} instead of starting a "
        "kernel."
    )
