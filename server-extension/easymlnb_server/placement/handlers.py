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
    profile: dict[str, Any]
    proxy: str
    nodes: list[dict[str, Any]] | UnsetType = UNSET
    error: Annotated[str | UnsetType, Meta(description="Why the nodes are not known.")] = UNSET


class PlacementList(msgspec.Struct, frozen=True, kw_only=True):
    """Where workers may run."""

    placements: list[PlacementSummary]


class PlacementsHandler(EasyHandler):
    """``GET placements``: the caller's own; for administrators of a shared service all users'.

    With ``?nodes=false`` the nodes are not queried.
    """

    @web.authenticated
    async def get(self) -> None:
        with_nodes = self.get_query_argument("nodes", "true") != "false"
        views = await asyncio.to_thread(self.state.placement_views.visible_to, self.caller)
        placements = [await _summary(view, with_nodes) for view in views]
        self.write_json(PlacementList(placements=placements))


async def _summary(view: PlacementView, with_nodes: bool) -> PlacementSummary:
    summary = PlacementSummary(
        name=view.name, user=view.user, profile=view.settings, proxy=view.proxy
    )
    if not with_nodes:
        return summary
    try:
        nodes = [msgspec.to_builtins(node) for node in await view.nodes()]
    except EasyMLNBError as error:
        return msgspec.structs.replace(summary, nodes=[], error=error.message)
    return msgspec.structs.replace(summary, nodes=nodes)


OPERATIONS = {
    "GET /placements": Operation(
        "listPlacements",
        "List where workers may run",
        ok("Placements, their nodes and the workers there.", PlacementList),
    ),
}
