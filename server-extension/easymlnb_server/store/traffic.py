"""Changes of traffic, and removal of versions."""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, delete, func, select, update

from easymlnb.contract.errors import ServiceNotFound, VersionInUse, VersionNotFound
from easymlnb_server.store.database import Database, Repository, writing
from easymlnb_server.store.promotions import promoted_versions, put_promotion
from easymlnb_server.store.records import ServiceRecord
from easymlnb_server.store.services import read_records, set_traffic
from easymlnb_server.store.tables import services, versions
from easymlnb_server.traffic.models import Traffic
from easymlnb_server.traffic.promotions import Promotion
from easymlnb_server.traffic.rules import without

Referrer = Callable[[Connection, str], dict[int, list[str]]]
"""Returns in words what refers to the versions of a service, by their numbers."""


class TrafficRows(Repository):
    """Writes how calls are divided among versions, and deletes versions.

    ``referrers`` say which versions must stay, in the transaction that deletes one.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.referrers: list[Referrer] = [promoted_versions]

    @writing
    def set(
        self,
        connection: Connection,
        name: str,
        traffic: Traffic,
        revision: int,
        promotion: Promotion | None = None,
    ) -> ServiceRecord | None:
        """Set a service's traffic; return the service as it is now.

        Returns ``None``, and changes nothing, if its revision is no longer ``revision``. The
        ``promotion`` that makes the change is stored with the new revision. Raises
        ``ServiceNotFound`` or ``PromotionConflict``.
        """
        record = _record(connection, name)
        if record.revision != revision or not traffic.needed <= record.numbers:
            return None
        set_traffic(connection, name, traffic)
        if promotion is not None:
            put_promotion(connection, replace(promotion, revision=revision + 1))
        return _record(connection, name)

    @writing
    def delete_version(self, connection: Connection, name: str, number: int) -> ServiceRecord:
        """Delete a version; return the service as it is now.

        Raises ``ServiceNotFound``, ``VersionNotFound``, or ``VersionInUse`` if something refers to
        the version.
        """
        record = _record(connection, name)
        if number not in record.numbers:
            raise VersionNotFound(str(number), record.numbers)
        users = self._users(connection, record).get(number)
        if users:
            raise VersionInUse(number, users)
        _delete(connection, record, number)
        return _record(connection, name)

    @writing
    def prune(self, connection: Connection, keep: int) -> list[ServiceRecord]:
        """Delete all but the latest ``keep`` versions of each service; return changed services.

        Versions that something refers to stay.
        """
        query = select(versions.c.service).group_by(versions.c.service)
        many = query.having(func.count() > keep).subquery()
        names = list(connection.execute(select(many.c.service)).scalars())
        changed: list[str] = []
        for record in read_records(connection, names) if names else []:
            users = self._users(connection, record)
            old = sorted(record.numbers)[:-keep]
            for number in (one for one in old if not users.get(one)):
                _delete(connection, record, number)
                changed.append(record.name)
        return read_records(connection, set(changed)) if changed else []

    def _users(self, connection: Connection, record: ServiceRecord) -> dict[int, list[str]]:
        found = {number: record.traffic.users_of(number) for number in record.numbers}
        for referrer in self.referrers:
            for number, users in referrer(connection, record.name).items():
                found.setdefault(number, []).extend(users)
        return found


def _record(connection: Connection, name: str) -> ServiceRecord:
    found = read_records(connection, [name])
    if not found:
        raise ServiceNotFound(name)
    return found[0]


def _delete(connection: Connection, record: ServiceRecord, number: int) -> None:
    matches = (versions.c.service == record.name) & (versions.c.number == number)
    connection.execute(delete(versions).where(matches))
    if number in record.traffic.history:
        # Not a change of the traffic: its revision stays.
        traffic = without(_record(connection, record.name).traffic, number)
        values = {"traffic": msgspec.to_builtins(traffic, str_keys=True)}
        connection.execute(update(services).where(services.c.name == record.name).values(**values))
