"""Tokens with which workers read and save models over HTTP, in the name of their account."""

import base64
import hashlib
import hmac
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Whose worker it is: see ``ExpectedWorker``."""

    owner: str
    account: str
    bundle: str


class ModelTokens:
    """Makes and checks the tokens; they end with this server process."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(f"models {secret}".encode()).digest()

    def make(self, worker: WorkerIdentity) -> str:
        """Return a token for a worker."""
        payload = msgspec.json.encode((worker.owner, worker.account, worker.bundle))
        return f"{_text(payload)}.{_text(self._sign(payload))}"

    def find(self, token: str) -> WorkerIdentity | None:
        """Return the worker of a token; ``None`` for an invalid one."""
        first, _, second = token.partition(".")
        try:
            payload = base64.urlsafe_b64decode(first + "==")
            signature = base64.urlsafe_b64decode(second + "==")
        except ValueError:
            return None
        if not hmac.compare_digest(signature, self._sign(payload)):
            return None
        return WorkerIdentity(*msgspec.json.decode(payload, type=tuple[str, str, str]))

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, "sha256")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
