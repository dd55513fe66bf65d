"""Files that are sent before the call that uses them: in parts, resumable, gone after a while.

They lie in the spool and end with this server. Whoever knows an id and may call the service that
it was sent for may use it: an id cannot be guessed.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable

from easymlnb.contract import units
from easymlnb.contract.errors import (
    TooLarge,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadNotFound,
    UploadOffset,
    UploadQuota,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.takers import Taker, takers
from easymlnb_server.spool import Spool, Spooled

CHUNK = 8 * 2**20
"""Bytes that a part of an upload should have, and twice as much it may."""

SWEEP = 30.0
MOST = 1000
"""Uploads that one caller may have at once, however small."""


class Upload:
    """One file on its way, or there."""

    def __init__(self, id: str, owner: str, service: str, size: int, file: Spooled) -> None:
        self.id = id
        self.owner = owner
        self.service = service
        self.size = size
        self.file = file
        self.used = 0.0
        """When somebody last had to do with it, in the seconds of the table's clock."""
        self.writing = False

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        return self.file.size

    def begin(self, offset: int, length: int) -> None:
        """Allow a part of ``length`` bytes to be written; ``end`` it whatever happens.

        Raises ``UploadOffset`` if it does not continue what is there, ``TooLarge`` if it is more
        than was announced.
        """
        if self.writing or offset != self.offset:
            raise UploadOffset(self.offset)
        if offset + length > self.size:
            raise TooLarge(f"This upload was announced with {self.size:,} bytes and has more.")
        self.writing = True

    def end(self) -> None:
        self.writing = False
        if self.offset == self.size:
            self.file.protect()


class Uploads:
    """All uploads of a server: by id, each its owner's.

    ``seconds`` is how long one is kept after it was last used, ``quota`` how many bytes all of one
    owner's may have together.
    """

    def __init__(
        self,
        spool: Spool,
        seconds: float,
        quota: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._seconds = seconds
        self._quota = quota
        self._clock = clock
        self.mark = ""
        """What all ids begin with: by it other server processes know whose uploads they are."""
        self._all: dict[str, Upload] = {}

    def __len__(self) -> int:
        return len(self._all)

    def begin(
        self, owner: str, spec: ServiceSpec, field: str, name: str, media_type: str, size: int
    ) -> Upload:
        """Announce a file for a parameter, or any that takes it if ``field`` is empty.

        Raises ``TooLarge``, ``UnsupportedMediaType``, ``UploadQuota`` or ``StorageFull``.
        """
        _taker(spec, field, name, media_type, size)
        own = [upload for upload in self._all.values() if upload.owner == owner]
        if len(own) >= MOST or sum(upload.size for upload in own) + size > self._quota:
            raise UploadQuota(self._quota)
        id = self.mark + secrets.token_urlsafe(32)[len(self.mark) :]
        made = Upload(id, owner, spec.name, size, self._spool.lasting(size))
        made.used = self._clock()
        self._all[made.id] = made
        return made

    def get(self, id: str, owner: str) -> Upload:
        """Return one of this owner's uploads; raises ``UploadNotFound``."""
        found = self._all.get(id)
        if found is None or found.owner != owner:
            raise UploadNotFound(id)
        found.used = self._clock()
        return found

    def remove(self, id: str, owner: str) -> None:
        """Forget an upload; a call that uses it keeps it to its end. Raises ``UploadNotFound``."""
        self.get(id, owner)
        del self._all[id]

    def files(self, ids: Iterable[str], service: str) -> tuple[tuple[str, Spooled], ...]:
        """Return the files that a call of ``service`` names.

        Raises ``UploadNotFound`` or ``UploadIncomplete``.
        """
        found = []
        for id in dict.fromkeys(ids):
            upload = self._all.get(id)
            if upload is None or upload.service != service:
                raise UploadNotFound(id)
            if upload.offset != upload.size:
                raise UploadIncomplete(upload.offset, upload.size)
            upload.used = self._clock()
            found.append((id, upload.file))
        return tuple(found)

    def sweep(self) -> int:
        """Forget uploads that nobody had to do with for long; returns how many."""
        before = self._clock() - self._seconds
        old = [id for id, one in self._all.items() if one.used < before and not one.writing]
        for id in old:
            del self._all[id]
        return len(old)

    async def keep(self) -> None:
        """Sweep again and again."""
        while True:
            await asyncio.sleep(SWEEP)
            self.sweep()


def _taker(spec: ServiceSpec, field: str, name: str, media_type: str, size: int) -> Taker:
    """Return a parameter that takes such a file; raises what ``begin`` says."""
    named = [one for one in takers(spec.input) if field in ("", one.name)]
    fitting = [one for one in named if one.takes(name, media_type)]
    if not fitting:
        offered = [kind for one in named for kind in one.accept]
        raise UnsupportedMediaType(media_type or name, tuple(dict.fromkeys(offered)))
    for one in fitting:
        if not one.max_bytes or size <= one.max_bytes:
            return one
    most = max(one.max_bytes for one in fitting)
    raise TooLarge(f"This file of {units.shown(size)} is over the limit of {units.shown(most)}.")
