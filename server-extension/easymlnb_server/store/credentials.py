"""Credentials of services, encrypted."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update

from easymlnb.contract.errors import BadRequest, CredentialNotFound
from easymlnb_server.store.database import Repository, reading, upsert, writing
from easymlnb_server.store.tables import credentials


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A credential; ``token`` is its encrypted value, ``owner`` the owner of its service."""

    service: str
    name: str
    owner: str
    token: str
    updated: float
    updated_by: str


class CredentialRows(Repository):
    """Rows of credentials. A service need not be published yet."""

    @reading
    def all(self, connection: Connection) -> list[StoredCredential]:
        """Return the credentials of all services."""
        query = select(credentials).order_by(credentials.c.service, credentials.c.name)
        return [StoredCredential(**row._mapping) for row in connection.execute(query)]

    @writing
    def put(self, connection: Connection, new: StoredCredential, *, limit: int) -> None:
        """Set a credential; raises ``BadRequest`` if its service has ``limit`` others already."""
        other = (credentials.c.service == new.service) & (credentials.c.name != new.name)
        query = select(func.count()).select_from(credentials).where(other)
        if (connection.scalar(query) or 0) >= limit:
            raise BadRequest(
                f"{new.service} has {limit} credentials already, which is the limit. Remove some."
            )
        key = {"service": new.service, "name": new.name}
        values = {
            "owner": new.owner,
            "token": new.token,
            "updated": new.updated,
            "updated_by": new.updated_by,
        }
        upsert(connection, credentials, key, values)

    @writing
    def remove(self, connection: Connection, service: str, name: str) -> None:
        """Remove a credential; raises ``CredentialNotFound``."""
        own = (credentials.c.service == service) & (credentials.c.name == name)
        if not connection.execute(delete(credentials).where(own)).rowcount:
            raise CredentialNotFound(f"{service} has no credential {name!r}.")

    @writing
    def replace_tokens(self, connection: Connection, tokens: Mapping[str, str]) -> None:
        """Replace encrypted values, given as new by old, after a change of the key."""
        for old, new in tokens.items():
            statement = update(credentials).where(credentials.c.token == old)
            connection.execute(statement.values(token=new))


def remove_for(connection: Connection, services: list[str]) -> None:
    """Remove the credentials of services that are removed."""
    connection.execute(delete(credentials).where(credentials.c.service.in_(services)))


def move(connection: Connection, old: str, new: str, owner: str) -> None:
    """Give the credentials of a service to its new name and owner."""
    connection.execute(delete(credentials).where(credentials.c.service == new))
    statement = update(credentials).where(credentials.c.service == old)
    connection.execute(statement.values(service=new, owner=owner))
