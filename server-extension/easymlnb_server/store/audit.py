"""The rows of the audit log."""

from sqlalchemy import Connection, insert, or_, select

from easymlnb_server.identity.audit.models import AuditEvent
from easymlnb_server.store.database import Repository, reading, writing
from easymlnb_server.store.tables import audit

_FIELDS = ("time", "actor", "key", "action", "target", "owner", "request_id", "details")


def append(connection: Connection, event: AuditEvent) -> None:
    """Append an event in the transaction of the change that it describes."""
    connection.execute(insert(audit).values({name: getattr(event, name) for name in _FIELDS}))


class Audit(Repository):
    """Appends and reads events; the database refuses to change or delete them."""

    @writing
    def add(self, connection: Connection, event: AuditEvent) -> None:
        """Append an event, unless a broken connection hid that it was appended before."""
        same = select(audit.c.id).where(
            audit.c.time == event.time,
            audit.c.action == event.action,
            audit.c.target == event.target,
            audit.c.request_id == event.request_id,
        )
        if connection.execute(same.limit(1)).first() is None:
            append(connection, event)

    @reading
    def read(
        self,
        connection: Connection,
        *,
        after: int,
        limit: int,
        names: frozenset[str] | None,
        action: str,
        target: str,
    ) -> list[AuditEvent]:
        """Return events after the one with this id, oldest first.

        With ``names``, only events of these actors and owners; empty texts mean all.
        """
        query = select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(limit)
        if names is not None:
            query = query.where(or_(audit.c.actor.in_(names), audit.c.owner.in_(names)))
        if action:
            query = query.where(audit.c.action == action)
        if target:
            query = query.where(audit.c.target == target)
        return [AuditEvent(**row._mapping) for row in connection.execute(query)]
