"""Events of the audit log."""

import time
from typing import Any, Protocol

import msgspec

MAX_DETAILS = 16_384
"""Maximum bytes of the JSON details of an event."""


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event.

    Attributes
    ----------
    actor
        The user who did it; empty for the server itself.
    key
        The id of the API key that was used, else empty.
    action
        What happened: a noun and a verb, such as ``service.publish``.
    target
        What it happened to: the name of a service, the id of a key, or a user.
    owner
        The user or group that the target belongs to, who may read the event.
    id
        The number of the event; 0 until it is stored.
    """

    time: float = msgspec.field(default_factory=time.time)
    actor: str = ""
    key: str = ""
    action: str
    target: str
    owner: str = ""
    request_id: str = ""
    details: dict[str, Any] = {}
    id: int = 0


class AuditRows(Protocol):
    """Stores events; methods block."""

    def add(self, event: AuditEvent) -> None:
        """Append an event."""

    def read(
        self, *, after: int, limit: int, names: frozenset[str] | None, action: str, target: str
    ) -> list[AuditEvent]:
        """Return events after the one with this id, oldest first."""
