"""What the quality gate found in bundles."""

import time
from typing import Any

from sqlalchemy import Connection, delete, select

from easymlnb_server.store.database import Repository, reading, upsert, writing
from easymlnb_server.store.tables import bundles, quality_reports


class QualityReports(Repository):
    """The newest report of each bundle that was checked, as JSON."""

    @reading
    def summaries(self, connection: Connection) -> dict[str, dict[str, Any]]:
        """Return the summaries by bundle."""
        rows = connection.execute(select(quality_reports.c.bundle, quality_reports.c.summary))
        return {row.bundle: row.summary for row in rows}

    @reading
    def get(self, connection: Connection, bundle: str) -> dict[str, Any] | None:
        """Return the report of a bundle; ``None`` if it was not checked."""
        query = select(quality_reports.c.report).where(quality_reports.c.bundle == bundle)
        found: dict[str, Any] | None = connection.execute(query).scalar_one_or_none()
        return found

    @writing
    def put(
        self, connection: Connection, bundle: str, summary: dict[str, Any], report: dict[str, Any]
    ) -> None:
        """Replace the report of a bundle; drop those of bundles that are gone."""
        gone = quality_reports.c.bundle.not_in(select(bundles.c.id))
        connection.execute(delete(quality_reports).where(gone))
        values = {"summary": summary, "report": report, "changed": time.time()}
        upsert(connection, quality_reports, {"bundle": bundle}, values)
