"""What was opened and may not go on: pages and calls of people whom a service lets in no more.

Every request is checked as it comes. This looks after what lasts longer than a request: an open
page, a stream, a call that waits in line.
"""

import asyncio
import logging
from collections.abc import Collection

from easymlnb.contract.errors import EasyMLNBError, Forbidden
from easymlnb_server.apps.sessions import PageSession
from easymlnb_server.context import ServerContext
from easymlnb_server.identity.access import Action, Caller, user_of_key

EVERY = 10.0
"""Seconds between two looks; with 30 s that people are known for, less than a minute in all."""

GONE = "This service is no longer shared with you. Ask its owner for access."

log = logging.getLogger("easymlnb.access")


class AccessRevoker:
    """Reads who may call what, as another process may have changed it, and ends what may not be."""

    def __init__(self, state: ServerContext) -> None:
        self._services = state.services
        self._publisher = state.publications
        self._published = state.published
        self._people = state.people
        self._sessions = state.apps.sessions
        self._in_flight = state.in_flight

    async def look(self) -> None:
        """Look once."""
        await self._read()
        sessions, calls = self._sessions.all(), [*self._in_flight]
        owners = {user_of_key(call.request.owner) for call in calls}
        asking = {self._of(one) for one in sessions} | owners
        known = await self._find(asking)
        for session in sessions:
            if not self._may(known, self._of(session), session.service):
                self._sessions.close(session)
        for call in calls:
            if not self._may(known, user_of_key(call.request.owner), call.target.name):
                call.stop(Forbidden(GONE))

    async def _read(self) -> None:
        if not self._published.ready:
            return
        try:
            store = self._publisher.store
            found = await asyncio.to_thread(store.services.access)
            moved = await asyncio.to_thread(store.people.moved)
        except EasyMLNBError as error:
            log.warning("Could not read the access rules: %s", error)
            return
        for name, access in found.items():
            self._published.set_access(name, access)
        self._published.moved = moved

    def _of(self, session: PageSession) -> str | None:
        return None if session.public else session.visitor.user

    async def _find(self, names: Collection[str | None]) -> dict[str | None, Caller | None]:
        """Return who they are now; those of whom nothing can be told at the moment are left out."""
        found: dict[str | None, Caller | None] = {None: None}

        async def ask(name: str) -> None:
            try:
                found[name] = await self._people.find(name)
            except EasyMLNBError as error:
                log.warning("Could not check whether a user still has access: %s", error)

        await asyncio.gather(*(ask(name) for name in names if name is not None))
        return found

    def _may(self, known: dict[str | None, Caller | None], who: str | None, name: str) -> bool:
        # What is being removed is seen to its end, and so is what somebody unknown does: the Hub
        # is away, and will say.
        if name not in self._published or who not in known:
            return True
        return self._services.allows(known[who], name, Action.CALL)
