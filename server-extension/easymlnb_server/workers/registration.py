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
    """A worker that has connected, and its services."""

    link: WorkerLink
    specs: tuple[ServiceSpec, ...]


class ExpectedWorker(asyncio.Future[RegisteredWorker]):
    """A worker that has not connected yet.

    ``owner`` is the owner of its notebook, ``account`` the user in whose name it calls services,
    and ``bundle`` what it runs.
    """

    owner = ""
    account = ""
    bundle = ""


def secret_hash(secret: str) -> str:
    """Return the hash that the server stores in place of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class WorkerRegistration:
    """Expected workers by the hash of their one-time secret."""

    def __init__(self) -> None:
        self._expected: dict[str, ExpectedWorker] = {}
        self._owner = self._account = self._bundle = ""

    def for_owner(self, owner: str, account: str = "", bundle: str = "") -> "WorkerRegistration":
        """Return a view of the same workers that expects workers of one owner and account."""
        view = copy(self)
        view._owner, view._account, view._bundle = owner, account or owner, bundle
        return view

    def expect(self) -> tuple[str, ExpectedWorker]:
        """Return a new secret and the future of the worker that will present it."""
        secret = secrets.token_urlsafe(32)
        return secret, self.expect_return(secret_hash(secret))

    def expect_return(self, hashed: str) -> ExpectedWorker:
        """Return the future of a worker that will present a secret with this hash."""
        future = ExpectedWorker(loop=asyncio.get_running_loop())
        future.owner, future.account, future.bundle = self._owner, self._account, self._bundle
        self._expected[hashed] = future
        return future

    def claim(self, secret: str) -> ExpectedWorker | None:
        """Return the worker that this secret belongs to, once; ``None`` for an invalid secret."""
        hashed = self._known_hash(secret)
        return self._expected.pop(hashed) if hashed is not None else None

    def peek(self, secret: str) -> ExpectedWorker | None:
        """Return the worker that this secret belongs to, as long as it has not connected."""
        hashed = self._known_hash(secret)
        return self._expected[hashed] if hashed is not None else None

    def _known_hash(self, secret: str) -> str | None:
        hashed = secret_hash(secret)
        return next((one for one in self._expected if hmac.compare_digest(one, hashed)), None)

    def forget(self, hashed: str) -> None:
        """Stop expecting a worker."""
        future = self._expected.pop(hashed, None)
        if future is not None:
            future.cancel()
