"""Large bodies as files, in a folder of this server's own: bounded, and gone when it is.

A body lies in shared memory while there is room, else on disk, and reaches a kernel on this host
by its path, so that it never passes the server's heap. Whatever a killed server leaves behind its
next one removes: a lock, which ends with its process, tells whose folder is still in use.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from easymlnb.contract.errors import StorageFull

PREFIX = "easymlnb-"
LOCK = "lock"
PROBE = "probe"
NAME = re.compile(r"[0-9a-f]{1,32}\Z")
FULL = (errno.ENOSPC, errno.EDQUOT)

MEMORY = Path("/dev/shm")
MEMORY_SHARE = 0.25
MEMORY_LIMIT = 2 * 2**30
"""What bodies may take of shared memory: a part of what is free there, and never more than this."""
MEMORY_FILE = 256 * 2**20
"""Bytes of the largest body that is kept in memory."""

PIECE = 2**20
"""Bytes of a file that are in memory at once while it is read or taken in."""

FULL_DISK = "The server's disk is full; nothing was stored."
FULL_SHARE = "The server's space for uploads of visitors is full. Try again later."

SPARE = 256 * 2**20
"""Bytes that are left free on a disk."""


class Share:
    """Bytes that several files may take together. Any thread may take and give back."""

    def __init__(self, limit: int, full: str) -> None:
        self.limit = limit
        self.used = 0
        self._full = full
        self._lock = threading.Lock()

    def check(self, size: int) -> None:
        """Raise ``StorageFull`` if so many more bytes do not fit now."""
        if self.used + size > self.limit:
            raise StorageFull(self._full)

    def take(self, size: int) -> None:
        """Count so many bytes; raises ``StorageFull``."""
        with self._lock:
            self.check(size)
            self.used += size

    def give_back(self, size: int) -> None:
        with self._lock:
            self.used -= size


class SpooledFile:
    """A file of the spool with ``size`` bytes; ``close`` removes it, as does its last reference.

    It counts against its place, and against each of ``shares``.
    """

    def __init__(
        self,
        place: "_Place",
        path: Path,
        handle: int,
        size: int = 0,
        shares: tuple[Share, ...] = (),
    ) -> None:
        self.path = path
        self.size = size
        self._place = place
        self._shares = shares
        self._handle = handle
        self._closed = False
        self._held = size
        self._gate = threading.Lock()
        place.give_back(-size)  # it is there, whether it fits or not

    @property
    def in_memory(self) -> bool:
        """Say whether writing to it never waits for a disk."""
        return self._place.memory

    def __len__(self) -> int:
        return self.size

    def hold(self, size: int) -> None:
        """Count ``size`` bytes in advance; raises ``StorageFull``."""
        more = size - self._held
        if more <= 0:
            return
        taken: list[Share] = []
        try:
            for share in (self._place, *self._shares):
                share.take(more)
                taken.append(share)
        except StorageFull:
            for share in taken:
                share.give_back(more)
            raise
        self._held = size

    def write(self, data: bytes) -> None:
        """Add to the end; raises ``StorageFull``. After ``close`` it does nothing.

        What was held for before may be written from any thread.
        """
        self.hold(self.size + len(data))
        left = memoryview(data)
        try:
            # A number that was closed meanwhile may be that of another file.
            with self._gate:
                if self._handle < 0 and not self._closed:
                    self._handle = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
                while left and not self._closed:
                    written = os.pwrite(self._handle, left, self.size)
                    self.size += written
                    left = left[written:]
        except OSError as error:
            if error.errno in FULL:
                raise StorageFull from error
            raise

    def read(self, offset: int = 0, size: int = -1) -> bytes:
        """Return ``size`` bytes from ``offset`` on, by default all the rest."""
        wanted = self.size - offset if size < 0 else size
        with self._gate:
            if self._handle >= 0:
                return os.pread(self._handle, wanted, offset)
        handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(handle, wanted, offset)
        finally:
            os.close(handle)

    def pieces(self) -> Iterator[bytes]:
        """Return all of it, a piece after the other."""
        at = 0
        while at < self.size:
            piece = self.read(at, PIECE)
            if not piece:
                raise OSError("A spooled file was truncated.")
            at += len(piece)
            yield piece

    def feed(self, take: Callable[[bytes], object]) -> None:
        """Give all of it to ``take``, a piece after the other."""
        for piece in self.pieces():
            take(piece)

    def protect(self) -> None:
        """Keep what reads it from changing it; it is complete."""
        self.path.chmod(0o400)

    def rest(self) -> None:
        """Give its descriptor back to the process; it is opened again when it is needed."""
        with self._gate:
            handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def close(self) -> None:
        with self._gate:
            if self._closed:
                return
            self._closed = True
        self.rest()
        for share in (self._place, *self._shares):
            share.give_back(self._held)
        self.path.unlink(missing_ok=True)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()


class _Place(Share):
    """One folder of the spool and how much it holds."""

    def __init__(self, folder: Path, limit: int, memory: bool) -> None:
        super().__init__(limit, FULL_DISK)
        self.folder = folder
        self.memory = memory

    def fits(self, size: int) -> bool:
        if self.memory and size > MEMORY_FILE:
            return False
        return self.used + size <= self.limit and size + self._spare() <= _free(self.folder)

    def _spare(self) -> int:
        return 0 if self.memory else SPARE


class KernelFileShare:
    """A folder of one kernel's, in each place: where it may leave what is too large for a frame."""

    def __init__(self, places: list[_Place]) -> None:
        self._name = secrets.token_hex(16)
        self._proof = secrets.token_bytes(32)
        self._places = places
        for place in places:
            (place.folder / self._name).mkdir(mode=0o700)
        self.probe = places[-1].folder / self._name / PROBE
        with open(os.open(self.probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(self._proof)

    def proven(self, proof: bytes) -> bool:
        """Say whether that is what the probe holds, so that its reader is on this host."""
        return secrets.compare_digest(proof, self._proof)

    @property
    def path(self) -> str:
        """Return the folder for the next file; the kernel looks whether the disk has room."""
        place = next((p for p in self._places if p.used < p.limit), self._places[-1])
        return str(place.folder / self._name)

    def claim(self, name: str) -> SpooledFile:
        """Take over a file that the kernel made; raises ``ValueError`` if there is no such file."""
        if not NAME.match(name):
            raise ValueError("Invalid file name in a spool folder.")
        for place in self._places:
            left = place.folder / self._name / name
            try:
                # A link could lead anywhere, and a pipe would be waited for.
                handle = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ValueError("A file in a spool folder cannot be read.") from error
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                os.close(handle)
                raise ValueError(
                    "A result in a spool folder must be a regular file without other links."
                )
            path = left.rename(place.folder / secrets.token_hex(16))
            return SpooledFile(place, path, handle, found.st_size)
        raise ValueError("The file is missing in the spool folder.")

    def close(self) -> None:
        """Remove all that was not claimed."""
        for place in self._places:
            shutil.rmtree(place.folder / self._name, ignore_errors=True)


class Spool:
    """Where a server keeps large bodies: in shared memory first, then in ``disk``.

    ``limit`` is how many bytes may lie on disk at once, ``visitors`` the part of them that all
    callers without a login may take together. Before ``open`` nothing fits.
    """

    def __init__(
        self, disk: Path, limit: int, memory: Path | None = MEMORY, *, visitors: float = 0.25
    ) -> None:
        self.visitors = Share(int(limit * visitors), FULL_SHARE)
        self._disk = disk
        self._limit = limit
        self._memory = memory
        self._places: list[_Place] = []
        self._locks: list[int] = []

    def open(self) -> None:
        """Make its folders, and remove those of servers that were killed; raises ``OSError``."""
        memory = self._memory
        if memory is not None and os.access(memory, os.W_OK):
            room = min(int(_free(memory) * MEMORY_SHARE), MEMORY_LIMIT)
            self._open(memory, room, memory=True)
        self._disk.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._open(self._disk, self._limit, memory=False)

    def _open(self, root: Path, limit: int, *, memory: bool) -> None:
        for left in _abandoned(root):
            shutil.rmtree(left, ignore_errors=True)
        made = Path(tempfile.mkdtemp(prefix=f"new-{PREFIX}", dir=root))
        self._locks.append(_lock(made))
        # Only what is locked has its final name: until then nobody takes it for abandoned.
        folder = made.rename(root / made.name.removeprefix("new-"))
        self._places.append(_Place(folder, limit, memory))

    def file(self, size: int = 0) -> SpooledFile:
        """Begin a file that ``size`` bytes fit into now; raises ``StorageFull``.

        In memory they are held for it, as another place is there for who finds none. On a disk
        they count as they come: who only announces a file takes nothing away from others.
        """
        place = next((place for place in self._places if place.fits(size)), None)
        if place is None:
            raise StorageFull
        made = _begin(place)
        made.hold(size if place.memory else 0)
        return made

    def check(self, size: int, *, visitor: bool = False) -> None:
        """Raise ``StorageFull`` if a file of this size would not fit on disk now."""
        if visitor:
            self.visitors.check(size)
        if not any(place.fits(size) for place in self._on_disk):
            raise StorageFull

    def lasting(self, size: int = 0, *, visitor: bool = False) -> SpooledFile:
        """Begin a file that may stay for long, so on disk; raises ``StorageFull``.

        ``visitor``: it is sent by somebody without a login.
        """
        self.check(size, visitor=visitor)
        return _begin(self._on_disk[0], (self.visitors,) if visitor else ())

    @property
    def _on_disk(self) -> list[_Place]:
        return [place for place in self._places if not place.memory]

    def room(self) -> KernelFileShare | None:
        """Open a folder for a kernel, if this spool is open."""
        return KernelFileShare(self._places) if self._places else None

    def close(self) -> None:
        """Remove everything."""
        for place, lock in zip(self._places, self._locks, strict=True):
            shutil.rmtree(place.folder, ignore_errors=True)
            os.close(lock)
        self._places, self._locks = [], []


def _begin(place: _Place, shares: tuple[Share, ...] = ()) -> SpooledFile:
    path = place.folder / secrets.token_hex(16)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageFull from error
    return SpooledFile(place, path, handle, shares=shares)


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _lock(folder: Path) -> int:
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle


def _abandoned(root: Path) -> Iterator[Path]:
    """Yield folders of servers of this account that do not run any more."""
    for folder in root.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            else:
                yield folder
            finally:
                os.close(handle)
