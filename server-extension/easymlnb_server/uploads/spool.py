"""Store large bodies as files: of limited total size, and removed with the server.

A body is stored in shared memory if there is space, else on disk. A kernel on this host gets its
path, so the body never passes through the server's heap. The next server removes the files of a
server that was killed: a lock, which ends with its process, shows which folders are in use.
"""

import asyncio
import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from easymlnb.contract.errors import StorageFull
from easymlnb_server.store.folder_lock import FolderLock

PREFIX = "easymlnb-"
PROBE = "probe"
NAME = re.compile(r"[0-9a-f]{1,32}\Z")
FULL = (errno.ENOSPC, errno.EDQUOT)

MEMORY = Path("/dev/shm")
MEMORY_SHARE = 0.25
MEMORY_LIMIT = 2 * 2**30
"""Bytes; bodies use at most this, and at most ``MEMORY_SHARE`` of the free shared memory."""
MEMORY_FILE = 256 * 2**20
"""Bytes of the largest body that is stored in memory."""

CHUNK = 2**20
"""Bytes of a file that are read at once."""

PAUSE = 0.001
"""Seconds between two parts of bodies when several are read."""

FULL_DISK = "The server's disk is full; nothing was stored."
FULL_SHARE = "The server's space for uploads of visitors is full. Try again later."

SPARE = 256 * 2**20
"""Bytes that stay free on a disk."""


class Quota:
    """Bytes that several files may use together. Thread-safe."""

    def __init__(self, limit: int, message: str) -> None:
        self.limit = limit
        self.used = 0
        self._message = message
        self._lock = threading.Lock()

    def check(self, size: int) -> None:
        """Raise ``StorageFull`` if ``size`` more bytes exceed the limit."""
        if self.used + size > self.limit:
            raise StorageFull(self._message)

    def acquire(self, size: int) -> None:
        """Count ``size`` bytes; raises ``StorageFull``."""
        with self._lock:
            self.check(size)
            self.used += size

    def release(self, size: int) -> None:
        with self._lock:
            self.used -= size


class SpooledFile:
    """A spooled file of ``size`` bytes. ``close`` removes it, as does its last reference.

    It counts against the quotas of its folder and of its sender.
    """

    def __init__(
        self,
        folder: "_Folder",
        path: Path,
        descriptor: int,
        size: int = 0,
        quotas: tuple[Quota, ...] = (),
    ) -> None:
        self.path = path
        self.size = size
        self._folder = folder
        self._quotas = (folder, *quotas)
        self._descriptor = descriptor
        self._closed = False
        self._reserved = size
        self._lock = threading.Lock()
        folder.release(-size)  # exists already, whether it fits or not

    @property
    def in_memory(self) -> bool:
        """Whether writes never wait for a disk."""
        return self._folder.in_memory

    def __len__(self) -> int:
        return self.size

    def reserve(self, size: int) -> None:
        """Count ``size`` bytes in advance; raises ``StorageFull``."""
        more = size - self._reserved
        if more <= 0:
            return
        with contextlib.ExitStack() as undo:
            for quota in self._quotas:
                quota.acquire(more)
                undo.callback(quota.release, more)
            undo.pop_all()
        self._reserved = size

    def write(self, data: bytes) -> None:
        """Append; raises ``StorageFull``. Does nothing after ``close``. Thread-safe if reserved."""
        self.reserve(self.size + len(data))
        rest = memoryview(data)
        try:
            # Under the lock: a closed descriptor may belong to another file by now.
            with self._lock:
                if self._descriptor < 0 and not self._closed:
                    self._descriptor = os.open(self.path, os.O_RDWR)
                while rest and not self._closed:
                    written = os.pwrite(self._descriptor, rest, self.size)
                    self.size += written
                    rest = rest[written:]
        except OSError as error:
            if error.errno in FULL:
                raise StorageFull from error
            raise

    def read(self, offset: int = 0, size: int = -1) -> bytes:
        """Return ``size`` bytes from ``offset`` on, by default all of them."""
        size = self.size - offset if size < 0 else size
        with self._lock:
            if self._descriptor >= 0:
                return os.pread(self._descriptor, size, offset)
        with self.path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), size, offset)

    def open(self) -> BinaryIO:
        """Open the file once more; what is open stays readable after ``close``."""
        return self.path.open("rb")

    def chunks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield the content from ``offset`` on in chunks of at most ``CHUNK`` bytes."""
        while offset < self.size:
            chunk = self.read(offset, CHUNK)
            if not chunk:
                raise OSError("A spooled file was truncated.")
            offset += len(chunk)
            yield chunk

    def read_into(self, consume: Callable[[bytes], object]) -> None:
        """Call ``consume`` with each chunk of the content."""
        for chunk in self.chunks():
            consume(chunk)

    def make_read_only(self) -> None:
        """Prevent readers from changing the file, which is complete."""
        self.path.chmod(0o400)

    def close_descriptor(self) -> None:
        """Close the file's descriptor; the next write opens it again."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def close(self) -> None:
        """Remove the file."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self.close_descriptor()
        for quota in self._quotas:
            quota.release(self._reserved)
        self.path.unlink(missing_ok=True)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()


class _Folder(Quota):
    """One folder of the spool, in shared memory or on disk."""

    def __init__(self, path: Path, lock: FolderLock, limit: int, *, in_memory: bool) -> None:
        super().__init__(limit, FULL_DISK)
        self.path = path
        self.lock = lock
        self.in_memory = in_memory

    @classmethod
    def create(cls, root: Path, limit: int, *, in_memory: bool) -> "_Folder":
        """Create a folder in ``root``; remove those of servers that were killed."""
        for abandoned in _abandoned(root):
            shutil.rmtree(abandoned, ignore_errors=True)
        unlocked = Path(tempfile.mkdtemp(prefix=f"new-{PREFIX}", dir=root))
        lock = FolderLock(unlocked)
        lock.acquire("")
        # Gets its final name only now that it is locked, so that it is never taken for abandoned.
        path = unlocked.rename(root / unlocked.name.removeprefix("new-"))
        return cls(path, lock, limit, in_memory=in_memory)

    def fits(self, size: int) -> bool:
        if self.in_memory and size > MEMORY_FILE:
            return False
        spare = 0 if self.in_memory else SPARE
        return self.used + size <= self.limit and size + spare <= shutil.disk_usage(self.path).free

    def begin(self, *quotas: Quota) -> SpooledFile:
        """Create an empty file; raises ``StorageFull``."""
        path = self.path / secrets.token_hex(16)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise StorageFull from error
        return SpooledFile(self, path, descriptor, quotas=quotas)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self.lock.release()


class KernelFileShare:
    """A kernel's own subfolder of each spool folder, for results that are too large for a frame."""

    def __init__(self, folders: list[_Folder]) -> None:
        self._name = secrets.token_hex(16)
        self._proof = secrets.token_bytes(32)
        self._folders = folders
        for folder in folders:
            (folder.path / self._name).mkdir(mode=0o700)
        self.probe = folders[-1].path / self._name / PROBE
        with open(os.open(self.probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(self._proof)

    def is_proof(self, content: bytes) -> bool:
        """Return whether this is the content of ``probe``, so that its reader is on this host."""
        return secrets.compare_digest(content, self._proof)

    @property
    def path(self) -> str:
        """The folder for the kernel's next file; the kernel checks the free space itself."""
        folder = next((f for f in self._folders if f.used < f.limit), self._folders[-1])
        return str(folder.path / self._name)

    def claim(self, name: str) -> SpooledFile:
        """Take over a file that the kernel wrote; raises ``ValueError`` if it is not usable."""
        if not NAME.match(name):
            raise ValueError("Invalid file name in a spool folder.")
        for folder in self._folders:
            source = folder.path / self._name / name
            try:
                # Follows no link, which could lead anywhere, and does not wait for a pipe.
                descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ValueError("A file in a spool folder cannot be read.") from error
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                os.close(descriptor)
                raise ValueError(
                    "A result in a spool folder must be a regular file without other links."
                )
            path = source.rename(folder.path / secrets.token_hex(16))
            return SpooledFile(folder, path, descriptor, status.st_size)
        raise ValueError("The file is missing in the spool folder.")

    def close(self) -> None:
        """Remove all files that were not claimed."""
        for folder in self._folders:
            shutil.rmtree(folder.path / self._name, ignore_errors=True)


class Spool:
    """The large bodies of a server, in shared memory first, then on disk.

    - ``disk``: the folder for files on disk
    - ``limit``: bytes on disk
    - ``memory``: the folder in shared memory; ``None`` to use the disk only
    - ``visitors``: the part of ``limit`` for all callers without a login
    """

    def __init__(
        self, disk: Path, limit: int, memory: Path | None = MEMORY, *, visitors: float = 0.25
    ) -> None:
        self.visitors = Quota(int(limit * visitors), FULL_SHARE)
        self._disk = disk
        self._limit = limit
        self._memory = memory
        self._folders: list[_Folder] = []
        self._turn = asyncio.Lock()

    async def take_turn(self) -> None:
        """Wait until this body may read on: one in each iteration of the event loop.

        When several are read, calls and other requests have a millisecond after each part.
        """
        several = self._turn.locked()
        async with self._turn:
            await asyncio.sleep(PAUSE if several else 0)

    def open(self) -> None:
        """Create the folders and remove those of servers that were killed; raises ``OSError``."""
        memory = self._memory
        if memory is not None and os.access(memory, os.W_OK):
            limit = min(int(shutil.disk_usage(memory).free * MEMORY_SHARE), MEMORY_LIMIT)
            self._folders.append(_Folder.create(memory, limit, in_memory=True))
        self._disk.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folders.append(_Folder.create(self._disk, self._limit, in_memory=False))

    def create(self, size: int = 0) -> SpooledFile:
        """Create a file that ``size`` bytes fit into now; raises ``StorageFull``.

        In memory they are reserved, because a body that finds no space there can use the disk. On
        disk they are counted as they arrive: an announced file takes no space from others.
        """
        folder = next((folder for folder in self._folders if folder.fits(size)), None)
        if folder is None:
            raise StorageFull
        file = folder.begin()
        file.reserve(size if folder.in_memory else 0)
        return file

    def check(self, size: int, *, visitor: bool = False) -> None:
        """Raise ``StorageFull`` if a file of this size does not fit on disk now."""
        if visitor:
            self.visitors.check(size)
        if not self._folders or not self._folders[-1].fits(size):
            raise StorageFull

    def create_on_disk(self, size: int = 0, *, visitor: bool = False) -> SpooledFile:
        """Create a file that is stored for long; raises ``StorageFull``.

        ``visitor``: the sender has no login.
        """
        self.check(size, visitor=visitor)
        return self._folders[-1].begin(*((self.visitors,) if visitor else ()))

    @property
    def folder(self) -> Path | None:
        """The folder on disk, which is removed with this server; ``None`` if this is not open."""
        return self._folders[-1].path if self._folders else None

    def open_file_share(self) -> KernelFileShare | None:
        """Open a folder for a kernel, if this spool is open."""
        return KernelFileShare(self._folders) if self._folders else None

    def close(self) -> None:
        """Remove everything."""
        for folder in self._folders:
            folder.remove()
        self._folders = []


def _abandoned(root: Path) -> Iterator[Path]:
    """Yield the folders of this account's servers that have ended."""
    for folder in root.glob(f"{PREFIX}*"):
        lock = FolderLock(folder)
        with contextlib.suppress(OSError):
            own = not folder.is_symlink() and folder.stat().st_uid == os.getuid()
            if own and lock.path.is_file() and lock.acquire("") is None:
                yield folder
                lock.release()
