"""What placements this server has, and what runs on their nodes."""

import asyncio
from typing import Any

import msgspec
from tornado import web

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.handlers.base import EasyHandler


class PlacementsHandler(EasyHandler):
    """``GET placements``: one's own; an administrator of a shared service gets those of all.

    With ``?nodes=false`` nobody looks at the nodes.
    """

    @web.authenticated
    async def get(self) -> None:
        look = self.get_query_argument("nodes", "true") != "false"
        found = []
        for view in await asyncio.to_thread(self.state.nodes.of, self.caller):
            entry: dict[str, Any] = {"name": view.name, "user": view.user}
            entry |= {"spot": view.told, "proxy": view.proxy}
            if not look:
                found.append(entry)
                continue
            try:
                entry["nodes"] = [msgspec.to_builtins(node) for node in await view.nodes()]
            except EasyMLNBError as error:
                entry |= {"nodes": [], "error": error.message}
            found.append(entry)
        self.write_json({"placements": found})
