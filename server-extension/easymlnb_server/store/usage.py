"""GPU seconds of each user by day."""

import secrets

from sqlalchemy import Connection, delete, func, select

from easymlnb_server.store.database import Database, Repository, upsert, writing
from easymlnb_server.store.tables import usage


class GpuUsageRows(Repository):
    """GPU seconds by user and UTC day, such as ``2026-01-31``.

    Each process writes its own total, so that a repeated write changes nothing.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._process = secrets.token_hex(8)

    @writing
    def put(self, connection: Connection, user: str, day: str, seconds: float) -> float:
        """Set the total of this process on a day; return the total of all processes."""
        if seconds:
            key = {"user": user, "day": day, "process": self._process}
            upsert(connection, usage, key, {"seconds": seconds})
        query = select(func.sum(usage.c.seconds)).where(usage.c.user == user, usage.c.day == day)
        return float(connection.scalar(query) or 0.0)

    @writing
    def forget(self, connection: Connection, *, before: str) -> None:
        """Delete all days before ``before``."""
        connection.execute(delete(usage).where(usage.c.day < before))
