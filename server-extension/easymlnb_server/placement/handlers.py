"""List the placements of this server and what runs on their nodes."""

import asyncio
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from tornado import web

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.openapi.document import Operation, ok
from easymlnb_server.placement.hub.status import PlacementView


class PlacementSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A placement, and its nodes unless they were not asked for."""

    name: str
    user: str
    spot: dict[str, Any]
    proxy: str
    nodes: list[dict[str, Any]] | UnsetType = UNSET
    error: Annotated[str | UnsetType, Meta(description="Why the nodes are not known.")] = UNSET


class PlacementList(msgspec.Struct, frozen=True, kw_only=True):
    """Where workers may run."""

    placements: list[PlacementSummary]


class PlacementsHandler(EasyHandler):
    """``GET placements``: one's own; an administrator of a shared service gets those of all.

    With ``?nodes=false`` nobody looks at the nodes.
    """

    @web.authenticated
    async def get(self) -> None:
        look = self.get_query_argument("nodes", "true") != "false"
        views = await asyncio.to_thread(self.state.placement_views.of, self.caller)
        found = [await _placement(view, look) for view in views]
        self.write_json(PlacementList(placements=found))


async def _placement(view: PlacementView, look: bool) -> PlacementSummary:
    found = PlacementSummary(name=view.name, user=view.user, spot=view.told, proxy=view.proxy)
    if not look:
        return found
    try:
        nodes = [msgspec.to_builtins(node) for node in await view.nodes()]
    except EasyMLNBError as error:
        return msgspec.structs.replace(found, nodes=[], error=error.message)
    return msgspec.structs.replace(found, nodes=nodes)


OPERATIONS = {
    "GET /placements": Operation(
        "listPlacements",
        "List where workers may run",
        ok("Placements, their nodes and the workers there.", PlacementList),
    ),
}
