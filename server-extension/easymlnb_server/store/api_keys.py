"""The rows of API keys."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, select, update

from easymlnb_server.identity.api_keys.models import ApiKey
from easymlnb_server.identity.audit.models import AuditEvent
from easymlnb_server.store.audit import append
from easymlnb_server.store.database import Repository, reading, upsert, writing
from easymlnb_server.store.tables import api_keys

_FIELDS = ApiKey.__struct_fields__


class ApiKeyRepository(Repository):
    """Reads and writes keys; their texts are never stored."""

    @reading
    def changed(self, connection: Connection, since: float) -> list[ApiKey]:
        """Return the keys that were created or changed at this time or later."""
        query = select(api_keys).where(api_keys.c.changed >= since)
        return [
            msgspec.convert({name: row._mapping[name] for name in _FIELDS}, ApiKey)
            for row in connection.execute(query)
        ]

    @writing
    def add(self, connection: Connection, key: ApiKey, event: AuditEvent) -> None:
        """Store a new key, with its event; a second time it changes nothing."""
        known = select(api_keys.c.id).where(api_keys.c.id == key.id)
        if connection.execute(known).first() is None:
            values = msgspec.to_builtins(key)
            del values["id"]
            upsert(connection, api_keys, {"id": key.id}, values)
            append(connection, event)

    @writing
    def revoke(self, connection: Connection, id: str, now: float, event: AuditEvent) -> None:
        """Store that a key is revoked, with its event; a second time it changes nothing."""
        valid = (api_keys.c.id == id) & api_keys.c.revoked.is_(None)
        statement = update(api_keys).where(valid).values(revoked=now, changed=now)
        if connection.execute(statement).rowcount:
            append(connection, event)

    @writing
    def set_used(self, connection: Connection, used: Iterable[tuple[str, float]]) -> None:
        """Store when keys were used last."""
        for id, moment in used:
            connection.execute(update(api_keys).where(api_keys.c.id == id).values(used=moment))
