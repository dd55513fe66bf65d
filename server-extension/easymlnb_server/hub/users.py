"""Users as the Hub describes them."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import httpx

from easymlnb.contract import hub_config
from easymlnb.contract.errors import EasyMLNBError, NotReady
from easymlnb_server.hub.name_registry import Register
from easymlnb_server.hub.ttl_cache import Outage, TtlCache
from easymlnb_server.identity.access import Caller, resolve
from easymlnb_server.store.people import People

SECONDS = 10.0
"""How long a request may wait for the Hub's word in all."""

AT_ONCE = 20
"""Questions that the Hub is asked at the same time."""

UNKNOWN_TIME = "before 2018"

AWAY = "The Hub is not available to check your identity. Try again in a moment."

log = logging.getLogger("easymlnb.client.hub")


@dataclass(frozen=True, slots=True)
class HubUser:
    """A user of the Hub. ``scopes`` are what the token is good for that was asked with.

    ``whole`` says that the token let us see the groups; without that right there seem to be none.
    ``identity`` is when the Hub says that the user was made: it stays when the name changes, and
    another user who gets the name has another; empty where the Hub does not say.
    """

    name: str
    groups: frozenset[str] = frozenset()
    admin: bool = False
    scopes: frozenset[str] = frozenset()
    whole: bool = True
    identity: str = ""

    @classmethod
    def of(cls, model: Mapping[str, Any]) -> "HubUser | None":
        """Return who the Hub's model means; ``None`` for what is no user, such as a service."""
        if model.get("kind") != "user":
            return None
        return cls(
            name=str(model["name"]),
            groups=frozenset(map(str, model.get("groups") or ())),
            admin=model.get("admin") is True,
            scopes=frozenset(map(str, model.get("scopes") or ())),
            whole="groups" in model,
            # Users of very old Hubs have none; who gets their name has one.
            identity=str(model["created"] or UNKNOWN_TIME) if "created" in model else "",
        )


class HubUsers:
    """The ``UserDirectory`` of a Hub's service: asks the Hub and caches its replies.

    Replies are kept for ``seconds``. While the Hub is unavailable, users that it named within that
    time are admitted for as long again, with a token or from one of their pages.
    """

    def __init__(self, api_url: str, token: str, seconds: float) -> None:
        self._token = token
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._strangers = asyncio.Semaphore(AT_ONCE)
        self._http = httpx.AsyncClient(base_url=f"{api_url.rstrip('/')}/", timeout=SECONDS)
        outage = Outage()
        self._tokens: TtlCache[HubUser] = TtlCache(self._whose, seconds, outage=outage)
        self._names: TtlCache[HubUser] = TtlCache(self._named, seconds, outage=outage)
        self.register = Register()
        """Under which names each has rights."""

    async def close(self) -> None:
        await self._http.aclose()

    async def open(self, people: People) -> None:
        """Read which user each name belongs to."""
        await asyncio.to_thread(self.register.open, people)

    async def meet_owners(self, people: People) -> None:
        """Look up the owners of what was published before users' identities were recorded."""
        with contextlib.suppress(EasyMLNBError):  # then each is looked up at their next request
            for name in await asyncio.to_thread(people.owners):
                await self.find(name)

    async def whose(self, token: str) -> HubUser | None:
        """Return whose token this is; ``None`` if it is nobody's. Raises ``NotReady``."""
        found = await self._tokens.get(token)
        if found is None:
            return None
        last = self._names.last(found.name)
        if found.whole and (last is None or last.identity != found.identity):
            self._names.put(found.name, found, self._names.seconds)
        await self.register.bind(found.name, found.identity)
        return found

    def known(self, token: str) -> HubUser | None:
        """Return what ``whose`` would without asking anybody; ``None`` if it would ask."""
        found = self._tokens.fresh(token)
        if found is None or not self.register.knows(found.name, found.identity):
            return None
        return found

    def caller(self, member: HubUser) -> Caller:
        """Return somebody with the names under which they have rights."""
        names = self.register.names(member.name, member.identity)
        return Caller(member.name, member.groups, member.admin, names)

    async def find(self, name: str) -> Caller | None:
        """Return a user of the Hub; ``None`` for who is none any more. Raises ``NotReady``."""
        found = await self._names.get(name)
        if found is None:
            return None
        await self.register.bind(found.name, found.identity)
        return self.caller(found)

    async def look(self, name: str) -> HubUser | None:
        """Return what the Hub says of a name now; ``None`` for no user. Raises ``NotReady``."""
        found = await self._named(name)
        if found is not None and found.whole:
            self._names.put(name, found)
        return found

    def identity(self, name: str) -> str:
        """Return what the Hub said last of who has a name; empty if nothing is known."""
        found = self._names.last(name)
        return found.identity if found is not None else ""

    async def forget(self) -> None:
        """Ask the Hub again about everybody, after names changed hands."""
        await asyncio.to_thread(self.register.read)
        self._tokens.clear()
        self._names.clear()

    async def check_start(self, name: str) -> None:
        """Raise ``NotReady`` unless the Hub's user of this name is the one that is known here."""
        found = await self.look(name)
        if found is None:
            raise NotReady(
                f"The Hub no longer has a user {name!r}: the user was removed or renamed. "
                f"{resolve(name)}"
            )
        if not self.register.belongs(name, found.identity):
            raise NotReady(
                f"The Hub's user {name!r} is not the user who published this; the name was "
                f"reused. {resolve(name)}"
            )

    def last(self, name: str) -> Caller | None:
        """Return what was said of a user last, however long ago; ``None`` if nothing was."""
        found = self._names.last(name)
        return self.caller(found) if found is not None else None

    async def missing(self, scopes: Iterable[str]) -> list[str]:
        """Return which of these the service itself does not hold, all if the Hub does not say."""
        try:
            headers = {"Authorization": f"token {self._token}"}
            answer = await self._http.get("user", headers=headers)
            held = set(answer.json()["scopes"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            held = set()
        return [scope for scope in scopes if not hub_config.has_scope(scope, held)]

    async def scopes(self, token: str) -> frozenset[str]:
        """Return what a token is good for, whoever has it; nothing if it is nobody's.

        Raises ``NotReady``.
        """
        model = await self._model("user", token, self._strangers)
        return frozenset(map(str, (model or {}).get("scopes") or ()))

    async def _whose(self, token: str) -> HubUser | None:
        # Whoever makes up tokens, however many, keeps nobody waiting who is known.
        known = self._tokens.last(token) is not None
        found = await self._ask("user", token, self._turn if known else self._strangers)
        if found is not None and not found.identity:
            # Tokens need not be good for that; the service's own is.
            named = await self.look(found.name)
            found = replace(found, identity=named.identity) if named is not None else found
        if found is not None and found.whole:
            # The pages of a user who has shown a token may continue for as long as the token.
            self._names.vouch(found.name, found)
        return found

    async def _named(self, name: str) -> HubUser | None:
        return await self._ask(f"users/{quote(name, safe='')}", self._token, self._turn)

    async def _ask(self, path: str, token: str, turn: asyncio.Semaphore) -> HubUser | None:
        model = await self._model(path, token, turn)
        return None if model is None else HubUser.of(model)

    async def _model(
        self, path: str, token: str, turn: asyncio.Semaphore
    ) -> Mapping[str, Any] | None:
        if not (token.isascii() and token.isprintable()):
            return None  # it could not even be sent
        headers = {"Authorization": f"token {token}"}
        try:
            async with asyncio.timeout(SECONDS), turn:
                answer = await self._http.get(path, headers=headers)
            if answer.status_code == 200:
                model: Mapping[str, Any] = answer.json()
                return model
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            log.warning("The Hub does not respond: %s", error or type(error).__name__)
            raise NotReady(AWAY) from error
        if answer.status_code in (401, 403) and token != self._token:
            return None
        if answer.status_code == 404:
            return None
        if answer.status_code in (401, 403):
            log.error(
                "The Hub rejects this service's token. A role is missing: %s", hub_config.ROLE
            )
        else:
            log.warning("The Hub responded with status %s.", answer.status_code)
        raise NotReady(AWAY)
