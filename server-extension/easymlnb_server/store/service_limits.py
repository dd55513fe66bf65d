"""The rows of the limits of services."""

import time
from typing import Any

from sqlalchemy import Connection, delete, select

from easymlnb_server.store.database import Repository, reading, upsert, writing
from easymlnb_server.store.tables import service_limits


class ServiceLimitsRepository(Repository):
    """The limits that owners set for their services, as JSON."""

    @reading
    def all(self, connection: Connection) -> dict[str, dict[str, Any]]:
        """Return the limits by service."""
        rows = connection.execute(select(service_limits.c.service, service_limits.c.limits))
        return {row.service: row.limits for row in rows}

    @writing
    def put(self, connection: Connection, service: str, limits: dict[str, Any]) -> None:
        """Replace the limits of a service; empty ones are removed."""
        if limits:
            values = {"limits": limits, "changed": time.time()}
            upsert(connection, service_limits, {"service": service}, values)
        else:
            connection.execute(delete(service_limits).where(service_limits.c.service == service))
