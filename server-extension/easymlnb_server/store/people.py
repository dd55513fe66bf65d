"""Owners of names, removal of users, and transfers of services."""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from easymlnb.contract.errors import NameTaken, ServiceNotFound
from easymlnb_server.identity.names import bundle_id, qualified_name
from easymlnb_server.store import service_rows
from easymlnb_server.store.database import Repository, reading, upsert, writing
from easymlnb_server.store.provenance import PUBLISHER
from easymlnb_server.store.records import BundleState
from easymlnb_server.store.service_rows import REMOVED
from easymlnb_server.store.services import deleted_values
from easymlnb_server.store.tables import bundles, people, released_names, services, versions

ACCOUNT = "account"
"""The key in a stored manifest with the user as whom workers run, if it is not the publisher."""


class People(Repository):
    """User names and the identities that they belong to.

    A name belongs to the first identity that used it, until an administrator transfers or removes
    what is stored under it. Another person who gets the name later therefore gets no access.
    """

    @reading
    def all(self, connection: Connection) -> dict[str, str]:
        """Return the identity of each name."""
        rows = connection.execute(select(people.c.name, people.c.identity))
        return {row.name: row.identity for row in rows}

    @writing
    def bind(self, connection: Connection, name: str, identity: str) -> str:
        """Bind a name to an identity unless it is bound; return the identity that it has."""
        query = select(people.c.identity).where(people.c.name == name)
        known = connection.execute(query).scalar()
        if known is None:
            connection.execute(insert(people).values(name=name, identity=identity))
        return identity if known is None else str(known)

    @reading
    def owners(self, connection: Connection) -> set[str]:
        """Return the users who have published something or are publishing it."""
        published = select(services.c.owner).where(services.c.deleted.is_(None))
        starting = select(bundles.c.owner).where(bundles.c.state == BundleState.STARTING)
        return set(connection.execute(published.union(starting)).scalars())

    @reading
    def moved(self, connection: Connection) -> dict[str, str]:
        """Return the new names of transferred services by their old ones."""
        query = select(services.c.name, services.c.moved).where(services.c.moved.is_not(None))
        return {row.name: row.moved for row in connection.execute(query)}

    @writing
    def transfer(self, connection: Connection, old: str, new: str, identity: str) -> dict[str, str]:
        """Transfer everything that ``old`` published to ``new``; return new names by old ones.

        Services shared with ``old`` are then shared with ``new``, who gets the jobs of ``old`` too.
        The API keys of ``old`` are revoked. ``identity`` is that of ``new``; the name ``old``
        becomes free. Raises ``NameTaken`` if ``new`` has a service with the same
        name, or if ``old`` is publishing a notebook; then nothing was changed.
        """
        _check_nothing_starts(connection, old)
        rows = connection.execute(
            select(services).where(services.c.owner == old, services.c.deleted.is_(None))
        ).all()
        names = {row.name: _under(new, row.name) for row in rows}
        _check_free(connection, list(names.values()))
        for row in rows:
            _move(connection, row, new, names[row.name])
        for bundle in connection.execute(select(bundles).where(bundles.c.owner == old)).all():
            _move_bundle(connection, bundle, new)
        service_rows.move_user(connection, old, new)
        _replace_account(connection, old, new)
        _rename_in_access(connection, lambda name: new if name == old else name)
        connection.execute(delete(people).where(people.c.name.in_([old, new])))
        _release(connection, old)
        connection.execute(insert(people).values(name=new, identity=identity))
        return names

    @writing
    def transfer_service(self, connection: Connection, name: str, owner: str) -> str:
        """Give one service to another user or group; return its new name.

        Its workers keep running as the user who published it. Raises ``ServiceNotFound``, or
        ``NameTaken`` if the new owner has a service with the same name or a notebook of the present
        owner is being published; then nothing was changed.
        """
        query = select(services).where(services.c.name == name, services.c.deleted.is_(None))
        row = connection.execute(query).one_or_none()
        if row is None:
            raise ServiceNotFound(name)
        _check_nothing_starts(connection, row.owner)
        new = _under(owner, name)
        _check_free(connection, [new])
        _move(connection, row, owner, new)
        used = select(versions.c.bundle).where(versions.c.service == new).distinct()
        for bundle in connection.execute(select(bundles).where(bundles.c.id.in_(used))).all():
            _split_bundle(connection, bundle, owner, name, new)
        return new

    @reading
    def accounts(self, connection: Connection) -> dict[str, str]:
        """Return the user as whom the workers of each bundle run."""
        rows = connection.execute(select(bundles.c.id, bundles.c.owner, bundles.c.manifest))
        return {row.id: _account(row) for row in rows.all()}

    @writing
    def remove(self, connection: Connection, name: str) -> list[str]:
        """Remove everything that a user published; return the names of the services.

        The user's jobs are deleted and the user's API keys revoked. No service is shared with the
        name afterwards, and the name becomes free.
        """
        own = services.c.owner == name
        query = select(services.c.name).where(own, services.c.deleted.is_(None))
        names = list(connection.execute(query).scalars())
        service_rows.remove_rows(connection, names)
        service_rows.remove_user(connection, name, names)
        connection.execute(update(services).where(own).values(**deleted_values()))
        connection.execute(delete(bundles).where(bundles.c.owner == name))
        # Another user who gets the name later must not run what this one published for others.
        _replace_account(connection, name, REMOVED)
        _rename_in_access(connection, lambda user: None if user == name else user)
        connection.execute(delete(people).where(people.c.name == name))
        _release(connection, name)
        return names


def _release(connection: Connection, name: str) -> None:
    upsert(connection, released_names, {"name": name}, {"time": time.time()})


def _check_nothing_starts(connection: Connection, owner: str) -> None:
    starting = select(bundles.c.id).where(
        bundles.c.owner == owner, bundles.c.state == BundleState.STARTING
    )
    if connection.execute(starting).first() is not None:
        raise NameTaken(
            f"A notebook of {owner!r} is being published. Try again when publishing is finished."
        )


def _account(row: Any) -> str:
    return str(row.manifest.get(ACCOUNT) or row.manifest.get(PUBLISHER) or row.owner)


def _replace_account(connection: Connection, old: str, new: str) -> None:
    for row in connection.execute(select(bundles)).all():
        if _account(row) == old:
            manifest = {**row.manifest, ACCOUNT: new}
            statement = update(bundles).where(bundles.c.id == row.id)
            connection.execute(statement.values(manifest=manifest))


def _split_bundle(connection: Connection, row: Row[Any], owner: str, old: str, new: str) -> None:
    """Give one service of a bundle a bundle of its new owner, with the same content."""
    id = bundle_id(owner, row.id)
    values = {**row._mapping, "id": id, "owner": owner, "changed": time.time()}
    values |= {"names": [new], "provides": [new]}
    values["manifest"] = {**row.manifest, ACCOUNT: _account(row)}
    connection.execute(insert(bundles).values(**values))
    own = (versions.c.service == new) & (versions.c.bundle == row.id)
    connection.execute(update(versions).where(own).values(bundle=id))
    service_rows.move_bundle(connection, row.id, id, new)
    left = connection.execute(select(versions.c.service).where(versions.c.bundle == row.id)).first()
    if left is None:
        connection.execute(delete(bundles).where(bundles.c.id == row.id))
        return
    provides = [name for name in row.provides if name != old]
    connection.execute(update(bundles).where(bundles.c.id == row.id).values(provides=provides))


def _under(owner: str, name: str) -> str:
    return qualified_name(owner, name.rpartition("/")[2])


def _check_free(connection: Connection, names: list[str]) -> None:
    query = select(services.c.name).where(services.c.name.in_(names), services.c.deleted.is_(None))
    if taken := sorted(connection.execute(query).scalars()):
        raise NameTaken(
            f"Services with these names already exist: {', '.join(taken)}. Remove or rename them "
            "first."
        )


def _move(connection: Connection, row: Row[Any], owner: str, name: str) -> None:
    """Give a service another owner and name. Its old row stays and refers to the new name."""
    query = select(services.c.last).where(services.c.name == name)
    last = connection.execute(query).scalar() or 0
    values = {**row._mapping, "owner": owner, "last": max(row.last, last), "changed": time.time()}
    del values["name"]
    upsert(connection, services, {"name": name}, values)
    service_rows.move_rows(connection, row.name, name, owner)
    statement = update(services).where(services.c.name == row.name)
    connection.execute(statement.values(**deleted_values(moved=name)))


def _move_bundle(connection: Connection, row: Row[Any], owner: str) -> None:
    """Give a bundle another owner, and another id.

    The id depends on the owner, so the next user of the old name can publish the same content.
    """
    id = bundle_id(owner, row.id)
    values = {**row._mapping, "id": id, "owner": owner, "changed": time.time()}
    for column in ("names", "provides"):
        values[column] = [_under(owner, name) for name in values[column]]
    connection.execute(insert(bundles).values(**values))
    connection.execute(update(versions).where(versions.c.bundle == row.id).values(bundle=id))
    service_rows.move_bundle(connection, row.id, id)
    connection.execute(delete(bundles).where(bundles.c.id == row.id))


def _rename_in_access(connection: Connection, rename: Callable[[str], str | None]) -> None:
    query = select(services.c.name, services.c.access).where(services.c.access.is_not(None))
    for row in connection.execute(query).all():
        changed = _renamed(row.access, rename)
        if maintainers := changed.get("maintainers"):
            changed["maintainers"] = _renamed(maintainers, rename)
        if changed != row.access:
            values = {"access": changed, "changed": time.time()}
            connection.execute(update(services).where(services.c.name == row.name).values(**values))


def _renamed(rules: dict[str, Any], rename: Callable[[str], str | None]) -> dict[str, Any]:
    users = rules.get("users") or []
    return {**rules, "users": sorted({new for name in users if (new := rename(name)) is not None})}
