"""The published services and their versions."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from easymlnb.contract.errors import (
    BundleNotFound,
    CallCancelled,
    NameTaken,
    ServiceNotFound,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.access import PRIVATE, Access
from easymlnb_server.store.database import Database
from easymlnb_server.store.records import State, StoredService, Version
from easymlnb_server.store.tables import bundles, services, versions

logger = logging.getLogger(__name__)


class Services:
    """Rows of services and versions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def publish(
        self,
        bundle: str,
        specs: Sequence[ServiceSpec],
        *,
        owner: str,
        log: str | None = None,
    ) -> list[Version]:
        """Make the services of a bundle that has started serve, in one transaction.

        ``log`` is the executed notebook in ``Files``. Each service gets the next number and becomes
        current; one that is current from this bundle already keeps its number, so doing it again
        changes nothing. The bundle becomes ready.
        Raises ``NameTaken`` when a name belongs to another owner, ``BundleNotFound``,
        or ``CallCancelled`` when it was called off; then nothing was changed.
        """

        def work(connection: Connection) -> list[Version]:
            now = time.time()
            for spec in specs:
                _publish_one(connection, bundle, spec, owner, now)
            names = [spec.name for spec in specs]
            _set_ready(connection, bundle, names, log, now)
            return _read(connection, _CURRENT.where(versions.c.service.in_(names)))

        return self._database.write(work)

    def list(self) -> list[StoredService]:
        """Return all services by name, without those that were deleted."""
        return self._database.read(lambda connection: _services(connection, _SERVICES))

    def get(self, name: str) -> StoredService:
        """Return one service; raises ``ServiceNotFound``."""

        def work(connection: Connection) -> StoredService:
            found = _services(connection, _SERVICES.where(services.c.name == name))
            if not found:
                raise ServiceNotFound(name)
            return found[0]

        return self._database.read(work)

    def versions(self, name: str) -> "Versions":
        """Return all versions of a service, oldest first; raises ``ServiceNotFound``."""

        def work(connection: Connection) -> Versions:
            query = _VERSIONS.where(services.c.name == name).order_by(versions.c.number)
            found = _read(connection, query)
            if not found:
                raise ServiceNotFound(name)
            return found

        return self._database.read(work)

    def of_bundle(self, bundle: str) -> "Versions":
        """Return the current versions that a bundle serves, by name."""
        query = _CURRENT.where(versions.c.bundle == bundle)
        return self._database.read(lambda connection: _read(connection, query))

    def serving(self) -> dict[str, "Versions"]:
        """Return what has to run: bundle -> its current versions, in the order of publishing."""
        query = _VERSIONS.where(services.c.current == versions.c.number)
        ordered = query.order_by(versions.c.created, versions.c.service)
        found: dict[str, Versions] = {}
        for version in self._database.read(lambda connection: _read(connection, ordered)):
            found.setdefault(version.bundle, []).append(version)
        return found

    def access(self) -> dict[str, Access]:
        """Return who may call each service."""
        query = select(services.c.name, services.c.access).where(services.c.deleted.is_(None))

        def work(connection: Connection) -> dict[str, Access]:
            return {row.name: _access(row.access) for row in connection.execute(query)}

        return self._database.read(work)

    def set_access(self, name: str, access: Access) -> None:
        """Set who may call a service; raises ``ServiceNotFound``."""

        def work(connection: Connection) -> None:
            one = update(services).where(services.c.name == name, services.c.deleted.is_(None))
            values = {"access": access.to_dict(), "changed": time.time()}
            if not connection.execute(one.values(**values)).rowcount:
                raise ServiceNotFound(name)

        self._database.write(work)

    def delete(self, name: str) -> "Versions":
        """Delete a service with all versions and return those; raises ``ServiceNotFound``.

        Its numbers are never given again, even when the name is published anew; who might call it
        is forgotten.
        """

        def work(connection: Connection) -> Versions:
            found = _read(connection, _VERSIONS.where(services.c.name == name))
            gone = update(services).where(services.c.name == name, services.c.deleted.is_(None))
            now = time.time()
            values = {"deleted": now, "changed": now, "current": None, "access": None}
            done = connection.execute(gone.values(**values))
            if not done.rowcount:
                raise ServiceNotFound(name)
            connection.execute(delete(versions).where(versions.c.service == name))
            return found

        return self._database.write(work)


Versions = list[Version]  # inside the class ``list`` is a method

_COLUMNS = (
    *versions.c,
    (services.c.current == versions.c.number).label("current"),
    services.c.owner,
    services.c.access,
)
_VERSIONS = (
    select(*_COLUMNS)
    .join(services, services.c.name == versions.c.service)
    .where(services.c.deleted.is_(None))
)
_CURRENT = _VERSIONS.where(services.c.current == versions.c.number).order_by(versions.c.service)
_SERVICES = (
    select(*_COLUMNS, services.c.created.label("since"))
    .join(services, services.c.name == versions.c.service)
    .where(services.c.deleted.is_(None), services.c.current == versions.c.number)
    .order_by(services.c.name)
)


def _publish_one(
    connection: Connection, bundle: str, spec: ServiceSpec, owner: str, now: float
) -> None:
    mine = services.c.name == spec.name
    row = connection.execute(select(services).where(mine)).one_or_none()
    if row is not None and row.deleted is None:
        if row.owner != owner:
            raise NameTaken(
                f"The service {spec.name!r} belongs to {row.owner!r}. Choose another name."
            )
        if _serves(connection, row, bundle):
            return
    number = 1 if row is None else row.last + 1
    values: dict[str, Any] = {"owner": owner, "last": number, "current": number}
    values |= {"deleted": None, "changed": now, "moved": None}
    if row is None:
        connection.execute(insert(services).values(name=spec.name, created=now, **values))
    else:
        if row.deleted is not None:
            values["created"] = now
        connection.execute(update(services).where(mine).values(**values))
    connection.execute(
        insert(versions).values(
            service=spec.name, number=number, bundle=bundle, spec=spec.to_dict(), created=now
        )
    )


def _serves(connection: Connection, service: Row[Any], bundle: str) -> bool:
    query = select(versions.c.bundle).where(
        versions.c.service == service.name, versions.c.number == service.current
    )
    return connection.execute(query).scalar() == bundle


def _set_ready(
    connection: Connection, bundle: str, names: Sequence[str], log: str | None, now: float
) -> None:
    before = connection.execute(
        select(bundles.c.provides, bundles.c.state).where(bundles.c.id == bundle)
    ).one_or_none()
    if before is None:
        raise BundleNotFound(bundle)
    if before.state == State.FAILED:
        raise CallCancelled("Publishing was canceled.")
    values = {
        "state": State.READY,
        "error": None,
        "log": log,
        "provides": sorted({*before.provides, *names}),
        "changed": now,
    }
    connection.execute(update(bundles).where(bundles.c.id == bundle).values(**values))


def _read(connection: Connection, query: Select[Any]) -> Versions:
    found = (_version(row) for row in connection.execute(query))
    return [version for version in found if version]


def _services(connection: Connection, query: Select[Any]) -> list[StoredService]:
    found = []
    for row in connection.execute(query):
        if version := _version(row):
            found.append(StoredService(version.service, row.owner, row.since, version))
    return found


def _version(row: Row[Any]) -> Version | None:
    """Return the record; ``None``, with a word in the log, for a row that cannot be read.

    One such row must not keep the other services from starting.
    """
    try:
        spec = ServiceSpec.from_dict(row.spec)
    except msgspec.ValidationError as error:
        logger.error("Cannot read version %s of service %s: %s", row.number, row.service, error)
        return None
    return Version(
        row.service,
        row.number,
        row.bundle,
        spec,
        row.created,
        bool(row.current),
        row.owner,
        _access(row.access),
    )


def _access(stored: Any) -> Access:
    """Return who may call; nobody but the owner where that cannot be read."""
    try:
        return msgspec.convert(stored or {}, Access)
    except msgspec.ValidationError as error:
        logger.error("Cannot read the access rules of a service, so access is denied: %s", error)
        return PRIVATE
