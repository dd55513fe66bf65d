"""Report whether the Hub gives a shared service what it needs."""

from importlib.metadata import version

from tornado import web

from easymlnb.contract.errors import Forbidden, RouteNotFound
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.hub.health import examine
from easymlnb_server.hub.users import HubUsers
from easymlnb_server.placement.hub.user_placements import UserPlacements


class HubHandler(EasyHandler):
    """``GET hub``: rights, addresses and versions, for administrators; ``doctor --hub`` asks."""

    @web.authenticated
    async def get(self) -> None:
        if self.caller is None or not self.caller.admin:
            raise Forbidden("Only administrators of the Hub can see this.")
        members, views = self.state.people, self.state.nodes
        if not (isinstance(members, HubUsers) and isinstance(views, UserPlacements)):
            raise RouteNotFound
        found = await examine(members, views.credentials)
        self.write_json({"easymlnb": version("easymlnb"), **found})
