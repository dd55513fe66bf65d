"""The state of a placement's nodes, for people."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from easymlnb_server.identity.access import Caller
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.loop_thread import there
from easymlnb_server.placement.hub.node_protocol import KernelStatus
from easymlnb_server.placement.hub.nodes import Nodes, node_names
from easymlnb_server.placement.hub.profiles import PlacementProfile


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A node that runs or is about to. ``state`` is ``ready`` or what the Hub says it waits for."""

    name: str
    state: str
    host: str = ""
    gpus: tuple[str, ...] = ()
    kernels: tuple[KernelStatus, ...] = ()


class PlacementView:
    """One placement, as its user sees it. ``proxy`` is what its administrator said of that."""

    def __init__(
        self, name: str, spot: PlacementProfile, account: HubCredentials, proxy: str = ""
    ) -> None:
        self.name = name
        self.proxy = proxy
        self._account = account
        self._spot = spot

    @property
    def user(self) -> str:
        """Whose nodes these are."""
        return self._account.user

    @property
    def told(self) -> dict[str, Any]:
        """What the administrator said of it."""
        found: dict[str, Any] = msgspec.to_builtins(self._spot)
        return found

    async def nodes(self) -> list[NodeView]:
        """Return the nodes; raises ``NotReady`` or ``Forbidden`` when the Hub does not say."""
        return await there(self._nodes())

    async def _nodes(self) -> list[NodeView]:
        nodes = Nodes(HubClient(self._account), self.name, self._spot)
        try:
            running = await nodes.api.servers()
            names = [name for name in node_names(self.name, self._spot) if name in running]
            return [await self._look(nodes, name, running[name]) for name in names]
        finally:
            await nodes.close()

    async def _look(self, nodes: Nodes, name: str, model: dict[str, Any]) -> NodeView:
        if not model.get("ready"):
            said = await nodes.last_event(name) if model.get("pending") == "spawn" else ""
            return NodeView(name=name, state=said or str(model.get("pending") or "stopped"))
        status = await nodes.status(nodes.api.address(model))
        if status is None:
            return NodeView(name=name, state="does not respond")
        return NodeView(
            name=name, state="ready", host=status.host, gpus=status.gpus, kernels=status.kernels
        )


class Views(Protocol):
    """What there is to see of placements."""

    def of(self, caller: Caller | None) -> list[PlacementView]:
        """Return what somebody may see; it may block."""


class OwnViews:
    """The placements of one's own server, as they are when somebody looks."""

    def __init__(self, views: Callable[[], list[PlacementView]]) -> None:
        self._views = views

    def of(self, caller: Caller | None) -> list[PlacementView]:
        return self._views()
