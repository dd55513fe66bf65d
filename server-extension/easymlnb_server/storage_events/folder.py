"""A folder as a source: files are claimed by a rename, and moved to ``done`` with their results.

::

    inbox/scan.tif                            a new file
    inbox/.working/01K.../scan.tif            taken: its name in the database is the folder's
    inbox/done/scan.tif                       the end of it,
    inbox/done/scan.tif.result.json           with its result, or scan.tif.error.json
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from easymlnb.contract.errors import NotReady
from easymlnb_server.jobs.models import new_id
from easymlnb_server.storage_events import rules
from easymlnb_server.storage_events.models import Found, Item, Outcome, Source
from easymlnb_server.storage_events.place import Gone, NotComplete
from easymlnb_server.storage_events.rules import ERROR, Settling, Stamp
from easymlnb_server.store.folder_lock import FolderLock

WORKING, DONE = ".working", "done"
CHUNK = 2**20

IDLE = 10.0
"""Seconds between two checks of a watched folder, because events may be lost."""

MISSING_PACKAGE = (
    "Watching a folder needs the package watchfiles: pip install 'easymlnb[storage]'. Or set "
    "polling to true, which lists the folder at intervals."
)


class FolderPlace:
    """The files at the top of one folder.

    Links, hidden files and those with names of unfinished downloads are left alone. A lock allows
    only one server to take files of the folder.
    """

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._folder = Path(source.folder)
        self._working = self._folder / WORKING
        self._done = self._folder / DONE
        self._results = Path(source.results) if source.results else self._done
        self._settling = Settling(source.settle)
        self._clock = clock
        self._lock: FolderLock | None = None
        self._confirmed: set[str] = set()

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
        async for _ in awatch(self._folder, recursive=False, debounce=50, step=20):
            notify()

    def find(self, most: int) -> list[Found]:
        """Claim at most the given number of complete files; return all unconfirmed claims."""
        complete = self._settling.settled(self._stamps(), self._clock())
        claimed = sum(self._claim(name) for name in complete[:most])
        if claimed:
            _sync(self._folder)
        return list(self._claims())

    def confirm(self, found: list[Found]) -> None:
        """Note that these claims are in the database."""
        self._confirmed |= {one.id for one in found}

    def read(self, item: Item) -> Iterator[bytes]:
        """Yield the content of a claimed file, whose writer may still have it open."""
        path = self._claimed(item)
        try:
            before = _stamp(path.lstat())
            with _open(path) as file:
                while chunk := file.read(CHUNK):
                    yield chunk
            if _stamp(path.lstat()) != before:
                raise NotComplete
        except FileNotFoundError as error:
            raise Gone from error

    def target(self, item: Item) -> str:
        """Return a name that neither an input nor a result in the target folders has."""
        name = item.path
        results = (self._results / f"{name}{end}" for end in (ERROR, f"{rules.RESULT}.json"))
        if any(path.exists() for path in (self._done / name, *results)):
            return rules.numbered_name(name, item.id)
        return name

    def finish(self, item: Item, outcome: Outcome, content: Iterator[bytes]) -> None:
        """Write the result, then move the input to ``done``; each step may be repeated."""
        target = item.target or item.path
        if outcome.error is not None:
            name, content = f"{target}{ERROR}", iter([msgspec.json.encode(outcome.error)])
        else:
            name = rules.result_name(target, outcome.media_type, outcome.filename)
        _write(self._results / name, content)
        claimed = self._claimed(item)
        with contextlib.suppress(FileNotFoundError):  # moved before, or removed by somebody
            claimed.replace(self._done / target)
            _sync(self._done)
        with contextlib.suppress(FileNotFoundError, OSError):
            claimed.parent.rmdir()
        self._confirmed.discard(item.id)

    def _stamps(self) -> dict[str, Stamp]:
        """Return the files that may be taken, with what shows that they change."""
        found: dict[str, Stamp] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if not rules.is_wanted(entry.name, self._source.pattern):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    state = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(state.st_mode):
                        found[entry.name] = _stamp(state)
        return found

    def _claim(self, name: str) -> bool:
        """Take a file; ``False`` if it is gone, or was renamed, meanwhile."""
        claim = self._working / new_id()
        claim.mkdir()
        try:
            (self._folder / name).rename(claim / rules.safe_name(name, claim.name))
        except FileNotFoundError:
            claim.rmdir()
            return False
        _sync(claim)
        _sync(self._working)
        return True

    def _claims(self) -> Iterator[Found]:
        for claim in sorted(self._working.iterdir()):
            if claim.name in self._confirmed or not claim.is_dir():
                continue
            files = [one for one in claim.iterdir() if stat.S_ISREG(one.lstat().st_mode)]
            if not files:  # a crash came before the rename, or after the move to `done`
                with contextlib.suppress(OSError):
                    claim.rmdir()
                continue
            path = files[0]
            yield Found(claim.name, claim.name, path.name, claim.name, path.stat().st_size)

    def _claimed(self, item: Item) -> Path:
        return self._working / item.place / item.path


def _open(path: Path) -> BinaryIO:
    """Open a claimed file; raises ``Gone`` for what others have put in its place."""
    try:
        # Without waiting: the other end of a pipe may never be opened.
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Gone from error
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Gone
    return file


def _stamp(state: os.stat_result) -> Stamp:
    return state.st_size, state.st_mtime_ns


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    """Write a file so that readers see either the whole file or none."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # of a crash; "x" follows no link that others made
        with temporary.open("xb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
