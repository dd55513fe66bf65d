"""The state of a placement's nodes, for people."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from easymlnb_server.identity.access import Caller
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.loop_thread import run_in_loop
from easymlnb_server.placement.hub.node_protocol import KernelStatus
from easymlnb_server.placement.hub.nodes import Nodes, node_names
from easymlnb_server.placement.hub.profiles import PlacementProfile


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A node that runs or starts. ``state`` is ``ready``, or the Hub's last message."""

    name: str
    state: str
    host: str = ""
    gpus: tuple[str, ...] = ()
    kernels: tuple[KernelStatus, ...] = ()


class PlacementView:
    """One user's placement. ``proxy`` is the configured URL of the Hub's proxy."""

    def __init__(
        self, name: str, profile: PlacementProfile, credentials: HubCredentials, proxy: str = ""
    ) -> None:
        self.name = name
        self.proxy = proxy
        self._credentials = credentials
        self._profile = profile

    @property
    def user(self) -> str:
        """The owner of the nodes."""
        return self._credentials.user

    @property
    def settings(self) -> dict[str, Any]:
        """What the administrator configured, with defaults."""
        settings: dict[str, Any] = msgspec.to_builtins(self._profile)
        return settings

    async def nodes(self) -> list[NodeView]:
        """Return the nodes; raises ``NotReady`` or ``Forbidden`` if the Hub does not answer."""
        return await run_in_loop(self._nodes())

    async def _nodes(self) -> list[NodeView]:
        nodes = Nodes(HubClient(self._credentials), self.name, self._profile)
        try:
            running = await nodes.hub.servers()
            names = [name for name in node_names(self.name, self._profile) if name in running]
            return [await self._view(nodes, name, running[name]) for name in names]
        finally:
            await nodes.close()

    async def _view(self, nodes: Nodes, name: str, model: dict[str, Any]) -> NodeView:
        if not model.get("ready"):
            message = await nodes.last_event(name) if model.get("pending") == "spawn" else ""
            return NodeView(name=name, state=message or str(model.get("pending") or "stopped"))
        status = await nodes.status(nodes.hub.address(model))
        if status is None:
            return NodeView(name=name, state="does not respond")
        return NodeView(
            name=name, state="ready", host=status.host, gpus=status.gpus, kernels=status.kernels
        )


class Views(Protocol):
    """The placements that can be listed."""

    def visible_to(self, caller: Caller | None) -> list[PlacementView]:
        """Return what a caller may see; may block."""


class PersonalViews:
    """The placements of a user's own server; ``views`` returns the current ones."""

    def __init__(self, views: Callable[[], list[PlacementView]]) -> None:
        self._views = views

    def visible_to(self, caller: Caller | None) -> list[PlacementView]:
        return self._views()
