"""Owners of names, removal of users, and transfers of services."""

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from easymlnb.contract.errors import NameTaken
from easymlnb_server.identity.names import bundle_of
from easymlnb_server.store.database import Database
from easymlnb_server.store.records import State
from easymlnb_server.store.tables import bundles, people, services, versions


class People:
    """Names of people and the identities that they belong to.

    A name belongs to the first identity that was seen with it, until an administrator moves or
    removes what is kept under it: somebody else who gets the name later gets nothing with it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, str]:
        """Return the identity that each name belongs to."""
        query = select(people.c.name, people.c.identity)

        def work(connection: Connection) -> dict[str, str]:
            return {row.name: row.identity for row in connection.execute(query)}

        return self._database.read(work)

    def bind(self, name: str, identity: str) -> str:
        """Let a name belong to an identity unless it has one; return the one that it has."""
        mine = select(people.c.identity).where(people.c.name == name)

        def work(connection: Connection) -> str:
            known = connection.execute(mine).scalar()
            if known is None:
                connection.execute(insert(people).values(name=name, identity=identity))
            return identity if known is None else str(known)

        return self._database.write(work)

    def owners(self) -> set[str]:
        """Return the names under which something is published or being published."""

        def work(connection: Connection) -> set[str]:
            there = select(services.c.owner).where(services.c.deleted.is_(None))
            coming = select(bundles.c.owner).where(bundles.c.state == State.STARTING)
            rows = [*connection.execute(there), *connection.execute(coming)]
            return {str(row[0]) for row in rows}

        return self._database.read(work)

    def moved(self) -> dict[str, str]:
        """Return the new names of services that changed hands, by their old ones."""
        query = select(services.c.name, services.c.moved).where(services.c.moved.is_not(None))

        def work(connection: Connection) -> dict[str, str]:
            return {row.name: row.moved for row in connection.execute(query)}

        return self._database.read(work)

    def transfer(self, old: str, new: str, identity: str) -> dict[str, str]:
        """Give all that is published under a name to somebody; return new names by old ones.

        ``identity`` is that of ``new``. Where others share services with ``old``, they do with
        ``new``. ``old`` belongs to nobody then. Raises ``NameTaken`` when a service of that name is
        there already, or something is just being published; then nothing was changed.
        """

        def work(connection: Connection) -> dict[str, str]:
            starting = select(bundles.c.id).where(
                bundles.c.owner == old, bundles.c.state == State.STARTING
            )
            if connection.execute(starting).first() is not None:
                raise NameTaken(
                    f"A notebook of {old!r} is being published. Try again when publishing is "
                    "finished."
                )
            rows = connection.execute(
                select(services).where(services.c.owner == old, services.c.deleted.is_(None))
            ).all()
            found = {row.name: _under(new, row.name) for row in rows}
            _check_free(connection, list(found.values()))
            for row in rows:
                _move(connection, row, new, found[row.name])
            for bundle in connection.execute(select(bundles).where(bundles.c.owner == old)).all():
                _give(connection, bundle, new)
            _rename_in_access(connection, lambda name: new if name == old else name)
            connection.execute(delete(people).where(people.c.name.in_([old, new])))
            connection.execute(insert(people).values(name=new, identity=identity))
            return found

        return self._database.write(work)

    def remove(self, name: str) -> list[str]:
        """Remove all that is kept of somebody, and return the names of the services.

        Nobody shares anything with that name afterwards, and it belongs to nobody.
        """

        def work(connection: Connection) -> list[str]:
            own = services.c.owner == name
            query = select(services.c.name).where(own, services.c.deleted.is_(None))
            found = [str(row[0]) for row in connection.execute(query)]
            now = time.time()
            gone = {"deleted": now, "changed": now, "current": None, "access": None, "moved": None}
            connection.execute(delete(versions).where(versions.c.service.in_(found)))
            connection.execute(update(services).where(own).values(**gone))
            connection.execute(delete(bundles).where(bundles.c.owner == name))
            _rename_in_access(connection, lambda one: None if one == name else one)
            connection.execute(delete(people).where(people.c.name == name))
            return found

        return self._database.write(work)


def _under(owner: str, name: str) -> str:
    return f"{owner}/{name.rpartition('/')[2]}"


def _check_free(connection: Connection, names: list[str]) -> None:
    query = select(services.c.name).where(services.c.name.in_(names), services.c.deleted.is_(None))
    if taken := sorted(str(row[0]) for row in connection.execute(query)):
        raise NameTaken(
            f"Services with these names already exist: {', '.join(taken)}. Remove or rename them "
            "first."
        )


def _move(connection: Connection, row: Row[Any], owner: str, name: str) -> None:
    """Give a service another owner and name; its row stays, and says where it went."""
    now = time.time()
    there = connection.execute(select(services).where(services.c.name == name)).one_or_none()
    values = {
        "owner": owner,
        "last": max(row.last, there.last if there is not None else 0),
        "current": row.current,
        "created": row.created,
        "deleted": None,
        "access": row.access,
        "changed": now,
        "moved": None,
    }
    if there is None:
        connection.execute(insert(services).values(name=name, **values))
    else:
        connection.execute(update(services).where(services.c.name == name).values(**values))
    mine = versions.c.service == row.name
    for version in connection.execute(select(versions).where(mine)).all():
        one = mine & (versions.c.number == version.number)
        changed = {"service": name, "spec": {**version.spec, "name": name}}
        connection.execute(update(versions).where(one).values(**changed))
    gone = {"deleted": now, "changed": now, "current": None, "access": None, "moved": name}
    connection.execute(update(services).where(services.c.name == row.name).values(**gone))


def _give(connection: Connection, row: Row[Any], owner: str) -> None:
    """Give a bundle another owner, and another id.

    Ids are made of the owner's name and the content: who gets the name may publish the same.
    """
    id = bundle_of(owner, row.id)
    values = {**row._mapping, "id": id, "owner": owner, "changed": time.time()}
    for column in ("names", "provides"):
        values[column] = [_under(owner, name) for name in values[column]]
    connection.execute(insert(bundles).values(**values))
    connection.execute(update(versions).where(versions.c.bundle == row.id).values(bundle=id))
    connection.execute(delete(bundles).where(bundles.c.id == row.id))


def _rename_in_access(connection: Connection, change: Callable[[str], str | None]) -> None:
    query = select(services.c.name, services.c.access).where(services.c.access.is_not(None))
    for row in connection.execute(query).all():
        users = row.access.get("users") or []
        changed = sorted({one for name in users if (one := change(name)) is not None})
        if changed != sorted(users):
            values = {"access": {**row.access, "users": changed}, "changed": time.time()}
            connection.execute(update(services).where(services.c.name == row.name).values(**values))
