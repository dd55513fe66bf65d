"""Rows that belong to somebody, who may have a limited number of them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select


def add_owned(connection: Connection, table: Table, row: Mapping[str, Any], most: int) -> bool:
    """Add a row with ``id`` and ``owner``; ``False`` if its owner has ``most`` already.

    A row that exists is left as it is: the transaction may run again.
    """
    own = select(func.count()).select_from(table).where(table.c.owner == row["owner"])
    if connection.scalar(select(table.c.id).where(table.c.id == row["id"])) is not None:
        return True
    if (connection.scalar(own) or 0) >= most:
        return False
    connection.execute(insert(table), row)
    return True
