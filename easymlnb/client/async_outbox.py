"""The outbox for ``async`` code: the same file, with all of its work in threads."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from easymlnb.client.messages import Operation
from easymlnb.client.operations import SpecCache
from easymlnb.client.outbox import Delivered, Outbox, Refused
from easymlnb.contract.errors import EasyMLNBError

T = TypeVar("T")


class AsyncOutboxClient(Protocol):
    """What an asynchronous outbox needs of its client."""

    _specs: SpecCache

    async def _run(self, operation: Operation[T]) -> T: ...


class _FromThreads:
    """The client as the threads of an outbox use it: its requests run in the event loop."""

    def __init__(self, client: AsyncOutboxClient) -> None:
        self._specs = client._specs
        self._client = client
        self._loop = asyncio.get_running_loop()

    def _run(self, operation: Operation[T]) -> T:
        running = self._client._run(operation)
        return asyncio.run_coroutine_threadsafe(running, self._loop).result()


class AsyncOutbox:
    """Calls that wait in a file until the server can be reached; see ``Outbox``.

    Create one with ``client.outbox(path)``.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    @classmethod
    async def open(cls, client: AsyncOutboxClient, path: str | Path) -> Self:
        """Open a file, which is created if it is missing."""
        return cls(await asyncio.to_thread(Outbox, _FromThreads(client), path))

    async def put(self, service: str, /, **values: Any) -> str:
        """Store a call, and return its key; the server is not needed."""
        return await asyncio.to_thread(self._outbox.put, service, **values)

    async def prepare(self, *services: str) -> None:
        """Store what the server says about services, while it can be reached."""
        await asyncio.to_thread(self._outbox.prepare, *services)

    async def flush(self) -> int:
        """Send the waiting calls, oldest first; return how many the server accepted."""
        return await asyncio.to_thread(self._outbox.flush)

    async def results(self) -> AsyncIterator[Delivered]:
        """Yield the calls that have ended on the server.

        A call is removed from the file when the next one is asked for.
        """
        found = self._outbox.results()
        while (one := await asyncio.to_thread(next, found, None)) is not None:
            yield one

    async def refused(self) -> list[Refused]:
        """Return the calls that the server refused for good."""
        return await asyncio.to_thread(self._outbox.refused)

    async def remove(self, key: str) -> None:
        """Delete a call from the file; what the server has of it stays."""
        await asyncio.to_thread(self._outbox.remove, key)

    async def counts(self) -> dict[str, int]:
        """Return the number of calls by state: ``waiting``, ``sent`` and ``failed``."""
        return await asyncio.to_thread(lambda: self._outbox.counts)

    @property
    def last_error(self) -> EasyMLNBError | None:
        """Why the last ``flush`` left calls waiting."""
        return self._outbox.last_error

    async def close(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._outbox.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()
