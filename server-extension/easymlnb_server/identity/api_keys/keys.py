"""All API keys in memory: found by the hash of their text, and following the database."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping

from easymlnb.contract import api_keys
from easymlnb.contract.errors import ApiKeyNotFound, EasyMLNBError, NotReady
from easymlnb_server.identity.access import Caller, UserDirectory
from easymlnb_server.identity.api_keys.models import ApiKey, KeyRows, digest
from easymlnb_server.identity.audit.log import AuditLog, new_event
from easymlnb_server.identity.audit.models import AuditEvent
from easymlnb_server.identity.grants import Scope
from easymlnb_server.identity.limits import Limits

REFRESH_SECONDS = 10.0
OVERLAP = 60.0
"""Seconds by which two reads of changed keys overlap: clocks differ, transactions take time."""

ID_DIGITS = 16

OWNER_KEY = "key "
"""Prefix of the owner key of calls with an API key."""

log = logging.getLogger("easymlnb.keys")


class ApiKeys:
    """The keys of a server.

    A key acts with the present rights of its owner, narrowed to its services and scopes.

    Parameters
    ----------
    users
        The directory of users.
    audit
        Gets a copy of each event.
    clock
        Returns the time in seconds since the epoch.
    """

    def __init__(
        self, users: UserDirectory, audit: AuditLog, clock: Callable[[], float] = time.time
    ) -> None:
        self._users = users
        self._audit = audit
        self._clock = clock
        self._rows: KeyRows | None = None
        self._by_hash: dict[str, ApiKey] = {}
        self._by_id: dict[str, ApiKey] = {}
        self._callers: dict[str, tuple[ApiKey, Caller, Caller]] = {}
        self._used: dict[str, float] = {}
        self._seen = 0.0

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[ApiKey]:
        return iter(tuple(self._by_id.values()))

    async def open(self, rows: KeyRows) -> None:
        """Load all keys and follow the database from now on."""
        self._seen = 0.0
        found = await asyncio.to_thread(rows.changed, 0.0)
        self._by_hash.clear()
        self._by_id.clear()
        self._rows = rows
        self._take(found)

    def close(self) -> None:
        """Accept no keys: another process may revoke them from now on."""
        self._rows = None
        self._by_hash.clear()
        self._by_id.clear()

    async def run(self) -> None:
        """Follow the database until canceled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
            except EasyMLNBError as error:
                log.warning("API keys were not read again: %s", error.message)

    async def refresh(self) -> None:
        """Read the keys that changed, and store when keys were used."""
        rows = self._rows
        if rows is None:
            return
        used, self._used = self._used, {}
        try:
            if used:
                await asyncio.to_thread(rows.set_used, list(used.items()))
            self._take(await asyncio.to_thread(rows.changed, max(0.0, self._seen - OVERLAP)))
        except EasyMLNBError:
            self._used = used | self._used
            raise

    def find(self, text: str) -> ApiKey | None:
        """Return the valid key with this text.

        The time of a lookup by hash reveals nothing about the text of any key.
        """
        key = self._by_hash.get(digest(text))
        if key is None:
            return None
        now = self._clock()
        if key.revoked is not None or (key.expires is not None and key.expires <= now):
            return None
        self._used[key.id] = now
        return key

    def use_again(self, key: ApiKey) -> bool:
        """Return whether a key that was found before is valid now."""
        if self._by_id.get(key.id) is not key:  # changed, revoked, or no longer loaded
            return False
        now = self._clock()
        if key.expires is not None and key.expires <= now:
            return False
        self._used[key.id] = now
        return True

    def get(self, id: str) -> ApiKey | None:
        """Return a key by its id, valid or not."""
        return self._by_id.get(id)

    def is_valid(self, id: str) -> bool:
        """Return whether a key is neither revoked nor expired."""
        key = self._by_id.get(id)
        return key is not None and key.state(self._clock()) == "active"

    def used(self, key: ApiKey) -> float | None:
        """Return when a key was used last."""
        return self._used.get(key.id, key.used)

    def check_open(self) -> None:
        """Raise ``NotReady`` while the keys are not loaded."""
        if self._rows is None:
            raise NotReady("API keys are not available on this server at the moment. Try again.")

    async def caller(self, key: ApiKey) -> Caller | None:
        """Return who calls with a key; ``None`` if its owner can no longer log in.

        Raises ``NotReady`` if the owner cannot be looked up.
        """
        owner = await self._users.find(key.owner)
        return self.as_caller(key, owner) if owner is not None else None

    def as_caller(self, key: ApiKey, owner: Caller) -> Caller | None:
        """Return the caller of a key whose owner is ``owner``; ``None`` if another user is.

        A key has no rights of administrators.
        """
        known = self._callers.get(key.id)
        if known is not None and known[0] is key and (known[1] is owner or known[1] == owner):
            return known[2]
        if not owner.owns(key.owner):
            return None
        caller = Caller(owner.name, owner.groups, names=owner.names, key=key.grant)
        if key.id in self._by_id:
            self._callers[key.id] = (key, owner, caller)
        return caller

    async def create(
        self,
        caller: Caller,
        *,
        services: tuple[str, ...],
        scopes: tuple[Scope, ...],
        limits: Limits,
        note: str = "",
        expires: float | None = None,
        request_id: str = "",
    ) -> tuple[ApiKey, str]:
        """Store a new key of a caller; return it and its text, which is not stored."""
        self.check_open()
        text, now = api_keys.generate(), self._clock()
        key = ApiKey(
            id=f"key_{secrets.token_hex(ID_DIGITS // 2)}",
            hash=digest(text),
            hint=text[: api_keys.HINT],
            owner=caller.name,
            services=services,
            scopes=scopes,
            limits=limits,
            note=note,
            created=now,
            expires=expires,
            changed=now,
        )
        about = {"services": services, "scopes": scopes, "note": note, "expires": expires}
        event = _event("key.create", key, caller, request_id, about)
        rows = self._rows
        assert rows is not None
        await asyncio.to_thread(rows.add, key, event)
        self._take([key])
        await self._audit.copy(event)
        return key, text

    async def revoke(self, id: str, caller: Caller, request_id: str = "") -> ApiKey:
        """Revoke a key of a caller, or any key for administrators; return it.

        It is not accepted from now on. Raises ``ApiKeyNotFound``.
        """
        self.check_open()
        key = self._by_id.get(id)
        if key is None or not may_manage(caller, key):
            raise ApiKeyNotFound(id)
        rows = self._rows
        if key.revoked is None and rows is not None:
            now = self._clock()
            event = _event("key.revoke", key, caller, request_id, {"note": key.note})
            await asyncio.to_thread(rows.revoke, id, now, event)
            await self._audit.copy(event)
            found = await asyncio.to_thread(rows.changed, now)
            self._take(found)
        return self._by_id.get(id, key)

    def _take(self, keys: list[ApiKey]) -> None:
        for key in keys:
            before = self._by_id.get(key.id)
            if before is not None and before.changed > key.changed:
                continue
            self._by_id[key.id] = self._by_hash[key.hash] = key
            self._callers.pop(key.id, None)
            self._seen = max(self._seen, key.changed)


def may_manage(caller: Caller, key: ApiKey) -> bool:
    """Return whether a caller may see and revoke a key."""
    return caller.key is None and (caller.admin or caller.owns(key.owner))


def owner_of_calls(key_id: str) -> str:
    """Return the owner key of the calls and uploads made with a key."""
    return f"{OWNER_KEY}{key_id}"


def _event(
    action: str, key: ApiKey, caller: Caller, request_id: str, details: Mapping[str, object]
) -> AuditEvent:
    return new_event(
        action, key.id, caller=caller, owner=key.owner, request_id=request_id, details=details
    )
