"""Passes: what lets the page of one visitor call one service, as long as the page lives."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

SCHEME = "easymlnb-pass"
"""How the ``Authorization`` header of a pass begins."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Good for one service. ``visitor`` tells whose calls these are; ``public`` ends with the
    service's own ``public``.
    """

    service: str
    visitor: str
    public: bool
    chain: tuple[str, ...] = ()
    """The services whose calls wait for the one that this opens."""


class Passes:
    """The passes that are out. Only their hashes are kept."""

    def __init__(self) -> None:
        self._out: dict[str, Pass] = {}
        self.key = ""
        """What other server processes sign with; empty: there are none."""

    def give(self, service: str, visitor: str, *, public: bool) -> str:
        """Return the secret of a new pass."""
        secret = secrets.token_urlsafe(32)
        self._out[_key(secret)] = Pass(service, visitor, public)
        return secret

    def find(self, header: str) -> Pass | None:
        """Return the pass that an ``Authorization`` header shows, if it shows a good one."""
        scheme, _, secret = header.partition(" ")
        if scheme != SCHEME:
            return None
        return self._out.get(_key(secret.strip())) or self._signed(secret.strip())

    def revoke(self, secret: str) -> None:
        """Let it open nothing from the next request on."""
        self._out.pop(_key(secret), None)

    def _signed(self, secret: str) -> Pass | None:
        told, dot, proof = secret.partition(".")
        if not (dot and self.key and proof.isascii()):
            return None
        if not hmac.compare_digest(proof, _proof(self.key, told)):
            return None
        service, visitor, *chain = json.loads(base64.urlsafe_b64decode(told))
        return Pass(service, visitor, False, tuple(chain))

    def __len__(self) -> int:
        return len(self._out)


def sign(key: str, service: str, asker: str, chain: Iterable[str] = ()) -> str:
    """Return the secret of a pass for one call of ``asker``'s service to another process's.

    ``chain`` are the services whose calls wait for it.
    """
    told = base64.urlsafe_b64encode(json.dumps([service, asker, *chain]).encode()).decode()
    return f"{told}.{_proof(key, told)}"


def _proof(key: str, told: str) -> str:
    return hmac.new(key.encode(), told.encode("ascii", "replace"), hashlib.sha256).hexdigest()


def _key(secret: str) -> str:
    # Looking up a hash tells nothing by the time it takes.
    return hashlib.sha256(secret.encode()).hexdigest()
