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
from easymlnb_server.hub.name_registry import NameRegistry
from easymlnb_server.hub.ttl_cache import Outage, TtlCache
from easymlnb_server.identity.access import Caller, transfer_advice
from easymlnb_server.store.people import People

TIMEOUT = 10.0
"""Seconds for a request to the Hub, with the time in the queue."""

MAX_CONCURRENT = 20
"""Maximum number of concurrent requests to the Hub."""

UNKNOWN_CREATION = "before 2018"

UNAVAILABLE = "The Hub is not available to check your identity. Try again in a moment."

log = logging.getLogger("easymlnb.client.hub")


@dataclass(frozen=True, slots=True)
class HubUser:
    """A user of the Hub.

    scopes: those of the token that the request was made with.
    complete: whether the token could read the groups; else ``groups`` is empty.
    identity: when the Hub created the user. It stays when the name changes, and differs for
        another user who gets the name later; empty if the Hub does not return it.
    """

    name: str
    groups: frozenset[str] = frozenset()
    admin: bool = False
    scopes: frozenset[str] = frozenset()
    complete: bool = True
    identity: str = ""

    @classmethod
    def from_model(cls, model: Mapping[str, Any]) -> "HubUser | None":
        """Return the user of a model of the Hub; ``None`` for a service."""
        if model.get("kind") != "user":
            return None
        return cls(
            name=str(model["name"]),
            groups=frozenset(map(str, model.get("groups") or ())),
            admin=model.get("admin") is True,
            scopes=frozenset(map(str, model.get("scopes") or ())),
            complete="groups" in model,
            # Users of very old Hubs have no creation time, but those created later have one.
            identity=str(model["created"] or UNKNOWN_CREATION) if "created" in model else "",
        )


class HubUsers:
    """The ``UserDirectory`` of a Hub's service: asks the Hub and caches its replies.

    Replies are valid for ``seconds``. While the Hub is unavailable, users that it confirmed within
    that time are admitted for as long again, with a token or from one of their pages.
    """

    def __init__(self, api_url: str, token: str, seconds: float) -> None:
        self._token = token
        self._known_limit = asyncio.Semaphore(MAX_CONCURRENT)
        self._unknown_limit = asyncio.Semaphore(MAX_CONCURRENT)
        self._http = httpx.AsyncClient(base_url=f"{api_url.rstrip('/')}/", timeout=TIMEOUT)
        outage = Outage()
        self._tokens: TtlCache[HubUser] = TtlCache(self._fetch_by_token, seconds, outage=outage)
        self._names: TtlCache[HubUser] = TtlCache(self._fetch_by_name, seconds, outage=outage)
        self.register = NameRegistry()
        """The names under which each user has rights."""

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

    async def find_by_token(self, token: str) -> HubUser | None:
        """Return the user of a token; ``None`` for an unknown token. Raises ``NotReady``."""
        user = await self._tokens.get(token)
        if user is None:
            return None
        last = self._names.last(user.name)
        if user.complete and (last is None or last.identity != user.identity):
            self._names.put(user.name, user, self._names.seconds)
        await self.register.bind(user.name, user.identity)
        return user

    def cached(self, token: str) -> HubUser | None:
        """Return the user of a token if that needs no request."""
        user = self._tokens.cached(token)
        if user is None or not self.register.knows(user.name, user.identity):
            return None
        return user

    def caller(self, user: HubUser) -> Caller:
        """Return a user with the names under which they have rights."""
        names = self.register.names(user.name, user.identity)
        return Caller(user.name, user.groups, user.admin, names)

    async def find(self, name: str) -> Caller | None:
        """Return a user of the Hub; ``None`` for an unknown one. Raises ``NotReady``."""
        user = await self._names.get(name)
        if user is None:
            return None
        await self.register.bind(user.name, user.identity)
        return self.caller(user)

    def known(self, name: str) -> Caller | None:
        """Return a user if that needs no request."""
        user = self._names.cached(name)
        if user is None or not self.register.knows(user.name, user.identity):
            return None
        return self.caller(user)

    async def fetch(self, name: str) -> HubUser | None:
        """Return a user from the Hub, without the cache; ``None`` for an unknown one.

        Raises ``NotReady``.
        """
        user = await self._fetch_by_name(name)
        if user is not None and user.complete:
            self._names.put(name, user)
        return user

    def identity(self, name: str) -> str:
        """Return the last known identity of a name; empty if there is none."""
        user = self._names.last(name)
        return user.identity if user is not None else ""

    async def forget(self) -> None:
        """Drop all cached users, after names changed owners."""
        await asyncio.to_thread(self.register.read)
        self._tokens.clear()
        self._names.clear()

    async def check_start(self, name: str) -> None:
        """Raise ``NotReady`` unless the Hub's user of this name is the one who published."""
        user = await self.fetch(name)
        if user is None:
            raise NotReady(
                f"The Hub no longer has a user {name!r}: the user was removed or renamed. "
                f"{transfer_advice(name)}"
            )
        if not self.register.belongs(name, user.identity):
            raise NotReady(
                f"The Hub's user {name!r} is not the user who published this; the name was "
                f"reused. {transfer_advice(name)}"
            )

    def last(self, name: str) -> Caller | None:
        """Return the last known state of a user; ``None`` for an unknown one."""
        user = self._names.last(name)
        return self.caller(user) if user is not None else None

    async def missing(self, scopes: Iterable[str]) -> list[str]:
        """Return the scopes that this service lacks: all of them if the Hub does not answer."""
        try:
            headers = {"Authorization": f"token {self._token}"}
            answer = await self._http.get("user", headers=headers)
            held = set(answer.json()["scopes"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            held = set()
        return [scope for scope in scopes if not hub_config.has_scope(scope, held)]

    async def scopes(self, token: str) -> frozenset[str]:
        """Return the scopes of a token of any user or service; raises ``NotReady``."""
        model = await self._model("user", token, self._unknown_limit)
        return frozenset(map(str, (model or {}).get("scopes") or ()))

    async def _fetch_by_token(self, token: str) -> HubUser | None:
        # Made-up tokens, however many, do not delay known users.
        known = self._tokens.last(token) is not None
        user = await self._ask("user", token, self._known_limit if known else self._unknown_limit)
        if user is not None and not user.identity:
            # A user's token may lack the scope for that; the service's own token has it.
            named = await self.fetch(user.name)
            user = replace(user, identity=named.identity) if named is not None else user
        if user is not None and user.complete:
            # The pages of a user may continue for as long as the user's token.
            self._names.extend(user.name, user)
        return user

    async def _fetch_by_name(self, name: str) -> HubUser | None:
        return await self._ask(f"users/{quote(name, safe='')}", self._token, self._known_limit)

    async def _ask(self, path: str, token: str, limit: asyncio.Semaphore) -> HubUser | None:
        model = await self._model(path, token, limit)
        return None if model is None else HubUser.from_model(model)

    async def _model(
        self, path: str, token: str, limit: asyncio.Semaphore
    ) -> Mapping[str, Any] | None:
        if not (token.isascii() and token.isprintable()):
            return None  # it cannot be sent in a header
        headers = {"Authorization": f"token {token}"}
        try:
            async with asyncio.timeout(TIMEOUT), limit:
                answer = await self._http.get(path, headers=headers)
            if answer.status_code == 200:
                model: Mapping[str, Any] = answer.json()
                return model
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            log.warning("The Hub does not respond: %s", error or type(error).__name__)
            raise NotReady(UNAVAILABLE) from error
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
        raise NotReady(UNAVAILABLE)
