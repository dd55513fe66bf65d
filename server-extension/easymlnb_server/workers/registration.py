"""Workers that are expected to connect: new ones, and those that lost their link."""

import asyncio
import hashlib
import hmac
import secrets
from copy import copy
from dataclasses import dataclass

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.worker_link import WorkerLink


@dataclass(frozen=True, slots=True)
class RegisteredWorker:
    """A worker that dialled in, and what it offers."""

    link: WorkerLink
    specs: tuple[ServiceSpec, ...]


class ExpectedWorker(asyncio.Future[RegisteredWorker]):
    """A worker that is to come; ``owner`` is whose notebook it runs."""

    owner = ""


def secret_hash(secret: str) -> str:
    """Return what is kept of a secret: it proves the secret and does not give it away."""
    return hashlib.sha256(secret.encode()).hexdigest()


class WorkerRegistration:
    """One-time secrets, and who waits for the worker that comes with each."""

    def __init__(self) -> None:
        self._expected: dict[str, ExpectedWorker] = {}
        self._owner = ""

    def of(self, owner: str) -> "WorkerRegistration":
        """Return the same place, for those who wait for the workers of one owner."""
        made = copy(self)
        made._owner = owner
        return made

    def expect(self) -> tuple[str, ExpectedWorker]:
        """Return a new secret and the future of the worker that will bring it."""
        secret = secrets.token_urlsafe(32)
        return secret, self.expect_again(secret_hash(secret))

    def expect_again(self, token: str) -> ExpectedWorker:
        """Return the future of a worker that comes back with the secret of this token."""
        future = ExpectedWorker(loop=asyncio.get_running_loop())
        future.owner = self._owner
        self._expected[token] = future
        return future

    def claim(self, secret: str) -> ExpectedWorker | None:
        """Return whose secret this is, once; ``None`` for a wrong or used one."""
        token = secret_hash(secret)
        for known in self._expected:
            if hmac.compare_digest(known, token):
                return self._expected.pop(known)
        return None

    def forget(self, token: str) -> None:
        """Stop expecting the worker that was to come with the secret of this token."""
        future = self._expected.pop(token, None)
        if future is not None:
            future.cancel()
