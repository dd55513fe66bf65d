"""Which identity owns a name: the Hub may give a name to another person later."""

import asyncio

from easymlnb_server.store.people import People


class Register:
    """Names and the identities that they belong to, as ``People`` has them.

    An identity is what the Hub says of a user and nobody can change, empty where it says nothing.
    """

    def __init__(self) -> None:
        self._people: People | None = None
        self._identities: dict[str, str] = {}
        self._names: dict[str, frozenset[str]] = {}

    def open(self, people: People) -> None:
        """Read what is known, and write to this from now on; it blocks."""
        self._people = people
        self.read()

    def read(self) -> None:
        """Read again; it blocks."""
        if self._people is None:
            return
        self._identities = self._people.all()
        names: dict[str, set[str]] = {}
        for name, identity in self._identities.items():
            names.setdefault(identity, set()).add(name)
        self._names = {identity: frozenset(found) for identity, found in names.items()}

    def knows(self, name: str, identity: str) -> bool:
        """Say whether there is nothing to be written of somebody."""
        return not identity or self._people is None or name in self._identities

    async def bind(self, name: str, identity: str) -> None:
        """Let a name belong to whom it was seen with, unless it belongs to somebody."""
        if self._people is not None and not self.knows(name, identity):
            await asyncio.to_thread(self._people.bind, name, identity)
            await asyncio.to_thread(self.read)

    def names(self, name: str, identity: str) -> frozenset[str]:
        """Return the names under which somebody has rights; none for whose name is another's."""
        if not identity:
            # The Hub does not tell people apart: a name that belongs to nobody is good.
            return frozenset() if name in self._identities else frozenset([name])
        if self._people is None:
            return frozenset([name])
        return self._names.get(identity, frozenset())

    def belongs(self, name: str, identity: str) -> bool:
        """Say whether a name is still that of whom it belongs to here."""
        return self._identities.get(name, identity) == identity
