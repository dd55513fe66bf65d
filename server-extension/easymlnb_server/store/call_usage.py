"""The rows of the usage of calls."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, select

from easymlnb_server.identity.usage.models import Key, Totals
from easymlnb_server.store.database import Repository, reading, upsert, writing
from easymlnb_server.store.tables import call_usage

_KEY = ("day", "service", "version", "user", "key")
_TOTALS = Totals.__struct_fields__

RECENT_DAYS = 30
"""Days after which a caller no longer counts as one who may rely on a service."""


class CallUsage(Repository):
    """Totals of calls by day, service, version, user and key.

    Only the active process writes, so each write replaces a total and may be repeated.
    """

    @writing
    def put(self, connection: Connection, totals: Iterable[tuple[Key, Totals]]) -> None:
        """Replace totals."""
        for key, total in totals:
            values = {name: getattr(total, name) for name in _TOTALS}
            upsert(connection, call_usage, dict(zip(_KEY, key, strict=True)), values)

    @reading
    def read(
        self, connection: Connection, *, since: str, until: str, service: str = "", key: str = ""
    ) -> list[tuple[Key, Totals]]:
        """Return the totals of the days from ``since`` to ``until``, by day and service."""
        query = select(call_usage).where(call_usage.c.day >= since, call_usage.c.day <= until)
        if service:
            query = query.where(call_usage.c.service == service)
        if key:
            query = query.where(call_usage.c.key == key)
        query = query.order_by(*(call_usage.c[name] for name in _KEY))
        return [
            (
                (row.day, row.service, row.version, row.user, row.key),
                Totals(**{name: row._mapping[name] for name in _TOTALS}),
            )
            for row in connection.execute(query)
        ]

    @reading
    def has_other_callers(self, connection: Connection, service: str, owner: str) -> bool:
        """Return whether anybody but the owner called a service lately."""
        return called_by_others(connection, service, owner)

    @writing
    def forget(self, connection: Connection, *, before: str) -> None:
        """Delete the totals of the days before ``before``."""
        connection.execute(delete(call_usage).where(call_usage.c.day < before))


def called_by_others(connection: Connection, service: str, owner: str) -> bool:
    """Return whether anybody but the owner called a service lately.

    Calls with an API key count as those of others, because programs make them.
    """
    first = datetime.now(UTC).date() - timedelta(days=RECENT_DAYS)
    others = (call_usage.c.user != owner) | (call_usage.c.key != "")
    query = select(call_usage.c.calls).where(
        call_usage.c.service == service, call_usage.c.day >= first.isoformat(), others
    )
    return connection.execute(query.limit(1)).first() is not None
