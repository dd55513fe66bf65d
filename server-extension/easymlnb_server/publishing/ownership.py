"""Change the owners of published services."""

import asyncio
from collections.abc import Collection

from easymlnb_server.publishing.publisher import Publisher

_thread = asyncio.to_thread


class Ownership:
    """Transfers services, and removes those of a former user.

    Parameters
    ----------
    publisher
        Serves what is published; the services change with it.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def remove_owner(self, owner: str) -> list[str]:
        """Remove all that somebody published, or is publishing; return the services' names."""
        publisher = self._publisher
        async with publisher.lock:
            for stored in await _thread(publisher.store.bundles.unfinished):
                if stored.owner == owner:
                    await publisher.call_off(stored.id)
            removed = await _thread(lambda: publisher.store.people.remove(owner))
            publisher.accounts.load(await _thread(publisher.store.people.accounts))
            for name in removed:
                publisher.published.remove(name)
            publisher.deployments.settle()
        await publisher.read_moved()
        return removed

    async def transfer(self, owner: str, to: str, identity: str) -> dict[str, str]:
        """Give all that ``owner`` published to ``to``; return new names by old ones.

        Workers end once their calls are done, and start again as those of ``to``, who has this
        ``identity``. Raises ``NameTaken``.
        """
        publisher = self._publisher
        async with publisher.lock:
            moved = await _thread(lambda: publisher.store.people.transfer(owner, to, identity))
            for name in moved:
                publisher.published.remove(name)
            publisher.deployments.settle()
            await self._take_up_again(set(moved.values()))
        await publisher.read_moved()
        return moved

    async def transfer_service(self, name: str, owner: str) -> str:
        """Give one service to a user or group; return its new name.

        Its workers start again, as the user who published it. Raises ``NameTaken``.
        """
        publisher = self._publisher
        async with publisher.lock:
            new = await _thread(lambda: publisher.store.people.transfer_service(name, owner))
            publisher.published.remove(name)
            publisher.deployments.settle()
            await self._take_up_again({new})
        await publisher.read_moved()
        return new

    async def _take_up_again(self, names: Collection[str]) -> None:
        """Serve what has got these names."""
        publisher = self._publisher
        publisher.accounts.load(await _thread(publisher.store.people.accounts))
        records = await _thread(lambda: publisher.store.services.records(names))
        serving = await _thread(publisher.store.services.serving)
        found = {
            bundle: some
            for bundle, versions in serving.items()
            if (some := [one for one in versions if one.service in names])
        }
        publisher.deployments.serve_all(records, found, publisher.deployment, {})
