"""Files that are sent before the call that uses them: in parts, resumable, gone after a while.

They lie in the spool and end with this server. Whoever knows an id and may call the service that
it was sent for may use it: an id cannot be guessed.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from weakref import WeakValueDictionary

from easymlnb.contract import units
from easymlnb.contract.errors import (
    StorageFull,
    TooLarge,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadNotFound,
    UploadOffset,
    UploadQuota,
)
from easymlnb.contract.file_parameters import FileParameter, file_parameters
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.uploads.spool import FULL_SHARE, Spool, SpooledFile

CHUNK = 8 * 2**20
"""Bytes that a part of an upload should have, and twice as much it may."""

SWEEP = 5.0
MOST = 1000
"""Uploads that one caller may have at once, however small."""

VISITOR_MOST = 100
VISITORS_MOST = 5000
"""Uploads that one caller without a login, and all of them together, may have at once."""

VISITOR_PART = 4
"""One of them may announce this part of the room that all of them have together."""

LEFT_SECONDS = 20.0
"""Seconds for which the uploads of a page are kept once it is left: it may be loaded again."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends a file. ``page`` says whose page it comes from, if it is an app page's.

    ``visitor``: somebody without a login.
    """

    owner: str
    page: str = ""
    visitor: bool = False


class Upload:
    """One file on its way, or there. Until bytes come it takes no room and no descriptor."""

    def __init__(
        self, id: str, sender: Sender, service: str, size: int, make: Callable[[], SpooledFile]
    ) -> None:
        self.id = id
        self.sender = sender
        self.service = service
        self.size = size
        self.file: SpooledFile | None = None
        self._make = make
        self.used = 0.0
        """When somebody last had to do with it, in the seconds of the table's clock."""
        self.left: float | None = None
        """When its page was first found gone."""
        self.writing = False

    @property
    def offset(self) -> int:
        """How many bytes are there."""
        return 0 if self.file is None else self.file.size

    def begin(self, offset: int, length: int) -> None:
        """Allow a part of ``length`` bytes to be written; ``end`` it whatever happens.

        Raises ``UploadOffset`` if it does not continue what is there, ``TooLarge`` if it is more
        than was announced.
        """
        if self.writing or offset != self.offset:
            raise UploadOffset(self.offset)
        if offset + length > self.size:
            raise TooLarge(f"The upload exceeds its declared size of {self.size:,} bytes.")
        self.writing = True

    def write(self, data: bytes) -> None:
        """Add bytes of the part that was begun, from any thread; raises ``StorageFull``."""
        if self.file is None:
            self.file = self._make()
        self.file.write(data)

    def end(self) -> None:
        self.writing = False
        if self.file is None:
            return
        if self.offset == self.size:
            self.file.protect()
        self.file.rest()


class Uploads:
    """All uploads of a server: by id, each its owner's.

    ``seconds`` is how long one is kept after it was last used, ``quota`` how many bytes all of one
    owner's may have together. ``open_pages`` returns who has a page of which service open.
    """

    def __init__(
        self,
        spool: Spool,
        seconds: float,
        quota: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        open_pages: Callable[[], set[tuple[str, str]]] = set,
    ) -> None:
        self._spool = spool
        self._seconds = seconds
        self._quota = quota
        self._clock = clock
        self._open_pages = open_pages
        self._all: dict[str, Upload] = {}
        self._empty: WeakValueDictionary[str, SpooledFile] = WeakValueDictionary()
        """The one file of all uploads without a byte, as long as calls use it."""

    def __len__(self) -> int:
        return len(self._all)

    def begin(
        self, sender: Sender, spec: ServiceSpec, field: str, name: str, media_type: str, size: int
    ) -> Upload:
        """Announce a file for a parameter, or any that takes it if ``field`` is empty.

        Raises ``TooLarge``, ``UnsupportedMediaType``, ``UploadQuota`` or ``StorageFull``.
        """
        _taker(spec, field, name, media_type, size)
        self._check_quota(sender, size)
        self._spool.check(size, visitor=sender.visitor)
        id = secrets.token_urlsafe(32)
        make = partial(self._spool.lasting, visitor=sender.visitor)
        made = Upload(id, sender, spec.name, size, make)
        made.used = self._clock()
        self._all[made.id] = made
        return made

    def _check_quota(self, sender: Sender, size: int) -> None:
        """Raise ``UploadQuota`` if this caller has too many uploads, or too large ones."""
        most, quota = MOST, self._quota
        if sender.visitor:
            most, quota = VISITOR_MOST, min(quota, self._spool.visitors.limit // VISITOR_PART)
            if sum(upload.sender.visitor for upload in self._all.values()) >= VISITORS_MOST:
                raise StorageFull(FULL_SHARE)
        own = [upload for upload in self._all.values() if upload.sender.owner == sender.owner]
        if len(own) >= most or sum(upload.size for upload in own) + size > quota:
            raise UploadQuota(quota, most)

    def get(self, id: str, owner: str) -> Upload:
        """Return one of this owner's uploads; raises ``UploadNotFound``."""
        found = self._all.get(id)
        if found is None or found.sender.owner != owner:
            raise UploadNotFound(id)
        found.used = self._clock()
        return found

    def remove(self, id: str, owner: str) -> None:
        """Forget an upload; a call that uses it keeps it to its end. Raises ``UploadNotFound``."""
        self.get(id, owner)
        del self._all[id]

    def files(self, ids: Iterable[str], service: str) -> tuple[tuple[str, SpooledFile], ...]:
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
            found.append((id, upload.file or self._nothing()))
        return tuple(found)

    def _nothing(self) -> SpooledFile:
        """Return the file of uploads without a byte."""
        found = self._empty.get("")
        if found is None:
            found = self._empty[""] = self._spool.lasting()
            found.protect()
            found.rest()
        return found

    def sweep(self) -> int:
        """Forget uploads that nobody had to do with for long, or whose page is left.

        Returns how many.
        """
        pages = self._open_pages()
        old = [id for id, one in self._all.items() if self._over(one, pages) and not one.writing]
        for id in old:
            del self._all[id]
        return len(old)

    def _over(self, upload: Upload, pages: set[tuple[str, str]]) -> bool:
        now = self._clock()
        page = upload.sender.page
        if not page or (page, upload.service) in pages:
            upload.left = None
        elif upload.left is None:
            upload.left = now
        left = upload.left is not None and upload.left < now - LEFT_SECONDS
        return left or upload.used < now - self._seconds

    async def keep(self) -> None:
        """Sweep again and again."""
        while True:
            await asyncio.sleep(SWEEP)
            self.sweep()


def _taker(spec: ServiceSpec, field: str, name: str, media_type: str, size: int) -> FileParameter:
    """Return a parameter that takes such a file; raises what ``begin`` says."""
    named = [one for one in file_parameters(spec.input) if field in ("", one.name)]
    fitting = [one for one in named if one.takes(name, media_type)]
    if not fitting:
        offered = [kind for one in named for kind in one.accept]
        raise UnsupportedMediaType(media_type or name, tuple(dict.fromkeys(offered)))
    for one in fitting:
        if not one.max_bytes or size <= one.max_bytes:
            return one
    most = max(one.max_bytes for one in fitting)
    raise TooLarge(
        f"The file of {units.format_size(size)} exceeds the limit of {units.format_size(most)}."
    )
