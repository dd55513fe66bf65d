"""What versions were made from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from easymlnb.contract.errors import VersionNotFound
from easymlnb_server.store.database import Repository, reading
from easymlnb_server.store.tables import bundles, provenance, versions

PUBLISHER = "publisher"
ACCEPTED = "accepted"
"""The keys in a stored manifest that say who published the bundle, and when it was accepted."""


@dataclass(frozen=True, slots=True)
class ProvenanceRecord:
    """What a version was made from. Times are seconds since 1970, UTC.

    - ``publisher``: the user who published it; ownership may change later
    - ``file``, ``log``: names of the zip and of the executed notebook in ``Store.files``
    - ``accepted``: when the bundle was accepted
    - ``created``: when the version was made
    - ``spec``: the version's specification, as JSON values
    """

    service: str
    number: int
    bundle: str
    publisher: str
    manifest: dict[str, Any]
    file: str
    log: str | None
    accepted: float
    created: float
    spec: dict[str, Any]


class Provenance(Repository):
    """Rows of provenance, one for each version."""

    @reading
    def get(self, connection: Connection, service: str, number: int) -> ProvenanceRecord:
        """Return the record of a version; raises ``VersionNotFound``."""
        query = (
            select(*provenance.c, versions.c.bundle, versions.c.created, versions.c.spec)
            .join(
                versions,
                (versions.c.service == provenance.c.service)
                & (versions.c.number == provenance.c.number),
            )
            .where(provenance.c.service == service, provenance.c.number == number)
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            raise VersionNotFound(str(number))
        return ProvenanceRecord(**row._mapping)

    @reading
    def files(self, connection: Connection) -> set[str]:
        """Return the names of all files that a version was made from."""
        rows = connection.execute(select(provenance.c.file, provenance.c.log))
        return {name for row in rows for name in row if name}


def record(connection: Connection, bundle: str, names: Iterable[str]) -> None:
    """Record what the new versions of a bundle's services were made from."""
    wanted = list(names)
    made = select(versions.c.service, versions.c.number).where(
        versions.c.bundle == bundle, versions.c.service.in_(wanted)
    )
    known = select(provenance.c.service, provenance.c.number)
    rows = connection.execute(known.where(provenance.c.service.in_(wanted)))
    recorded = {(row.service, row.number) for row in rows}
    source = connection.execute(select(bundles).where(bundles.c.id == bundle)).one()
    for row in connection.execute(made).all():
        if (row.service, row.number) in recorded:
            continue
        connection.execute(
            insert(provenance).values(
                service=row.service,
                number=row.number,
                publisher=str(source.manifest.get(PUBLISHER) or source.owner),
                manifest=source.manifest,
                file=source.file,
                log=source.log,
                accepted=source.manifest.get(ACCEPTED, source.created),
            )
        )
