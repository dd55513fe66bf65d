"""Close the pages and cancel the calls of users whose access was revoked.

Each request is checked when it arrives. This checks what lasts longer than a request: an open
page, a stream, a call in the queue.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.identity.access import Action, Caller, UserDirectory

EVERY = 10.0
"""Seconds between two checks; with the 30 s for which users are cached, under a minute in all."""

ACCESS_REVOKED = "This service is no longer shared with you. Ask its owner for access."

log = logging.getLogger("easymlnb.access")


@dataclass(frozen=True, slots=True)
class Opened:
    """Something that a user has open: a page or a call.

    Attributes
    ----------
    user
        The user's name; ``None`` for a visitor without a login.
    service
        The service's name.
    close
        Closes the page or cancels the call.
    """

    user: str | None
    service: str
    close: Callable[[], None]


class AccessRules(Protocol):
    """Who may use which service; see ``ServiceRegistry``."""

    def is_published(self, name: str) -> bool:
        """Return whether there is a published service of this name."""

    def allows(self, caller: Caller | None, name: str, action: Action) -> bool:
        """Return whether a caller may do something with a service."""


class AccessRevoker:
    """Closes pages and cancels calls of users without access.

    Parameters
    ----------
    rules
        The access rules.
    refresh
        Reloads the rules, which another process may have changed.
    users
        The directory of users.
    sources
        Return open pages and calls.
    """

    def __init__(
        self,
        rules: AccessRules,
        refresh: Callable[[], Awaitable[None]],
        users: UserDirectory,
        sources: Collection[Callable[[], Iterable[Opened]]],
    ) -> None:
        self._rules = rules
        self._refresh = refresh
        self._users = users
        self._sources = sources

    async def check(self) -> None:
        """Check all open pages and calls once."""
        try:
            await self._refresh()
        except EasyMLNBError as error:
            log.warning("Could not read the access rules: %s", error)
        items = [opened for source in self._sources for opened in source()]
        known = await self._find({opened.user for opened in items})
        for opened in items:
            # A call of a service that is being removed may finish. While the Hub is unavailable,
            # users that cannot be looked up keep their access.
            if not self._rules.is_published(opened.service) or opened.user not in known:
                continue
            if not self._rules.allows(known[opened.user], opened.service, Action.CALL):
                opened.close()

    async def _find(self, names: Collection[str | None]) -> dict[str | None, Caller | None]:
        """Return the users by name, without those that cannot be looked up at the moment."""
        users: dict[str | None, Caller | None] = {None: None}

        async def look_up(name: str) -> None:
            try:
                users[name] = await self._users.find(name)
            except EasyMLNBError as error:
                log.warning("Could not check whether a user still has access: %s", error)

        await asyncio.gather(*(look_up(name) for name in names if name is not None))
        return users
