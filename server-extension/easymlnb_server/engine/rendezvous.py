"""Workers that were started are expected here until they dial home."""

import asyncio
import hmac
import secrets
from dataclasses import dataclass

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.engine.link import WorkerLink


@dataclass(frozen=True, slots=True)
class Arrival:
    """A worker that dialled in, and what it offers."""

    link: WorkerLink
    specs: tuple[ServiceSpec, ...]


class Rendezvous:
    """One-time secrets, and who waits for the worker that comes with each."""

    def __init__(self) -> None:
        self._expected: dict[str, asyncio.Future[Arrival]] = {}

    def expect(self) -> tuple[str, asyncio.Future[Arrival]]:
        """Return a new secret and the future of the worker that will bring it."""
        secret = secrets.token_urlsafe(32)
        future = asyncio.get_running_loop().create_future()
        self._expected[secret] = future
        return secret, future

    def claim(self, secret: str) -> asyncio.Future[Arrival] | None:
        """Return whose secret this is, once; ``None`` for a wrong or used one."""
        for known in self._expected:
            if hmac.compare_digest(known.encode(), secret.encode()):
                return self._expected.pop(known)
        return None

    def forget(self, secret: str) -> None:
        """Stop expecting that worker."""
        future = self._expected.pop(secret, None)
        if future is not None:
            future.cancel()
