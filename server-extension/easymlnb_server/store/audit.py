"""The rows of the audit log."""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, and_, insert, or_, select

from easymlnb_server.identity.audit.models import AuditEvent
from easymlnb_server.store.database import Repository, reading, writing
from easymlnb_server.store.tables import audit, released_names

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

        With ``names``, only events of these actors and owners, since the names are theirs; empty
        texts mean all.
        """
        query = select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(limit)
        if names is not None:
            query = query.where(_concerns(connection, names))
        if action:
            query = query.where(audit.c.action == action)
        if target:
            query = query.where(audit.c.target == target)
        return [AuditEvent(**row._mapping) for row in connection.execute(query)]


def _concerns(connection: Connection, names: Iterable[str]) -> ColumnElement[bool]:
    """Return whether an event is of these names, and not of an earlier user of one of them."""
    known = list(names)
    rows = select(released_names).where(released_names.c.name.in_(known))
    freed = {row.name: row.time for row in connection.execute(rows)}
    never = [name for name in known if name not in freed]
    return or_(
        audit.c.actor.in_(never),
        audit.c.owner.in_(never),
        *(
            and_(or_(audit.c.actor == name, audit.c.owner == name), audit.c.time > moment)
            for name, moment in freed.items()
        ),
    )
