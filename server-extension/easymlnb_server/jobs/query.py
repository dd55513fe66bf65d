"""Numbers in the query of a request."""

from typing import Protocol

from easymlnb.contract.errors import BadRequest


class QueryHandler(Protocol):
    """A handler of Tornado, as far as this module needs it."""

    def get_query_argument(self, name: str, default: str) -> str:
        """Return a query parameter."""


def number(handler: QueryHandler, name: str, default: float, most: float) -> float:
    """Return a query parameter that is a number from 0 to ``most``; raises ``BadRequest``."""
    given = handler.get_query_argument(name, "")
    if not given:
        return default
    try:
        value = float(given) if given.isascii() else -1.0
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise BadRequest(f"{name} must be a number from 0 to {most:g}, not {given[:40]!r}.")
    return value


def whole_number(handler: QueryHandler, name: str, default: int, least: int, most: int) -> int:
    """Return a query parameter that is a whole number in a range; raises ``BadRequest``."""
    given = handler.get_query_argument(name, "")
    if not given:
        return default
    value = int(given) if given.isascii() and given.isdigit() and len(given) < 20 else -1
    if not least <= value <= most:
        raise BadRequest(
            f"{name} must be a whole number from {least} to {most}, not {given[:40]!r}."
        )
    return value
