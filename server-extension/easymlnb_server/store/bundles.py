"""Accepted bundles and their states."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, select, update

from easymlnb.contract.errors import BundleInUse, BundleNotFound, CallCancelled
from easymlnb_server.store.database import Database
from easymlnb_server.store.records import Added, State, StoredBundle
from easymlnb_server.store.tables import bundles, services, versions

CALLED_OFF = "Publishing was canceled before the service was ready. Publish again to retry."


class Bundles:
    """Rows of bundles; their zips and logs are in ``Files``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        id: str,
        *,
        owner: str,
        manifest: Mapping[str, Any],
        file: str,
        names: Iterable[str] = (),
    ) -> Added:
        """Accept a bundle whose zip is stored as ``file``; it survives from here on.

        ``names`` are the services to publish, none means all that it defines. The answer's
        ``fresh`` is false, and nothing is to be done, when all of them serve from this very bundle
        already or when it is starting for the same names.
        """
        wanted = tuple(sorted(set(names)))

        def work(connection: Connection) -> Added:
            now = time.time()
            row = connection.execute(select(bundles).where(bundles.c.id == id)).one_or_none()
            if row is not None:
                found = _bundle(row)
                if _is_done(connection, found, wanted):
                    if found.state is State.STARTING:  # how it replaces may be said again
                        of = update(bundles).where(bundles.c.id == id)
                        connection.execute(of.values(manifest=dict(manifest)))
                    return Added(_get(connection, id), fresh=False)
            values = {
                "owner": owner,
                "names": list(wanted),
                "manifest": dict(manifest),
                "file": file,
                "state": State.STARTING,
                "error": None,
                "changed": now,
            }
            if row is None:
                new = insert(bundles).values(id=id, provides=[], created=now, **values)
                connection.execute(new)
            else:
                connection.execute(update(bundles).where(bundles.c.id == id).values(**values))
            return Added(_get(connection, id), fresh=True)

        return self._database.write(work)

    def get(self, id: str) -> StoredBundle:
        """Return one bundle; raises ``BundleNotFound``."""
        return self._database.read(lambda connection: _get(connection, id))

    def set_failed(
        self,
        id: str,
        error: Mapping[str, Any],
        *,
        log: str | None = None,
    ) -> bool:
        """Record why a bundle that was starting does not serve; say whether it was starting.

        ``log`` is the executed notebook, as far as it came, in ``Files``.
        """

        def work(connection: Connection) -> bool:
            starting = (bundles.c.id == id) & (bundles.c.state == State.STARTING)
            values = {"state": State.FAILED, "error": dict(error), "log": log}
            changed = update(bundles).where(starting).values(changed=time.time(), **values)
            return connection.execute(changed).rowcount > 0

        return self._database.write(work)

    def call_off(self, id: str) -> None:
        """Record that a bundle shall not start any more, whoever is starting it.

        Of one that does not start it changes nothing. Raises ``BundleInUse``, ``BundleNotFound``.
        """

        def work(connection: Connection) -> None:
            found = _get(connection, id)
            if found.state is State.READY and (serving := _serving(connection, id)):
                raise BundleInUse(sorted(serving))
            if found.state is State.STARTING:
                error = {"code": CallCancelled.code, "message": CALLED_OFF}
                values = {"state": State.FAILED, "error": error, "changed": time.time()}
                connection.execute(update(bundles).where(bundles.c.id == id).values(**values))

        self._database.write(work)

    def unfinished(self) -> list[StoredBundle]:
        """Return the bundles that were starting when the server ended, oldest first."""

        def work(connection: Connection) -> list[StoredBundle]:
            query = select(bundles).where(bundles.c.state == State.STARTING)
            return [_bundle(row) for row in connection.execute(query.order_by(bundles.c.changed))]

        return self._database.read(work)

    def failed(self, *, since: float, limit: int = 200) -> list[StoredBundle]:
        """Return the failed bundles that are the latest of their notebook, newest first.

        Canceled ones are left out, and those that changed before ``since``. At most ``limit``
        bundles of any state are read.
        """

        def work(connection: Connection) -> list[StoredBundle]:
            query = select(bundles).where(bundles.c.changed >= since)
            query = query.order_by(bundles.c.changed.desc()).limit(limit)
            latest: dict[tuple[str, Any], StoredBundle] = {}
            for row in connection.execute(query):
                found = _bundle(row)
                latest.setdefault((found.owner, found.manifest.get("notebook")), found)
            return [one for one in latest.values() if _has_failed(one)]

        return self._database.read(work)

    def unused(self, *, before: float) -> list[StoredBundle]:
        """Return the bundles without a version that have not changed since ``before``."""

        def work(connection: Connection) -> list[StoredBundle]:
            query = select(bundles).where(_is_unused(before)).order_by(bundles.c.id)
            return [_bundle(row) for row in connection.execute(query)]

        return self._database.read(work)

    def remove_unused(self, *, before: float) -> int:
        """Forget what ``unused`` returns; return how many."""

        def work(connection: Connection) -> int:
            return connection.execute(delete(bundles).where(_is_unused(before))).rowcount

        return self._database.write(work)

    def files(self) -> set[str]:
        """Return the names of all files that some bundle needs."""

        def work(connection: Connection) -> set[str]:
            rows = connection.execute(select(bundles.c.file, bundles.c.log))
            return {name for row in rows for name in row if name}

        return self._database.read(work)


def _has_failed(bundle: StoredBundle) -> bool:
    canceled = (bundle.error or {}).get("code") == CallCancelled.code
    return bundle.state is State.FAILED and not canceled


def _get(connection: Connection, id: str) -> StoredBundle:
    row = connection.execute(select(bundles).where(bundles.c.id == id)).one_or_none()
    if row is None:
        raise BundleNotFound(id)
    return _bundle(row)


def _is_done(connection: Connection, found: StoredBundle, wanted: tuple[str, ...]) -> bool:
    if found.state is State.STARTING:
        return found.names == wanted
    if found.state is State.FAILED or (not wanted and found.names):
        return False
    return _serving(connection, found.id).issuperset(wanted or found.provides)


def _serving(connection: Connection, id: str) -> set[str]:
    """Return the services that a bundle answers for now."""
    query = select(versions.c.service).join(
        services,
        (services.c.name == versions.c.service) & (services.c.current == versions.c.number),
    )
    return set(connection.execute(query.where(versions.c.bundle == id)).scalars())


def _is_unused(before: float) -> Any:
    return (
        (bundles.c.state != State.STARTING)
        & (bundles.c.changed < before)
        & ~exists().where(versions.c.bundle == bundles.c.id)
    )


def _bundle(row: Row[Any]) -> StoredBundle:
    told = dict(row._mapping)
    told["names"] = tuple(told["names"])
    told["provides"] = tuple(told["provides"])
    told["state"] = State(told["state"])
    return StoredBundle(**told)
