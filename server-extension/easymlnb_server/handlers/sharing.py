"""Taking part in serving with other processes: from the start of this one to its orderly end."""

import re
from collections.abc import Collection

from jupyter_server.serverapp import ServerApp
from tornado.routing import PathMatches, Rule

from easymlnb_server.handlers.distant import Distant
from easymlnb_server.handlers.forward import Forward
from easymlnb_server.handlers.relay import Ways
from easymlnb_server.state import State
from easymlnb_server.store.leases import View

DRAIN = 5.0
"""Seconds that requests which were sent on have to be answered when this process stops."""


class Sharing:
    """Sends on what comes to ``root``, a path, and is for another process; nothing if alone."""

    def __init__(self, serverapp: ServerApp, root: str, state: State) -> None:
        self._state = state
        self._server = serverapp.http_server
        self._ways = Ways(serverapp.certfile or "")
        if state.cluster is None:
            return
        cluster, application = state.cluster, serverapp.web_app
        router = Forward(application, root, state, cluster, self._ways)
        rule = Rule(PathMatches(f"{re.escape(root)}.*"), router)
        application.default_router.rules.insert(0, rule)
        cluster.tell(self._followed, self._left, Distant(root, self._ways).ask)
        state.apps.passes.key = cluster.keeper.secret
        cluster.keeper.on_open = self._opened
        stop = self._server.stop

        def stop_when_left() -> None:
            # Jupyter closes the door first of all; the others still ask for what they take over.
            if cluster.keeper.left:
                stop()

        self._server.stop = stop_when_left  # type: ignore[method-assign]

    async def close(self) -> None:
        """Give what this process serves to the others; no call fails for it."""
        if self._state.cluster is not None:
            await self._state.cluster.leave()
            self._server.stop()
            await self._ways.drained(DRAIN)
            await self._ways.close()

    def _followed(self, view: View) -> None:
        cluster = self._state.cluster
        if cluster is not None and cluster.keeper.settled:  # else who seems gone may come back
            self._ways.followed(view)

    def _left(self, names: Collection[str]) -> None:
        self._state.apps.places.leave_all(lambda place: place.service in names)

    def _opened(self, mark: str) -> None:
        self._state.uploads.mark = self._state.rendezvous.mark = mark
