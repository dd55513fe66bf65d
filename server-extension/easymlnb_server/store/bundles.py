"""Accepted bundles and their states."""

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, delete, exists, select, update

from easymlnb.contract.environment_lock import EnvironmentLock
from easymlnb.contract.errors import BundleInUse, BundleNotFound, CallCancelled
from easymlnb_server.store.database import Repository, reading, upsert, writing
from easymlnb_server.store.records import Added, BundleState, StoredBundle
from easymlnb_server.store.tables import bundles, jobs, services, versions

CANCELED = "Publishing was canceled before the service was ready. Publish again to retry."


class Bundles(Repository):
    """Rows of bundles; their zips and logs are in ``Files``."""

    @writing
    def add(
        self,
        connection: Connection,
        id: str,
        *,
        owner: str,
        manifest: Mapping[str, Any],
        file: str,
        names: Iterable[str] = (),
        stage: bool = False,
    ) -> Added:
        """Accept a bundle whose zip is stored as ``file``.

        ``names`` are the services to publish; empty for all. The result's ``is_new`` is false, and
        nothing needs to start, if the bundle is starting for the same names or serves all of them,
        or if it made the latest version of all of them and ``stage`` is set.
        """
        wanted = tuple(sorted(set(names)))
        row = connection.execute(select(bundles).where(bundles.c.id == id)).one_or_none()
        known = _bundle(row) if row is not None else None
        if known is not None and _is_done(connection, known, wanted, stage):
            if (
                known.state is BundleState.STARTING
            ):  # with another way to replace the former version
                statement = update(bundles).where(bundles.c.id == id)
                connection.execute(statement.values(manifest=dict(manifest)))
            return Added(_get(connection, id), is_new=False)
        now = time.time()
        values = {
            "owner": owner,
            "names": list(wanted),
            "manifest": dict(manifest),
            "file": file,
            "state": BundleState.STARTING,
            "error": None,
            "changed": now,
        }
        upsert(connection, bundles, {"id": id}, values, if_new={"provides": [], "created": now})
        return Added(_get(connection, id), is_new=True)

    @reading
    def get(self, connection: Connection, id: str) -> StoredBundle:
        """Return one bundle; raises ``BundleNotFound``."""
        return _get(connection, id)

    @writing
    def set_failed(
        self,
        connection: Connection,
        id: str,
        error: Mapping[str, Any],
        *,
        log: str | None = None,
    ) -> bool:
        """Record why a starting bundle failed; return ``False`` if it was not starting.

        ``log`` is the partially executed notebook in ``Files``.
        """
        return _set_failed(connection, id, dict(error), log=log)

    @writing
    def cancel(self, connection: Connection, id: str) -> None:
        """Record that a starting bundle must not start.

        Raises ``BundleInUse`` if it serves and ``BundleNotFound``. A failed bundle is unchanged.
        """
        bundle = _get(connection, id)
        if bundle.state is BundleState.READY and (names := _serving(connection, id)):
            raise BundleInUse(sorted(names))
        _set_failed(connection, id, {"code": CallCancelled.code, "message": CANCELED})

    @reading
    def unfinished(self, connection: Connection) -> list[StoredBundle]:
        """Return the bundles that were starting when the server ended, oldest first."""
        query = select(bundles).where(bundles.c.state == BundleState.STARTING)
        return [_bundle(row) for row in connection.execute(query.order_by(bundles.c.changed))]

    @reading
    def failed(
        self, connection: Connection, *, since: float, limit: int = 200
    ) -> list[StoredBundle]:
        """Return failed bundles that are the latest of their notebook, newest first.

        Bundles that were canceled, or have not changed since ``since``, are left out. At most
        ``limit`` bundles of any state are read.
        """
        query = select(bundles).where(bundles.c.changed >= since)
        query = query.order_by(bundles.c.changed.desc()).limit(limit)
        latest: dict[tuple[str, Any], StoredBundle] = {}
        for row in connection.execute(query):
            bundle = _bundle(row)
            latest.setdefault((bundle.owner, bundle.manifest.get("notebook")), bundle)
        return [bundle for bundle in latest.values() if _has_failed(bundle)]

    @writing
    def remove_unused(self, connection: Connection, *, before: float) -> int:
        """Remove bundles without a version that last changed before ``before``; return how many.

        Bundles that are starting, or that a job needs which has not ended, are kept.
        """
        return connection.execute(delete(bundles).where(_unused(before))).rowcount

    @reading
    def locks(self, connection: Connection) -> set[str]:
        """Return the hashes of all locked environments that a bundle needs."""
        manifests = connection.execute(select(bundles.c.manifest)).scalars()
        locks = [manifest["lock"] for manifest in manifests if manifest.get("lock")]
        return {msgspec.convert(lock, EnvironmentLock).id for lock in locks}

    @reading
    def unused(self, connection: Connection, *, before: float) -> list[StoredBundle]:
        """Return the bundles that ``remove_unused`` would remove, oldest first."""
        query = select(bundles).where(_unused(before)).order_by(bundles.c.changed)
        return [_bundle(row) for row in connection.execute(query)]

    @reading
    def files(self, connection: Connection, *, without: Collection[str] = ()) -> set[str]:
        """Return the names of all files that a bundle needs; some bundles can be left out."""
        rows = connection.execute(select(bundles.c.id, bundles.c.file, bundles.c.log))
        kept = [row for row in rows if row.id not in without]
        return {name for row in kept for name in (row.file, row.log) if name}


def _unused(before: float) -> ColumnElement[bool]:
    return (
        (bundles.c.state != BundleState.STARTING)
        & (bundles.c.changed < before)
        & ~exists().where(versions.c.bundle == bundles.c.id)
        & ~exists().where(jobs.c.bundle == bundles.c.id, jobs.c.ended.is_(None))
    )


def _set_failed(
    connection: Connection, id: str, error: dict[str, Any], *, log: str | None = None
) -> bool:
    starting = (bundles.c.id == id) & (bundles.c.state == BundleState.STARTING)
    values = {"state": BundleState.FAILED, "error": error, "log": log, "changed": time.time()}
    return connection.execute(update(bundles).where(starting).values(**values)).rowcount > 0


def _has_failed(bundle: StoredBundle) -> bool:
    canceled = (bundle.error or {}).get("code") == CallCancelled.code
    return bundle.state is BundleState.FAILED and not canceled


def _get(connection: Connection, id: str) -> StoredBundle:
    row = connection.execute(select(bundles).where(bundles.c.id == id)).one_or_none()
    if row is None:
        raise BundleNotFound(id)
    return _bundle(row)


def _is_done(
    connection: Connection, bundle: StoredBundle, wanted: tuple[str, ...], stage: bool
) -> bool:
    if bundle.state is BundleState.STARTING:
        return bundle.names == wanted
    if bundle.state is BundleState.FAILED or (not wanted and bundle.names):
        return False
    serving = _serving(connection, bundle.id, services.c.last if stage else services.c.current)
    return serving.issuperset(wanted or bundle.provides)


def _serving(
    connection: Connection, id: str, number: ColumnElement[int] = services.c.current
) -> set[str]:
    """Return the services whose version with this number is from this bundle."""
    query = select(versions.c.service).join(
        services, (services.c.name == versions.c.service) & (number == versions.c.number)
    )
    return set(connection.execute(query.where(versions.c.bundle == id)).scalars())


def _bundle(row: Row[Any]) -> StoredBundle:
    values = dict(row._mapping)
    values["names"] = tuple(values["names"])
    values["provides"] = tuple(values["provides"])
    values["state"] = BundleState(values["state"])
    return StoredBundle(**values)
