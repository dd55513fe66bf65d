"""Visitors who wait for a page session, in order of arrival."""

import time

EXPIRES = 20.0
"""Seconds after which a visitor who no longer asks loses the place; pages ask every few seconds."""

Ticket = tuple[str, str]
"""A visitor and the service they want to open."""


class WaitingList:
    """First come, first served, as long as the visitor keeps asking."""

    def __init__(self) -> None:
        self._last_asked: dict[Ticket, float] = {}

    def join(self, ticket: Ticket) -> None:
        """Join the list, or stay on it."""
        now = time.monotonic()
        for other in [one for one, asked in self._last_asked.items() if asked < now - EXPIRES]:
            del self._last_asked[other]
        # A dict keeps the order of entries that are written again.
        self._last_asked[ticket] = now

    def ahead(self, ticket: Ticket) -> int:
        """Return how many visitors come first."""
        return list(self._last_asked).index(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Leave the list."""
        self._last_asked.pop(ticket, None)
