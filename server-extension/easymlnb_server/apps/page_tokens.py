"""Page tokens: each lets one visitor's page call one service while the page lives."""

import hashlib
import secrets
from dataclasses import dataclass

SCHEME = "easymlnb-pass"
"""How the ``Authorization`` header of a pass begins."""


@dataclass(frozen=True, slots=True)
class PageToken:
    """Good for one service. ``visitor`` tells whose calls these are; ``public`` ends with the
    service's own ``public``.
    """

    service: str
    visitor: str
    public: bool


class PageTokens:
    """The passes that are out. Only their hashes are kept."""

    def __init__(self) -> None:
        self._out: dict[str, PageToken] = {}

    def give(self, service: str, visitor: str, *, public: bool) -> str:
        """Return the secret of a new pass."""
        secret = secrets.token_urlsafe(32)
        self._out[_key(secret)] = PageToken(service, visitor, public)
        return secret

    def find(self, header: str) -> PageToken | None:
        """Return the pass that an ``Authorization`` header shows, if it shows a good one."""
        scheme, _, secret = header.partition(" ")
        if scheme != SCHEME:
            return None
        return self._out.get(_key(secret.strip()))

    def revoke(self, secret: str) -> None:
        """Let it open nothing from the next request on."""
        self._out.pop(_key(secret), None)

    def __len__(self) -> int:
        return len(self._out)


def _key(secret: str) -> str:
    # Looking up a hash tells nothing by the time it takes.
    return hashlib.sha256(secret.encode()).hexdigest()
