"""The identity that owns each name: the Hub may give a name to another user later."""

import asyncio

from easymlnb_server.store.people import People


class NameRegistry:
    """Names and the identities that own them, as ``People`` stores them.

    An identity is a fixed property of a user of the Hub; it is empty if the Hub returns none.
    """

    def __init__(self) -> None:
        self._people: People | None = None
        self._identities: dict[str, str] = {}
        self._names: dict[str, frozenset[str]] = {}

    def open(self, people: People) -> None:
        """Load from and write to this store; it blocks."""
        self._people = people
        self.read()

    def read(self) -> None:
        """Reload; it blocks."""
        if self._people is None:
            return
        self._identities = self._people.all()
        names: dict[str, set[str]] = {}
        for name, identity in self._identities.items():
            names.setdefault(identity, set()).add(name)
        self._names = {identity: frozenset(found) for identity, found in names.items()}

    def knows(self, name: str, identity: str) -> bool:
        """Return whether ``bind`` has nothing to do."""
        return not identity or self._people is None or name in self._identities

    async def bind(self, name: str, identity: str) -> None:
        """Bind a name to an identity, unless it is bound."""
        if self._people is not None and not self.knows(name, identity):
            await asyncio.to_thread(self._people.bind, name, identity)
            await asyncio.to_thread(self.read)

    def names(self, name: str, identity: str) -> frozenset[str]:
        """Return the names under which a user has rights; none if the name is another user's."""
        if not identity:
            # Without identities, an unbound name belongs to its user.
            return frozenset() if name in self._identities else frozenset([name])
        if self._people is None:
            return frozenset([name])
        return self._names.get(identity, frozenset())

    def belongs(self, name: str, identity: str) -> bool:
        """Return whether a name is bound to this identity, or unbound."""
        return self._identities.get(name, identity) == identity
