"""Visitors who wait for a page session, in order of arrival."""

import time

FORGOTTEN = 20.0
"""Seconds after which one who asks no more has gone; waiting pages ask every few seconds."""

Ticket = tuple[str, str]
"""A visitor and the service they want to see."""


class WaitingList:
    """First come, first served; whoever stops asking loses the turn."""

    def __init__(self) -> None:
        self._asked: dict[Ticket, float] = {}

    def wait(self, ticket: Ticket) -> None:
        """Stand in the line, or say that one is still there."""
        now = time.monotonic()
        gone = [one for one, asked in self._asked.items() if asked < now - FORGOTTEN]
        for one in gone:
            del self._asked[one]
        # An entry that is written again keeps its place in a dict.
        self._asked[ticket] = now

    def ahead(self, ticket: Ticket) -> int:
        """Return how many come before this one."""
        return list(self._asked).index(ticket)

    def leave(self, ticket: Ticket) -> None:
        """It is this one's turn, or they left."""
        self._asked.pop(ticket, None)
