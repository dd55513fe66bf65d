"""List the placements of this server and what runs on their nodes."""

import asyncio

import msgspec
from tornado import web

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.openapi.document import JSON, Operation
from easymlnb_server.placement.hub.status import PlacementView
from easymlnb_server.resources import PlacementList, PlacementSummary


class PlacementsHandler(EasyHandler):
    """``GET placements``: the caller's own; for administrators of a shared service all users'.

    With ``?nodes=false`` the nodes are not queried.
    """

    @web.authenticated
    async def get(self) -> None:
        with_nodes = self.get_query_argument("nodes", "true") != "false"
        views = await asyncio.to_thread(self.state.nodes.visible_to, self.caller)
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


OPERATIONS = (
    Operation(
        method="get",
        path="/placements",
        id="listPlacements",
        tag="Services",
        summary="List where workers may run",
        answers={200: ("Placements, their nodes and the workers there.", {JSON: PlacementList})},
    ),
)
