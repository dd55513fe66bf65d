"""What was opened and may not go on: pages and calls of people whom a service lets in no more.

Every request is checked as it comes. This looks after what lasts longer than a request: an open
page, a stream, a call that waits in line.
"""

import asyncio
import logging

from easymlnb.contract.errors import EasyMLNBError, Forbidden
from easymlnb_server.access import Action, labelled
from easymlnb_server.state import State

EVERY = 10.0
"""Seconds between two looks; with 30 s that people are known for, less than a minute in all."""

GONE = "This service is not shared with you any more. Ask its owner."

log = logging.getLogger("easymlnb.access")


class Revocation:
    """Reads who may call what, as another process may have changed it, and ends what may not be."""

    def __init__(self, state: State) -> None:
        self._services = state.services
        self._publications = state.publications
        self._people = state.people
        self._places = state.apps.places
        self._metrics = state.metrics

    async def keep(self) -> None:
        """Look again and again, for as long as the server runs."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.look()
            except Exception:
                # Without this loop nothing that is open would ever be closed to anybody.
                log.exception("Looking after what was opened failed and is tried again.")

    async def look(self) -> None:
        """Look once."""
        await self._read()
        for place in self._places.all():
            who = None if place.public else place.visitor.user
            if not await self._may(who, place.service):
                self._places.leave(place)
        for name, pending in self._metrics.open_calls():
            if not await self._may(labelled(pending.owner), name):
                pending.stop(Forbidden(GONE))

    async def _read(self) -> None:
        if not self._publications.ready:
            return
        try:
            found = await asyncio.to_thread(self._publications.store.services.access)
        except EasyMLNBError as error:
            log.warning("Who may call what could not be read again: %s", error)
            return
        for name, access in found.items():
            self._publications.let_in(name, access)

    async def _may(self, who: str | None, name: str) -> bool:
        if name not in self._publications.serving:
            return True  # it is being removed, and what runs is seen to its end
        caller = await self._people.find(who) if who is not None else None
        return self._services.allows(caller, name, Action.CALL)
