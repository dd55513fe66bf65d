"""Page tokens: each lets one visitor's page call one service while the page is open."""

import hashlib
import secrets
from dataclasses import dataclass

SCHEME = "easymlnb-pass"
"""The scheme of a page token in the ``Authorization`` header."""


@dataclass(frozen=True, slots=True)
class PageToken:
    """A token for one service. A ``public`` one is valid only while the service is public."""

    service: str
    visitor: str
    public: bool


class PageTokens:
    """All valid tokens, by the hash of their secret."""

    def __init__(self) -> None:
        self._tokens: dict[str, PageToken] = {}

    def create(self, service: str, visitor: str, *, public: bool) -> str:
        """Return the secret of a new token."""
        secret = secrets.token_urlsafe(32)
        self._tokens[_hash(secret)] = PageToken(service, visitor, public)
        return secret

    def find(self, header: str) -> PageToken | None:
        """Return the valid token in an ``Authorization`` header, if there is one."""
        scheme, _, secret = header.partition(" ")
        return self._tokens.get(_hash(secret.strip())) if scheme == SCHEME else None

    def revoke(self, secret: str) -> None:
        """Make a token invalid."""
        self._tokens.pop(_hash(secret), None)

    def __len__(self) -> int:
        return len(self._tokens)


def _hash(secret: str) -> str:
    # The time of a lookup by hash reveals nothing about the secret.
    return hashlib.sha256(secret.encode()).hexdigest()
