"""Files that are uploaded before the call that uses them, in parts and resumable.

They are stored in the spool, expire, and end with this server. An id cannot be guessed: a caller
who knows it and may call the service may use the file.
"""

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from weakref import WeakValueDictionary

from easymlnb.contract import units
from easymlnb.contract.errors import (
    BadRequest,
    StorageFull,
    TooLarge,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadNotFound,
    UploadOffset,
    UploadQuota,
)
from easymlnb.contract.file_parameters import file_parameters
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.uploads.spool import FULL_SHARE, Spool, SpooledFile

CHUNK = 8 * 2**20
"""Bytes that a part of an upload should have; it may have twice as many."""

SWEEP_EVERY = 5.0
MAX_UPLOADS = 1000
"""Uploads that one caller may have at once, of any size."""

ROWS = ":rows"
"""In place of a parameter: the file is a table of inputs, with a call's parameters in each row."""

TABLE = ":table"
"""In place of a parameter: the file is the table of a batch, or a file of one."""

ROWS_TYPES = {".csv": "text/csv", ".jsonl": "application/jsonl"}
MAX_ROWS_BYTES = 32 * 2**20

MAX_PER_VISITOR, MAX_OF_VISITORS = 100, 5000
"""Uploads that one caller without a login, and all of them together, may have at once."""

VISITOR_PART = 4
"""One visitor may use the quota of all visitors divided by this."""

CLOSED_PAGE_SECONDS = 20.0
"""Seconds until the uploads of a closed page are removed; the page may be loaded again."""


@dataclass(frozen=True, slots=True)
class Uploader:
    """The sender of a file.

    ``page`` is the visitor of the app page that the file comes from. ``visitor``: without a login.
    """

    owner: str
    page: str = ""
    visitor: bool = False


class Upload:
    """One upload. It uses no space and no descriptor until its first bytes arrive."""

    def __init__(
        self, id: str, sender: Uploader, service: str, size: int, create: Callable[[], SpooledFile]
    ) -> None:
        self.id = id
        self.sender = sender
        self.service = service
        self.size = size
        self.name = ""
        self.file: SpooledFile | None = None
        self._create = create
        self.used = 0.0
        """When it was last used."""
        self.page_closed: float | None = None
        """When its page was first found closed."""
        self.writing = False

    @property
    def offset(self) -> int:
        """Number of bytes that have arrived."""
        return 0 if self.file is None else self.file.size

    def begin(self, offset: int, length: int) -> None:
        """Start a part of ``length`` bytes; ``end`` must follow in any case.

        Raises ``UploadOffset`` if the part does not continue at the current offset, and
        ``TooLarge`` if it exceeds the announced size.
        """
        if self.writing or offset != self.offset:
            raise UploadOffset(self.offset)
        if offset + length > self.size:
            raise TooLarge(f"The upload exceeds its declared size of {self.size:,} bytes.")
        self.writing = True

    def write(self, data: bytes) -> None:
        """Append bytes of the current part; raises ``StorageFull``. Thread-safe."""
        if self.file is None:
            self.file = self._create()
        self.file.write(data)

    def end(self) -> None:
        self.writing = False
        if self.file is None:
            return
        if self.offset == self.size:
            self.file.make_read_only()
        self.file.close_descriptor()


class Uploads:
    """All uploads of a server.

    - ``seconds``: how long an upload is stored after its last use
    - ``quota``: bytes of all uploads of one owner
    - ``open_pages``: returns the open pages as pairs of visitor and service
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
        """The file of all empty uploads, while calls use it."""

    def __len__(self) -> int:
        return len(self._all)

    def begin(
        self, sender: Uploader, spec: ServiceSpec, field: str, name: str, media_type: str, size: int
    ) -> Upload:
        """Announce a file for the parameter ``field``, or for any that accepts it if empty.

        ``ROWS`` as the field announces a table of inputs, ``TABLE`` that of a batch.

        Raises ``BadRequest``, ``TooLarge``, ``UnsupportedMediaType``, ``UploadQuota`` or
        ``StorageFull``.
        """
        _check_file(spec, field, name, media_type, size)
        return self.announce(sender, spec.name, name, size)

    def announce(self, sender: Uploader, service: str, name: str, size: int) -> Upload:
        """Announce a file that was checked; raises ``UploadQuota`` or ``StorageFull``."""
        self._check_quota(sender, size)
        self._spool.check(size, visitor=sender.visitor)
        id = secrets.token_urlsafe(32)
        create = partial(self._spool.create_on_disk, visitor=sender.visitor)
        upload = self._all[id] = Upload(id, sender, service, size, create)
        upload.used, upload.name = self._clock(), name
        return upload

    def _check_quota(self, sender: Uploader, size: int) -> None:
        """Raise ``UploadQuota`` if the caller's uploads are too many or too large."""
        most, quota = MAX_UPLOADS, self._quota
        if sender.visitor:
            most, quota = MAX_PER_VISITOR, min(quota, self._spool.visitors.limit // VISITOR_PART)
            if sum(upload.sender.visitor for upload in self._all.values()) >= MAX_OF_VISITORS:
                raise StorageFull(FULL_SHARE)
        own = [upload for upload in self._all.values() if upload.sender.owner == sender.owner]
        if len(own) >= most or sum(upload.size for upload in own) + size > quota:
            raise UploadQuota(quota, most)

    def get(self, id: str, owner: str) -> Upload:
        """Return one of this owner's uploads; raises ``UploadNotFound``."""
        upload = self._all.get(id)
        if upload is None or upload.sender.owner != owner:
            raise UploadNotFound(id)
        upload.used = self._clock()
        return upload

    def remove(self, id: str, owner: str) -> None:
        """Remove an upload once no call uses it; raises ``UploadNotFound``."""
        self.get(id, owner)
        del self._all[id]

    def files(self, ids: Iterable[str], service: str) -> tuple[tuple[str, SpooledFile], ...]:
        """Return the uploads with these ids for a call of ``service``.

        Raises ``UploadNotFound`` or ``UploadIncomplete``.
        """
        files = []
        for id in dict.fromkeys(ids):
            upload = self._all.get(id)
            if upload is None or upload.service != service:
                raise UploadNotFound(id)
            if upload.offset != upload.size:
                raise UploadIncomplete(upload.offset, upload.size)
            upload.used = self._clock()
            files.append((id, upload.file or self._empty_file()))
        return tuple(files)

    def names(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Return the file names of uploads, as their senders announced them."""
        return tuple(one.name if (one := self._all.get(id)) else "" for id in dict.fromkeys(ids))

    def _empty_file(self) -> SpooledFile:
        file = self._empty.get("")
        if file is None:
            file = self._empty[""] = self._spool.create_on_disk()
            file.make_read_only()
            file.close_descriptor()
        return file

    def sweep(self) -> int:
        """Remove uploads that expired or whose page is closed; return how many."""
        pages = self._open_pages()
        old = [id for id, one in self._all.items() if self._expired(one, pages) and not one.writing]
        for id in old:
            del self._all[id]
        return len(old)

    async def run_sweep(self) -> None:
        self.sweep()

    def _expired(self, upload: Upload, pages: set[tuple[str, str]]) -> bool:
        now = self._clock()
        page = upload.sender.page
        if not page or (page, upload.service) in pages:
            upload.page_closed = None
        elif upload.page_closed is None:
            upload.page_closed = now
        closed = upload.page_closed
        if closed is not None and closed < now - CLOSED_PAGE_SECONDS:
            return True
        return upload.used < now - self._seconds


def _check_file(spec: ServiceSpec, field: str, name: str, media_type: str, size: int) -> None:
    """Raise ``UnsupportedMediaType`` or ``TooLarge`` if no parameter accepts the file."""
    if field == TABLE:
        return
    if field == ROWS:
        _check_rows(name, media_type, size)
        return
    parameters = file_parameters(spec.input)
    candidates = [one for one in parameters if field in ("", one.name)]
    if not candidates:
        raise BadRequest(_no_file(spec.name, field, [one.name for one in parameters]))
    accepting = [one for one in candidates if one.accepts(name, media_type)]
    if not accepting:
        accepted = [kind for one in candidates for kind in one.accept]
        raise UnsupportedMediaType(media_type or name, tuple(dict.fromkeys(accepted)))
    if all(one.max_bytes and size > one.max_bytes for one in accepting):
        most = units.format_size(max(one.max_bytes for one in accepting))
        raise TooLarge(f"The file of {units.format_size(size)} exceeds the limit of {most}.")


def _no_file(service: str, field: str, parameters: list[str]) -> str:
    """Say that no parameter takes the file, and which ones take files."""
    if not parameters:
        return f"The service {service!r} takes no files: none of its parameters is a file."
    return (
        f"The service {service!r} has no parameter {field[:80]!r} that takes a file. Parameters "
        f"with files: {', '.join(parameters)}."
    )


def _check_rows(name: str, media_type: str, size: int) -> None:
    if media_type not in ROWS_TYPES.values() and not name.lower().endswith(tuple(ROWS_TYPES)):
        raise UnsupportedMediaType(media_type or name, tuple(ROWS_TYPES.values()))
    if size > MAX_ROWS_BYTES:
        most = units.format_size(MAX_ROWS_BYTES)
        raise TooLarge(f"The table of {units.format_size(size)} exceeds the limit of {most}.")
