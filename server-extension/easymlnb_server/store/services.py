"""The published services and their versions."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from easymlnb.contract.errors import BundleNotFound, CallCancelled, NameTaken, ServiceNotFound
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import PRIVATE, Access
from easymlnb_server.store import comparisons, credentials, provenance, recordings
from easymlnb_server.store.database import Repository, reading, upsert, writing
from easymlnb_server.store.records import State, Version
from easymlnb_server.store.tables import bundles, services, versions

logger = logging.getLogger(__name__)

_VERSIONS = (
    select(
        *versions.c,
        (services.c.current == versions.c.number).label("current"),
        services.c.owner,
        services.c.access,
    )
    .join(services, services.c.name == versions.c.service)
    .where(services.c.deleted.is_(None))
)
_CURRENT = _VERSIONS.where(services.c.current == versions.c.number)


class Services(Repository):
    """Rows of services and versions."""

    @writing
    def publish(
        self,
        connection: Connection,
        bundle: str,
        specs: Sequence[ServiceSpec],
        *,
        owner: str,
        log: str | None = None,
    ) -> list[Version]:
        """Make new versions of a bundle's services current, and the bundle ready.

        Each service gets the next number, unless its current version is from this bundle already.
        ``log`` is the executed notebook in ``Files``. Raises ``NameTaken`` if a name belongs to
        another owner, ``BundleNotFound``, or ``CallCancelled`` if the start was canceled; then
        nothing was changed.
        """
        now = time.time()
        for spec in specs:
            _publish_one(connection, bundle, spec, owner, now)
        names = [spec.name for spec in specs]
        _set_ready(connection, bundle, names, log, now)
        provenance.record(connection, bundle, names)
        query = _CURRENT.where(versions.c.service.in_(names)).order_by(versions.c.service)
        return _read(connection, query)

    @reading
    def versions(self, connection: Connection, name: str) -> list[Version]:
        """Return all versions of a service, oldest first; raises ``ServiceNotFound``."""
        query = _VERSIONS.where(services.c.name == name).order_by(versions.c.number)
        all_versions = _read(connection, query)
        if not all_versions:
            raise ServiceNotFound(name)
        return all_versions

    @reading
    def for_bundle(self, connection: Connection, bundle: str) -> list[Version]:
        """Return the current versions that are from a bundle, by name."""
        query = _CURRENT.where(versions.c.bundle == bundle).order_by(versions.c.service)
        return _read(connection, query)

    @reading
    def serving(self, connection: Connection) -> dict[str, list[Version]]:
        """Return the current versions by bundle, in the order in which they were published."""
        query = _CURRENT.order_by(versions.c.created, versions.c.service)
        by_bundle: dict[str, list[Version]] = {}
        for version in _read(connection, query):
            by_bundle.setdefault(version.bundle, []).append(version)
        return by_bundle

    @reading
    def access(self, connection: Connection) -> dict[str, Access]:
        """Return each service's access rules."""
        query = select(services.c.name, services.c.access).where(services.c.deleted.is_(None))
        return {row.name: _access(row.access) for row in connection.execute(query)}

    @writing
    def set_access(self, connection: Connection, name: str, access: Access) -> None:
        """Set a service's access rules; raises ``ServiceNotFound``."""
        statement = update(services).where(services.c.name == name, services.c.deleted.is_(None))
        values = {"access": access.to_dict(), "changed": time.time()}
        if not connection.execute(statement.values(**values)).rowcount:
            raise ServiceNotFound(name)

    @writing
    def delete(self, connection: Connection, name: str) -> list[Version]:
        """Delete a service and return its versions; raises ``ServiceNotFound``.

        Its access rules are deleted too. Its version numbers are not used again.
        """
        deleted = _read(connection, _VERSIONS.where(services.c.name == name))
        statement = update(services).where(services.c.name == name, services.c.deleted.is_(None))
        if not connection.execute(statement.values(**deleted_values())).rowcount:
            raise ServiceNotFound(name)
        connection.execute(delete(versions).where(versions.c.service == name))
        credentials.remove_for(connection, [name])
        recordings.delete_of_services(connection, [name])
        comparisons.delete_of_services(connection, [name])
        return deleted


def deleted_values(moved: str | None = None) -> dict[str, Any]:
    """Return the values of a deleted service, which is served under the name ``moved``, if any."""
    now = time.time()
    return {"deleted": now, "changed": now, "current": None, "access": None, "moved": moved}


def _publish_one(
    connection: Connection, bundle: str, spec: ServiceSpec, owner: str, now: float
) -> None:
    row = connection.execute(select(services).where(services.c.name == spec.name)).one_or_none()
    is_new = row is None or row.deleted is not None
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
    if is_new:
        values["created"] = now
    upsert(connection, services, {"name": spec.name}, values)
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


def _read(connection: Connection, query: Select[Any]) -> list[Version]:
    records = (_version(row) for row in connection.execute(query))
    return [version for version in records if version]


def _version(row: Row[Any]) -> Version | None:
    """Return the record; log an error and return ``None`` for an unreadable row.

    One unreadable row must not prevent the other services from starting.
    """
    values = dict(row._mapping)
    try:
        spec = ServiceSpec.from_dict(row.spec)
    except msgspec.ValidationError as error:
        logger.error("Cannot read version %s of service %s: %s", row.number, row.service, error)
        return None
    values |= {"spec": spec, "current": bool(row.current), "access": _access(row.access)}
    return Version(**values)


def _access(stored: Any) -> Access:
    """Return access rules; those of a private service if they are unreadable."""
    try:
        return msgspec.convert(stored or {}, Access)
    except msgspec.ValidationError as error:
        logger.error("Cannot read the access rules of a service, so access is denied: %s", error)
        return PRIVATE
