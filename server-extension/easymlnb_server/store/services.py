"""The published services and their versions."""

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, insert, select, tuple_, update

from easymlnb.contract.errors import BundleNotFound, CallCancelled, NameTaken, ServiceNotFound
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import PRIVATE, Access
from easymlnb_server.store import provenance, service_rows
from easymlnb_server.store.call_usage import called_by_others
from easymlnb_server.store.database import Repository, reading, upsert, writing
from easymlnb_server.store.records import BundleState, ServiceRecord, Version, VersionRow
from easymlnb_server.store.tables import bundles, services, versions
from easymlnb_server.traffic.compatibility import differences
from easymlnb_server.traffic.models import Traffic
from easymlnb_server.traffic.rules import switched

logger = logging.getLogger(__name__)

_VERSIONS = (
    select(
        *versions.c,
        services.c.current,
        services.c.traffic,
        services.c.owner,
        services.c.access,
    )
    .join(services, services.c.name == versions.c.service)
    .where(services.c.deleted.is_(None))
)

MOST_PAIRS = 300
"""Versions that one query names."""


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
        stage: bool = False,
        force: bool = False,
    ) -> list[Version]:
        """Make versions of a bundle's services, and the bundle ready; return the versions.

        A service whose latest version is from this bundle gets no other one. The version takes all
        the traffic, unless ``stage`` is set, or it would break callers of the version that answers,
        somebody but the owner calls it, and ``force`` is not set. ``log`` is the executed notebook
        in ``Files``. Raises ``NameTaken`` if a name belongs to another owner, ``BundleNotFound``,
        or ``CallCancelled`` if the start was canceled; then nothing was changed.
        """
        now = time.time()
        made = [
            (spec.name, _publish_one(connection, bundle, spec, owner, now, stage, force))
            for spec in sorted(specs, key=lambda spec: spec.name)
        ]
        names = [spec.name for spec in specs]
        _set_ready(connection, bundle, names, log, now)
        provenance.record(connection, bundle, names)
        return _read_pairs(connection, made)

    @writing
    def expose(
        self, connection: Connection, bundle: str, spec: ServiceSpec, *, owner: str
    ) -> Version:
        """Make a version of a service that workers of a published bundle answer, and return it.

        With the spec that the service has already, nothing changes. Raises ``NameTaken``.
        """
        row = connection.execute(select(services).where(services.c.name == spec.name)).one_or_none()
        if row is not None and row.deleted is None and row.owner == owner:
            present = _read_pairs(connection, [(spec.name, row.current)])
            if present and (present[0].spec, present[0].bundle) == (spec, bundle):
                return present[0]
        now = time.time()
        number = _publish_one(connection, bundle, spec, owner, now, False, True, again=True)
        provenance.record(connection, bundle, [spec.name])
        return _read_pairs(connection, [(spec.name, number)])[0]

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
        """Return the latest version of each service that is from a bundle, by name."""
        query = _VERSIONS.where(versions.c.bundle == bundle)
        found = _read(connection, query.order_by(versions.c.service, versions.c.number))
        return list({version.service: version for version in found}.values())

    @reading
    def serving(self, connection: Connection) -> dict[str, list[Version]]:
        """Return the versions with traffic by bundle, in the order in which they were published."""
        needed = [
            (record.name, number)
            for record in read_records(connection)
            for number in sorted(record.traffic.needed)
        ]
        found = _read_pairs(connection, needed)
        by_bundle: dict[str, list[Version]] = {}
        for version in sorted(found, key=lambda version: (version.created, version.service)):
            by_bundle.setdefault(version.bundle, []).append(version)
        return by_bundle

    @reading
    def records(
        self, connection: Connection, names: Collection[str] | None = None
    ) -> list[ServiceRecord]:
        """Return services with all their versions; ``names`` selects some."""
        return read_records(connection, names)

    @reading
    def find_versions(
        self, connection: Connection, pairs: Collection[tuple[str, int]]
    ) -> list[Version]:
        """Return the versions with these services and numbers, as far as they exist."""
        return _read_pairs(connection, pairs)

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
        service_rows.remove_rows(connection, [name])
        return deleted


def deleted_values(moved: str | None = None) -> dict[str, Any]:
    """Return the values of a deleted service, which is served under the name ``moved``, if any."""
    now = time.time()
    values = {"deleted": now, "changed": now, "current": None, "access": None, "moved": moved}
    return {**values, "traffic": None}


def traffic_of(row: Any) -> Traffic:
    """Return the traffic of a service's row."""
    if not row.traffic:
        return Traffic.undivided(row.current)
    return msgspec.convert(row.traffic, Traffic, str_keys=True)


def set_traffic(connection: Connection, name: str, traffic: Traffic) -> None:
    """Store the traffic of a service."""
    values = {
        "traffic": msgspec.to_builtins(traffic, str_keys=True),
        "current": traffic.primary,
        "revision": services.c.revision + 1,
        "changed": time.time(),
    }
    connection.execute(update(services).where(services.c.name == name).values(**values))


def read_records(
    connection: Connection, names: Collection[str] | None = None
) -> list[ServiceRecord]:
    """Return services with all their versions, by name."""
    query = select(services).where(services.c.deleted.is_(None)).order_by(services.c.name)
    rows = select(versions.c.service, versions.c.number, versions.c.bundle, versions.c.created)
    if names is not None:
        query = query.where(services.c.name.in_(names))
        rows = rows.where(versions.c.service.in_(names))
    known: dict[str, list[VersionRow]] = {}
    for row in connection.execute(rows.order_by(versions.c.service, versions.c.number)):
        known.setdefault(row.service, []).append(VersionRow(row.number, row.bundle, row.created))
    return [
        ServiceRecord(
            row.name,
            row.owner,
            _access(row.access),
            traffic_of(row),
            row.revision,
            tuple(known.get(row.name, ())),
        )
        for row in connection.execute(query)
    ]


def _publish_one(
    connection: Connection,
    bundle: str,
    spec: ServiceSpec,
    owner: str,
    now: float,
    stage: bool,
    force: bool,
    *,
    again: bool = False,
) -> int:
    """Make a version of a service if there is none yet; return its number.

    With ``again``, it gets another version also if the latest one is from this bundle.
    """
    row = connection.execute(select(services).where(services.c.name == spec.name)).one_or_none()
    if row is None or row.deleted is not None:
        number = 1 if row is None else row.last + 1
        values: dict[str, Any] = {"owner": owner, "last": number, "current": number}
        values |= {"deleted": None, "changed": now, "created": now, "moved": None, "traffic": None}
        upsert(connection, services, {"name": spec.name}, values)
        _insert(connection, spec, number, bundle, now)
        return number
    if row.owner != owner:
        raise NameTaken(f"The service {spec.name!r} belongs to {row.owner!r}. Choose another name.")
    return _publish_again(connection, row, bundle, spec, now, stage, force, again=again)


def _publish_again(
    connection: Connection,
    row: Row[Any],
    bundle: str,
    spec: ServiceSpec,
    now: float,
    stage: bool,
    force: bool,
    *,
    again: bool = False,
) -> int:
    """Make a version of a service that has some; return its number."""
    traffic = traffic_of(row)
    undivided = len(traffic.weights) == 1 and not again
    if undivided and _is_from(connection, row.name, row.current, bundle):
        return int(row.current)
    number = int(row.last)
    if again or not _is_from(connection, row.name, number, bundle):
        number += 1
        values = {"last": number, "changed": now}
        connection.execute(update(services).where(services.c.name == row.name).values(**values))
        _insert(connection, spec, number, bundle, now)
    if not stage and (force or not _breaks_callers(connection, row, spec)):
        set_traffic(connection, row.name, switched(traffic, number))
    return number


def _insert(
    connection: Connection, spec: ServiceSpec, number: int, bundle: str, now: float
) -> None:
    connection.execute(
        insert(versions).values(
            service=spec.name, number=number, bundle=bundle, spec=spec.to_dict(), created=now
        )
    )


def _breaks_callers(connection: Connection, service: Row[Any], spec: ServiceSpec) -> bool:
    """Return whether a spec would break callers, other than the owner, of the current version."""
    current = _read_pairs(connection, [(service.name, service.current)])
    broken = bool(current and differences(current[0].spec, spec))
    return broken and called_by_others(connection, service.name, service.owner)


def _is_from(connection: Connection, service: str, number: int, bundle: str) -> bool:
    query = select(versions.c.bundle).where(
        versions.c.service == service, versions.c.number == number
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
    if before.state == BundleState.FAILED:
        raise CallCancelled("Publishing was canceled.")
    values = {
        "state": BundleState.READY,
        "error": None,
        "log": log,
        "provides": sorted({*before.provides, *names}),
        "changed": now,
    }
    connection.execute(update(bundles).where(bundles.c.id == bundle).values(**values))


def _read_pairs(connection: Connection, pairs: Iterable[tuple[str, int]]) -> list[Version]:
    """Return the versions with these services and numbers, in this order."""
    wanted = list(pairs)
    found: dict[tuple[str, int], Version] = {}
    for start in range(0, len(wanted), MOST_PAIRS):
        some = wanted[start : start + MOST_PAIRS]
        query = _VERSIONS.where(tuple_(versions.c.service, versions.c.number).in_(some))
        found |= {(one.service, one.number): one for one in _read(connection, query)}
    return [found[pair] for pair in wanted if pair in found]


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
    traffic = traffic_of(row)
    del values["traffic"]
    values |= {
        "spec": spec,
        "current": row.current == row.number,
        "access": _access(row.access),
        "weight": traffic.weights.get(row.number, 0.0),
        "aliases": tuple(alias for alias, at in traffic.aliases.items() if at == row.number),
    }
    return Version(**values)


def _access(stored: Any) -> Access:
    """Return access rules; those of a private service if they are unreadable."""
    try:
        return msgspec.convert(stored or {}, Access)
    except msgspec.ValidationError as error:
        logger.error("Cannot read the access rules of a service, so access is denied: %s", error)
        return PRIVATE
