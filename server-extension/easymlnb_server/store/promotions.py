"""Rows of promotions."""

import time
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from easymlnb.contract.errors import PromotionConflict, PromotionNotFound
from easymlnb_server.store.database import Repository, reading, writing
from easymlnb_server.store.tables import promotions
from easymlnb_server.traffic.promotions import Promotion, PromotionState

LISTED = 20
"""Promotions of a service that a list contains."""

ACTIVE = [state.value for state in PromotionState if state.active]


class PromotionRows(Repository):
    """Promotions that change traffic, and those that ended."""

    @reading
    def active(self, connection: Connection) -> list[Promotion]:
        """Return the promotions that have not ended, oldest first."""
        query = select(promotions).where(promotions.c.state.in_(ACTIVE))
        return [_promotion(row) for row in connection.execute(query.order_by(promotions.c.created))]

    @reading
    def of_service(self, connection: Connection, name: str) -> list[Promotion]:
        """Return the latest promotions of a service, newest first."""
        query = select(promotions).where(promotions.c.service == name)
        query = query.order_by(promotions.c.created.desc(), promotions.c.id).limit(LISTED)
        return [_promotion(row) for row in connection.execute(query)]

    @reading
    def get(self, connection: Connection, name: str, id: str) -> Promotion:
        """Return one promotion of a service; raises ``PromotionNotFound``."""
        query = select(promotions).where(promotions.c.id == id, promotions.c.service == name)
        row = connection.execute(query).one_or_none()
        if row is None:
            raise PromotionNotFound(id)
        return _promotion(row)

    @writing
    def put(self, connection: Connection, promotion: Promotion) -> None:
        """Store a promotion that changes no traffic."""
        put_promotion(connection, promotion)


def put_promotion(connection: Connection, promotion: Promotion) -> None:
    """Store a promotion; raises ``PromotionConflict`` for a second active one of a service."""
    values = {
        "state": promotion.state.value,
        "document": msgspec.to_builtins(promotion),
        "changed": time.time(),
    }
    known = promotions.c.id == promotion.id
    if connection.execute(update(promotions).where(known).values(**values)).rowcount:
        return
    for other in active_of(connection, promotion.service):
        raise PromotionConflict(
            f"Version {other.version} is being promoted (promotion {other.id}). Wait until that "
            "ends, or cancel it.",
            details={"promotion": other.id},
        )
    connection.execute(
        insert(promotions).values(
            id=promotion.id, service=promotion.service, created=promotion.created, **values
        )
    )


def active_of(connection: Connection, name: str) -> list[Promotion]:
    """Return the promotions of a service that have not ended."""
    query = select(promotions).where(promotions.c.service == name, promotions.c.state.in_(ACTIVE))
    return [_promotion(row) for row in connection.execute(query)]


def promoted_versions(connection: Connection, name: str) -> dict[int, list[str]]:
    """Return the versions that an active promotion refers to; a ``Referrer``."""
    found: dict[int, list[str]] = {}
    for promotion in active_of(connection, name):
        for number in (promotion.version, promotion.base):
            found.setdefault(number, []).append(f"the promotion {promotion.id}")
    return found


def _promotion(row: Row[Any]) -> Promotion:
    # A transfer changes the service's name in the row only.
    document = {**row.document, "service": row.service}
    return msgspec.convert(document, Promotion)
