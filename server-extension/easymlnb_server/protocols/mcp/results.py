"""Results that are too large for an answer, and are read as resources."""

import base64
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from easymlnb_server.uploads.spool import Spool, SpooledFile

SCHEME = "easymlnb://results/"
"""Start of the URI of a stored result."""

OCTETS = "application/octet-stream"

KEEP_SECONDS = 3600.0
MAX_PER_OWNER = 100
"""Results of one owner; the oldest are dropped."""
MAX_BYTES_PER_OWNER = 512 * 2**20

SWEEP_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A file of a result, for its owner only."""

    uri: str
    owner: str
    service: str
    name: str
    media_type: str
    file: SpooledFile
    expires: float

    def described(self) -> dict[str, Any]:
        """Return what a list of resources has."""
        return {
            "uri": self.uri,
            "name": self.name,
            "description": f"A result of {self.service}.",
            "mimeType": self.media_type or OCTETS,
            "size": len(self.file),
        }

    def content(self) -> dict[str, Any]:
        """Return the content of the resource; blocks."""
        data, kind = self.file.read(), self.media_type
        found: dict[str, Any] = {"uri": self.uri, "mimeType": kind or OCTETS}
        if kind == "application/json" or kind.startswith("text/"):
            return found | {"text": data.decode("utf-8", "replace")}
        return found | {"blob": base64.b64encode(data).decode()}


class StoredResults:
    """The results that clients may still read. They end with this server."""

    def __init__(self, spool: Spool, clock: Callable[[], float] = time.monotonic) -> None:
        self._spool = spool
        self._clock = clock
        self._all: dict[str, StoredResult] = {}

    def add(
        self, owner: str, service: str, data: bytes, media_type: str, name: str, *, visitor: bool
    ) -> StoredResult:
        """Store a file of a result, which blocks; raises ``StorageFull``. Thread-safe."""
        file = self._spool.create_on_disk(len(data), visitor=visitor)
        file.write(data)
        file.make_read_only()
        file.close_descriptor()
        uri = f"{SCHEME}{secrets.token_urlsafe(32)}"
        expires = self._clock() + KEEP_SECONDS
        stored = StoredResult(uri, owner, service, name, media_type, file, expires)
        self._all[uri] = stored
        self._drop_oldest(owner)
        return stored

    def find(self, uri: str, owner: str) -> StoredResult | None:
        """Return a result of this owner, or ``None``."""
        found = self._all.get(uri)
        if found is None or found.owner != owner or found.expires < self._clock():
            return None
        return found

    def of(self, owner: str) -> list[StoredResult]:
        """Return all results of an owner, oldest first."""
        now = self._clock()
        return [
            one for one in tuple(self._all.values()) if one.owner == owner and now < one.expires
        ]

    async def sweep(self) -> None:
        """Remove what has expired."""
        now = self._clock()
        for uri in [uri for uri, one in tuple(self._all.items()) if one.expires < now]:
            self._all.pop(uri, None)

    def _drop_oldest(self, owner: str) -> None:
        own = self.of(owner)
        size = sum(len(one.file) for one in own)
        for one in own[:-1]:
            if len(own) <= MAX_PER_OWNER and size <= MAX_BYTES_PER_OWNER:
                return
            own = own[1:]
            size -= len(one.file)
            self._all.pop(one.uri, None)
