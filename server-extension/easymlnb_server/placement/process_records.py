"""Records of worker processes, one file each, for the next server process."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import psutil

MARK = "EASYMLNB_WORKER"
"""Variable with a worker's name: whatever it starts inherits it and is found by it."""

SOCKETS = "emnb-"
"""How the folders of workers' sockets begin, in the folder for temporary files."""

LONGEST = 107 if sys.platform.startswith("linux") else 103
"""Bytes that the path of a socket may have."""

END_TIMEOUT = 5.0
"""Seconds that a killed process may take to be gone; one that a driver holds never is."""


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A worker's process: its name, its id and when it began, and the folder of its sockets.

    Once it serves, ``bundle`` says what, and ``token`` is the hash of the secret that it comes
    back with. ``gpus`` and ``share`` are its room.
    """

    worker: str
    pid: int
    started: float
    sockets: str
    bundle: str = ""
    token: str = ""
    gpus: tuple[str, ...] | None = None
    share: float = 1.0

    @property
    def runs(self) -> bool:
        """Say whether that very process is there: ids are used again in time.

        Its start is computed from the wall clock, which may have been set since; its mark stays.
        """
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if process.create_time() == self.started:
                return True
            return process.environ().get(MARK) == self.worker
        except psutil.Error:
            return False

    @property
    def folder(self) -> Path | None:
        """The folder of its sockets; ``None`` if it is gone, or the note cannot be meant so."""
        if not self.sockets.startswith(SOCKETS) or Path(self.sockets).name != self.sockets:
            return None
        found = (root / self.sockets for root in _roots())
        return next((path for path in found if path.is_dir()), None)


def socket_folder(prefix: str = SOCKETS) -> Path:
    """Make a folder for sockets that no other account can enter; raises ``OSError``.

    The folder for temporary files may have too long a name: a socket's path is bounded.
    """
    failed: OSError | None = None
    room = LONGEST - len(f"/{prefix}12345678/k-pipe")
    for root in _roots():
        if len(os.fsencode(root)) > room:
            continue
        try:
            return Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        except OSError as error:
            failed = error
    raise failed or OSError(
        f"The path {tempfile.gettempdir()} is too long for sockets. Set TMPDIR to a folder with "
        f"a path of at most {room} characters."
    )


def _roots() -> list[Path]:
    """Return the folders that socket folders may be made in, the best one first."""
    found = (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR"), "/tmp", "/var/tmp")
    return [Path(name) for name in found if name]


def write(file: Path, record: msgspec.Struct) -> None:
    """Keep a note, readable by its owner only; a crash leaves the old one or the new."""
    half = file.with_suffix(".half")
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(msgspec.json.encode(record))
    half.replace(file)


def has_other_token(file: Path, token: str) -> bool:
    """Say whether another server process has written this note since: the worker is its own."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_Proof)
    except (OSError, msgspec.MsgspecError):
        return False
    return found.token != token


class _Proof(msgspec.Struct):
    """The part of a note that changes with the server."""

    token: str = ""


def read(records: Path) -> dict[str, Record | None]:
    """Return all notes by the worker's name; ``None`` where one cannot be read."""
    found: dict[str, Record | None] = {}
    for file in records.glob("*.json"):
        found[file.stem] = None
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found[file.stem] = msgspec.json.decode(file.read_bytes(), type=Record)
    return found


def clear(file: Path, record: Record | None) -> None:
    """End a worker with all it started, and remove its traces and the note."""
    end_processes(record.pid if record is not None and record.runs else 0, file.stem)
    until = time.monotonic() + END_TIMEOUT
    while record is not None and record.runs and time.monotonic() < until:
        time.sleep(0.01)
    if record is not None and record.folder is not None:
        shutil.rmtree(record.folder, ignore_errors=True)
    file.unlink(missing_ok=True)


def end_processes(pid: int, worker: str) -> None:
    """End a worker's process group and all that carry its mark, wherever they moved to."""
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == worker:
                process.kill()


def is_stopped(pid: int) -> bool:
    """Say whether a process is stopped by a signal; one that a debugger holds is not."""
    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


def resident(pid: int) -> int:
    """Return the resident bytes of a process and its children; 0 when it is gone."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
    return total
