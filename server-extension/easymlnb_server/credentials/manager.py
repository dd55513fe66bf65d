"""Credentials in memory, encrypted as in the database, and the workers that have them."""

import asyncio
import dataclasses
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Protocol

from easymlnb.contract.errors import CredentialNotFound, EasyMLNBError, NotReady
from easymlnb.contract.worker_protocol import Credentials as CredentialsMessage
from easymlnb_server.credentials.encryption import NO_KEY, Cipher, KeySource
from easymlnb_server.credentials.models import CredentialSummary
from easymlnb_server.credentials.rules import MAX_PER_SERVICE, check_name, check_value
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.identity.names import qualified_name
from easymlnb_server.store.credentials import CredentialRows, StoredCredential
from easymlnb_server.store.store import Store

Values = Mapping[str, Mapping[str, str | None]]
"""Values by a service's short name and the credential's; ``None`` if it cannot be decrypted."""

NOT_OPEN = NotReady("Credentials are not available yet. Try again in a moment.")

log = logging.getLogger("easymlnb.credentials")


class CredentialStore:
    """The credentials of all services.

    Reading needs no database. Values are decrypted only to be sent to a worker.

    Parameters
    ----------
    keys
        Where the keys are.
    shared
        Whether names of services start with their owners'.
    mounted
        Values by name that all services have.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        shared: bool = False,
        mounted: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._keys = keys
        self._shared = shared
        self._mounted = mounted
        self._cipher: Cipher | None = None
        self._rows: CredentialRows | None = None
        self._entries: Mapping[str, Mapping[str, StoredCredential]] = {}
        self._receivers: dict[WorkerLink, Callable[[], Values]] = {}
        self._lock = asyncio.Lock()

    async def open(self, store: Store) -> None:
        """Read everything, and encrypt it with the first key where it is not."""
        try:
            self._cipher = await asyncio.to_thread(self._keys.load)
        except EasyMLNBError as error:
            log.error("Credentials cannot be read or set: %s", error)
        self._rows = store.credentials
        await self.refresh()
        if self._cipher is not None:
            await asyncio.to_thread(self._rotate, self._cipher, store.credentials)
            await self.refresh()

    def close(self) -> None:
        """Stop using the database; what is in memory stays."""
        self._rows = None

    async def refresh(self) -> None:
        """Read the database again, and send workers what changed."""
        if self._rows is None:
            return
        entries: defaultdict[str, dict[str, StoredCredential]] = defaultdict(dict)
        for entry in await asyncio.to_thread(self._rows.all):
            entries[entry.service][entry.name] = entry
        self._entries = dict(entries)
        for link in [*self._receivers]:
            self._send(link)

    def for_owner(self, owner: str) -> "OwnerCredentials":
        """Return the credentials of one owner's services."""
        return OwnerCredentials(self, owner)

    def of(self, owner: str, names: Iterable[str]) -> Values:
        """Return the credentials of an owner's services, given by their short names."""
        found = {}
        for name in names:
            full = qualified_name(owner, name) if self._shared else name
            own = self._entries.get(full, {})
            values: dict[str, str | None] = dict(self._mounted)
            values |= {
                entry.name: self._decrypt(entry)
                for entry in own.values()
                # Another owner may have used the name before.
                if entry.owner == owner or not self._shared
            }
            if values:
                found[name] = values
        return found

    def deliver(self, link: WorkerLink, values: Callable[[], Values]) -> None:
        """Send a worker its credentials, now and after each change."""
        self._receivers = {one: given for one, given in self._receivers.items() if not one.lost}
        self._receivers[link] = values
        self._send(link)

    @property
    def can_store(self) -> bool:
        """Whether there is a key to encrypt with, or one is made when it is needed."""
        return self._cipher is not None or self._keys.own is not None

    def summaries(self, service: str) -> list[CredentialSummary]:
        """Return what is stored for a service, without values."""
        return [self._summary(entry) for entry in self._entries.get(service, {}).values()]

    def find(self, name: str, service: str = "", calling: str = "") -> str:
        """Return a value for an author's kernel; raises ``CredentialNotFound``.

        It is that of ``service``, else that of ``calling``, the service whose call asks, else the
        only value that any service has under this name.
        """
        having = {full: entry[name] for full, entry in self._entries.items() if name in entry}
        if chosen := service or (calling if calling in having else ""):
            having = {full: entry for full, entry in having.items() if full == chosen}
        values = {full: self._decrypt(entry) for full, entry in having.items()}
        distinct = {value for value in values.values() if value is not None}
        if len(distinct) == 1:
            return distinct.pop()
        raise CredentialNotFound(_not_found(name, service or calling, having))

    async def set(self, service: str, name: str, value: str, *, owner: str, by: str) -> None:
        """Store a value on disk and send it to the service's workers.

        Raises ``BadRequest``, ``CredentialsDisabled``, ``NotReady`` or ``StorageBusy``; then
        nothing was changed.
        """
        check_name(name)
        check_value(value)
        rows = self._open_rows()
        async with self._lock:
            if self._cipher is None:
                self._cipher = await asyncio.to_thread(lambda: self._keys.load(create=True))
            if self._cipher is None:
                raise NO_KEY
            token = self._cipher.encrypt(value)
            new = StoredCredential(service, name, owner, token, time.time(), by)
            await asyncio.to_thread(lambda: rows.put(new, limit=MAX_PER_SERVICE))
            await self.refresh()

    async def remove(self, service: str, name: str) -> None:
        """Remove a credential; raises ``CredentialNotFound``."""
        rows = self._open_rows()
        async with self._lock:
            await asyncio.to_thread(lambda: rows.remove(service, name))
            await self.refresh()

    def summary(self, service: str, name: str) -> CredentialSummary:
        """Return one credential without its value; raises ``CredentialNotFound``."""
        entry = self._entries.get(service, {}).get(name)
        if entry is None:
            raise CredentialNotFound(_not_found(name, service, {}))
        return self._summary(entry)

    def _open_rows(self) -> CredentialRows:
        if self._rows is None:
            raise NOT_OPEN
        return self._rows

    def _summary(self, entry: StoredCredential) -> CredentialSummary:
        return CredentialSummary(
            name=entry.name,
            updated=_timestamp(entry.updated),
            updated_by=entry.updated_by,
            readable=self._decrypt(entry) is not None,
        )

    def _decrypt(self, entry: StoredCredential) -> str | None:
        return self._cipher.decrypt(entry.token) if self._cipher is not None else None

    def _send(self, link: WorkerLink) -> None:
        if link.lost:
            del self._receivers[link]
            return
        values = self._receivers[link]()
        plain = {service: dict(own) for service, own in values.items()}
        link.send(CredentialsMessage(values=plain))

    def _rotate(self, cipher: Cipher, rows: CredentialRows) -> None:
        tokens = [entry.token for own in self._entries.values() for entry in own.values()]
        changed = {token: new for token in tokens if (new := cipher.rotate(token)) is not None}
        if changed:
            rows.replace_tokens(changed)
            log.info("Encrypted %d credentials with the new key.", len(changed))
        unreadable = sum(cipher.decrypt(changed.get(token, token)) is None for token in tokens)
        if unreadable:
            log.error(
                "%d credentials cannot be decrypted with the key of this server. Add the former "
                "key to EasyMLNB.credentials_key_file, or set them again.",
                unreadable,
            )


class WorkerCredentials(Protocol):
    """The credentials that a deployment may give to its workers."""

    def of(self, names: Iterable[str]) -> Values:
        """Return the credentials of services, given by their short names."""

    def deliver(self, link: WorkerLink, names: Iterable[str]) -> None:
        """Send a worker the credentials of its services, now and after each change."""


class NoCredentials:
    """What a deployment without a store of credentials has."""

    def of(self, names: Iterable[str]) -> Values:
        return {}

    def deliver(self, link: WorkerLink, names: Iterable[str]) -> None:
        """Send nothing."""


NO_CREDENTIALS = NoCredentials()


@dataclasses.dataclass(frozen=True, slots=True)
class OwnerCredentials:
    """The credentials that workers of one owner may get."""

    store: CredentialStore
    owner: str

    def of(self, names: Iterable[str]) -> Values:
        return self.store.of(self.owner, names)

    def deliver(self, link: WorkerLink, names: Iterable[str]) -> None:
        served = tuple(names)
        self.store.deliver(link, lambda: self.of(served))


def _not_found(name: str, service: str, having: Mapping[str, StoredCredential]) -> str:
    if len(having) > 1:
        return (
            f"The credential {name!r} has different values for {', '.join(sorted(having))}. Say "
            f"which one: ml.credential({name!r}, service={min(having)!r})"
        )
    if having:
        return (
            f"The server cannot decrypt the credential {name!r}: its key has changed. Set it "
            f"again: easymlnb credentials set {min(having)} {name}"
        )
    return (
        f"The credential {name!r} is not set{f' for {service!r}' if service else ''}. Set it: "
        f"easymlnb credentials set {service or 'SERVICE'} {name}"
    )


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
