"""The routes of bridges: their state and counts."""

from tornado import web

from easymlnb_server.http.base import EasyHandler
from easymlnb_server.messaging.models import BridgeList, BridgeShown
from easymlnb_server.openapi.document import Operation, ok


class BridgesHandler(EasyHandler):
    """``GET bridges``."""

    @web.authenticated
    def get(self) -> None:
        found = self.state.bridges.visible(self.caller)
        self.write_json(BridgeList(bridges=[one.shown() for one in found]))


class BridgeHandler(EasyHandler):
    """``GET bridges/{name}``."""

    @web.authenticated
    def get(self, name: str) -> None:
        self.write_json(self.state.bridges.get(name, self.caller).shown())


OPERATIONS = {
    "GET /bridges": Operation(
        "listBridges", "Bridges to brokers of messages, with their counts",
        ok("All of them.", BridgeList), tag="Messaging",
        description="The administrator configures them; you see those that run in your name.",
    ),
    "GET /bridges/{source}": Operation(
        "getBridge", "A bridge to a broker of messages", ok("The bridge.", BridgeShown),
        tag="Messaging",
    ),
}  # fmt: skip
