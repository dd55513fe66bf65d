"""A folder as a source: files are claimed by a rename, and moved to ``done`` with their results.

::

    inbox/scan.tif                            a new file
    inbox/.working/01K.../scan.tif            taken: its name in the database is the folder's
    inbox/done/scan.tif                       the end of it,
    inbox/done/scan.tif.result.json           with its result, or scan.tif.error.json

Files of subfolders have their relative paths in place of the names.
"""

import asyncio
import contextlib
import errno
import logging
import os
import stat
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import msgspec

from easymlnb.contract.errors import Forbidden, NotReady
from easymlnb_server.jobs.models import new_id
from easymlnb_server.storage_events import rules, subfolders
from easymlnb_server.storage_events.models import FileOutcome, Found, Source, TakenFile
from easymlnb_server.storage_events.place import Gone, NotComplete
from easymlnb_server.storage_events.rules import ERROR, Settling, Stamp
from easymlnb_server.store.folder_lock import FolderLock

WORKING, DONE = ".working", "done"
CHUNK = 2**20

LONGEST_PATH = 1000
"""Bytes of a subfolder's relative path; deeper ones are left alone."""

UNMOVABLE = (errno.EACCES, errno.EPERM, errno.EXDEV)
"""Errors of files that the server may not move, or that are on another file system."""

IDLE = 10.0
"""Seconds between two checks of a watched folder, because events may be lost."""

MISSING_PACKAGE = (
    "Watching a folder needs the package watchfiles: pip install 'easymlnb[storage]'. Or set "
    "polling to true, which lists the folder at intervals."
)
UNREADABLE = (
    "The server's account may not read the file. Give it the right to, and move the file back into "
    "the folder."
)

log = logging.getLogger("easymlnb.storage_events")


class FolderPlace:
    """The files of one folder, and of its subfolders if the source is recursive.

    Links, hidden files and those with names of unfinished downloads are left alone. A lock allows
    only one server to take files of the folder.
    """

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._folder = Path(source.folder)
        self._working = self._folder / WORKING
        self._done = self._folder / DONE
        self._results = Path(source.results) if source.results else self._done
        own = (self._working, self._done, self._results)
        # Results can also be in a folder above this one, which is not the source's own.
        self._own = tuple(one for one in own if one.is_relative_to(self._folder))
        self._settling = Settling(source.settle)
        self._clock = clock
        self._lock: FolderLock | None = None
        self._confirmed: set[str] = set()
        self._unreadable: set[str] = set()

    @property
    def pause(self) -> float:
        """Seconds until the next check."""
        if self._settling.pending or self._source.polling:
            return self._source.settle / 2
        return IDLE

    def open(self) -> None:
        """Lock the folder; raises ``NotReady`` if it is missing or locked by another server."""
        if self._lock is not None:
            return
        if not self._folder.is_dir():
            raise NotReady(f"There is no folder {self._folder}. Create it.")
        for folder in (self._working, self._done, self._results):
            folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(self._working)
        holder = lock.acquire(f"process {os.getpid()}")
        if holder is not None:
            raise NotReady(f"Another server ({holder}) takes the files of {self._folder}.")
        self._lock = lock

    def close(self) -> None:
        """Release the folder."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    async def watch(self, notify: Callable[[], None]) -> None:
        """Call ``notify`` after each change in the folder, until canceled."""
        if self._source.polling:
            return
        try:
            from watchfiles import awatch
        except ImportError as error:
            raise NotReady(MISSING_PACKAGE) from error
        folders = await asyncio.to_thread(self._folders)
        while True:
            # Each folder on its own: in a whole tree, links to other folders would be followed.
            changes = awatch(
                *folders,
                watch_filter=lambda _, path: not self._is_own(path),
                recursive=False,
                ignore_permission_denied=True,
                debounce=50,
                step=20,
            )
            folders = await self._follow(changes, folders, notify)

    async def _follow(
        self, changes: AsyncGenerator[Any, None], folders: list[str], notify: Callable[[], None]
    ) -> list[str]:
        """Call ``notify`` after each change, until there are other subfolders; return all."""
        try:
            async with contextlib.aclosing(changes):
                async for _ in changes:
                    notify()
                    found = await asyncio.to_thread(self._folders)
                    if found != folders:
                        return found
        except FileNotFoundError:
            if len(folders) == 1:
                raise
        return await asyncio.to_thread(self._folders)

    def _folders(self) -> list[str]:
        """Return the folder, and the subfolders that are watched."""
        if not self._source.recursive:
            return [str(self._folder)]
        return sorted(folder for folder, _ in self._walk())

    def find(self, most: int) -> list[Found]:
        """Claim at most the given number of complete files; return all unconfirmed claims."""
        for path in self._settling.settled(self._stamps(), self._clock()):
            if most <= 0:
                break
            most -= self._claim(path)
        return list(self._claims())

    def confirm(self, found: list[Found]) -> None:
        """Note that these claims are in the database."""
        self._confirmed |= {one.id for one in found}

    def read(self, item: TakenFile) -> Iterator[bytes]:
        """Yield the content of a claimed file, whose writer may still have it open."""
        path = PurePosixPath(item.place, item.path)
        try:
            with subfolders.opened(self._working, path.parent) as folder:
                before = _stamp_at(folder, path.name)
                with _open(folder, path.name) as file:
                    while chunk := file.read(CHUNK):
                        yield chunk
                if _stamp_at(folder, path.name) != before:
                    raise NotComplete
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Gone from error
        except PermissionError as error:
            raise Forbidden(UNREADABLE) from error

    def target(self, item: TakenFile) -> str:
        """Return a name that neither an input nor a result in the target folders has."""
        name = item.path
        if not all(subfolders.has_room(one, name) for one in (self._done, self._results)):
            return f"{item.id}/{name}"
        results = (self._results / f"{name}{end}" for end in (ERROR, f"{rules.RESULT}.json"))
        if any(path.exists() for path in (self._done / name, *results)):
            return rules.numbered_name(name, item.id)
        return name

    def finish(self, item: TakenFile, outcome: FileOutcome, content: Iterator[bytes]) -> None:
        """Write the result, then move the input to ``done``; each step may be repeated."""
        target = item.target or item.path
        if outcome.error is not None:
            name, content = f"{target}{ERROR}", iter([msgspec.json.encode(outcome.error)])
        else:
            name = rules.result_name(target, outcome.media_type, outcome.filename)
        subfolders.write(self._results, name, content)
        claim = self._working / item.place
        with contextlib.suppress(FileNotFoundError):  # moved before, or removed by somebody
            subfolders.move(claim, self._done, item.path, target)
        subfolders.remove_empty(claim)
        self._confirmed.discard(item.id)

    def _is_own(self, path: str) -> bool:
        """Return whether a path is below a folder that the source itself writes."""
        return any(Path(path).is_relative_to(one) for one in self._own)

    def _stamps(self) -> dict[str, Stamp]:
        """Return the files that may be taken, with what shows that they change."""
        found: dict[str, Stamp] = {}
        for folder, names in self._walk():
            for name in names:
                if not rules.is_wanted(name, self._source.pattern):
                    continue
                path = os.path.join(folder, name)
                try:
                    state = os.lstat(path)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except PermissionError as error:
                    self._refused(_of(error, folder))
                    break
                if stat.S_ISREG(state.st_mode):
                    found[os.path.relpath(path, self._folder)] = _stamp(state)
        return found

    def _walk(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the folder, and the subfolders that are watched, with the names of their files."""
        for folder, inner, names in os.walk(self._folder, onerror=self._refused):
            inner[:] = [one for one in inner if self._is_watched(os.path.join(folder, one))]
            yield folder, names

    def _is_watched(self, subfolder: str) -> bool:
        relative = os.path.relpath(subfolder, self._folder)
        return (
            self._source.recursive
            and not os.path.basename(subfolder).startswith(".")
            and not self._is_own(subfolder)
            and len(os.fsencode(relative)) <= LONGEST_PATH
        )

    def _refused(self, error: OSError) -> None:
        """Raise for the folder itself; a subfolder that cannot be used is left alone."""
        if error.filename == str(self._folder):
            raise error
        if error.filename not in self._unreadable:
            self._unreadable.add(error.filename)
            log.warning("The folder %s is not watched: %s.", error.filename, error.strerror)

    def _claim(self, path: str) -> bool:
        """Take a file; ``False`` if it is gone, or was renamed, meanwhile, or cannot be moved."""
        claim = self._working / new_id()
        claim.mkdir()
        try:
            subfolders.move(self._folder, claim, path, rules.safe_path(path, claim.name))
        except (FileNotFoundError, NotADirectoryError):
            subfolders.remove_empty(claim)
            return False
        except OSError as error:
            subfolders.remove_empty(claim)
            if error.errno not in UNMOVABLE:
                raise
            self._refused(_of(error, str((self._folder / path).parent)))
            return False
        _sync(self._working)
        return True

    def _claims(self) -> Iterator[Found]:
        for claim in sorted(self._working.iterdir()):
            if claim.name in self._confirmed or not claim.is_dir():
                continue
            path = _file_in(claim)
            if path is None:  # a crash came before the rename, or after the move to `done`
                subfolders.remove_empty(claim)
                continue
            name = path.relative_to(claim).as_posix()
            yield Found(claim.name, claim.name, name, claim.name, path.stat().st_size)


def _of(error: OSError, folder: str) -> OSError:
    """Return an error of a file as one of its folder."""
    return OSError(error.errno, error.strerror, folder)


def _file_in(claim: Path) -> Path | None:
    """Return the claimed file; ``None`` for an empty claim."""
    for folder, _, names in os.walk(claim):
        for name in names:
            path = Path(folder, name)
            if stat.S_ISREG(path.lstat().st_mode):
                return path
    return None


def _open(folder: int, name: str) -> BinaryIO:
    """Open a claimed file; raises ``Gone`` for what others have put in its place."""
    try:
        # Without waiting: the other end of a pipe may never be opened.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.fdopen(os.open(name, flags, dir_fd=folder), "rb")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Gone from error
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Gone
    return file


def _stamp_at(folder: int, name: str) -> Stamp:
    return _stamp(os.stat(name, dir_fd=folder, follow_symlinks=False))


def _stamp(state: os.stat_result) -> Stamp:
    return state.st_size, state.st_mtime_ns


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
