"""GPU seconds of each user by day."""

import secrets

from sqlalchemy import Connection, delete, func, insert, select, update

from easymlnb_server.store.database import Database
from easymlnb_server.store.tables import usage


class Usage:
    """GPU seconds by user and day; ``day`` is like ``2026-01-31``, in UTC.

    Each process writes a total of its own, so that writing it twice changes nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._process = secrets.token_hex(8)

    def put(self, user: str, day: str, seconds: float) -> float:
        """Set what this process counted on a day; return what all processes did together."""
        row = (usage.c.user == user, usage.c.day == day, usage.c.process == self._process)

        def work(connection: Connection) -> float:
            done = connection.execute(update(usage).where(*row).values(seconds=seconds))
            if not done.rowcount and seconds:
                connection.execute(
                    insert(usage).values(user=user, day=day, process=self._process, seconds=seconds)
                )
            query = select(func.sum(usage.c.seconds)).where(*row[:2])
            return float(connection.scalar(query) or 0.0)

        return self._database.write(work)

    def forget(self, *, before: str) -> None:
        """Forget all days before one."""

        def work(connection: Connection) -> None:
            connection.execute(delete(usage).where(usage.c.day < before))

        self._database.write(work)
