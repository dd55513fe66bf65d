"""API keys as they are stored, requested and listed."""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from easymlnb_server.identity.audit.models import AuditEvent
from easymlnb_server.identity.grants import KeyGrant, Scope
from easymlnb_server.identity.limits import NO_LIMITS, Limits

KeyState = Literal["active", "expired", "revoked"]


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its text.

    Attributes
    ----------
    hash
        The SHA-256 of the text.
    hint
        The first characters of the text.
    expires, revoked, used
        Seconds since the epoch; ``None`` for never.
    changed
        When the row changed last, except for ``used``.
    """

    id: str
    hash: str
    hint: str
    owner: str
    services: tuple[str, ...]
    scopes: tuple[Scope, ...]
    limits: Limits = NO_LIMITS
    note: str = ""
    created: float
    expires: float | None = None
    revoked: float | None = None
    used: float | None = None
    changed: float = 0.0

    @property
    def grant(self) -> KeyGrant:
        return KeyGrant(self.id, frozenset(self.services), frozenset(self.scopes), self.limits)

    def state(self, now: float) -> KeyState:
        """Return whether the key is valid at a time in seconds since the epoch."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


class KeyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to create."""

    services: Annotated[
        tuple[str, ...],
        Meta(description="Names of services; `owner/*` and `*` are all that you may call."),
    ]
    scopes: Annotated[
        tuple[str, ...], Meta(description="Any of `call`, `jobs` and `read`; `call` by default.")
    ] = (Scope.CALL.value,)
    expires: Annotated[
        str | None,
        Meta(description="A date and time, or a duration such as `30d`; null for never."),
    ] = "90d"
    note: Annotated[str, Meta(description="What the key is for.")] = ""
    limits: Annotated[dict[str, Any], Meta(description="See `PUT /services/{name}/limits`.")] = {}


class KeyRows(Protocol):
    """Stores keys; methods block."""

    def changed(self, since: float) -> list[ApiKey]:
        """Return the keys that were created or changed at this time or later."""

    def add(self, key: ApiKey, event: AuditEvent) -> None:
        """Store a new key, with its event."""

    def revoke(self, id: str, now: float, event: AuditEvent) -> None:
        """Store that a key is revoked, with its event."""

    def set_used(self, used: Iterable[tuple[str, float]]) -> None:
        """Store when keys were used last."""


def digest(text: str) -> str:
    """Return the hash by which a key is stored and found."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
