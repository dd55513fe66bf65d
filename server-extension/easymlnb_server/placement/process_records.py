"""Records of worker processes, one file each, for the next server process."""

import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil
from jupyter_client.manager import AsyncKernelManager

from easymlnb_server.placement.base import Reservation

WORKER_ENV = "EASYMLNB_WORKER"
"""Variable with a worker's name; all processes that the worker starts inherit it."""

SOCKETS = "emnb-"
"""Prefix of the folders of workers' sockets in the folder for temporary files."""

MAX_SOCKET_PATH = 107 if sys.platform.startswith("linux") else 103
"""Maximum length of a socket's path, in bytes."""

HUB_SOCKETS = f"{SOCKETS}hub-"
"""The same for sockets through which a server reaches a kernel on a node."""

HOST = "host"
"""File in such a folder with the name of the machine whose processes use the sockets."""

ABANDONED_AFTER = 600.0
"""Seconds after which a folder of sockets may be one that nobody uses."""

END_TIMEOUT = 5.0
"""Seconds to wait for a killed process; one that a driver holds never ends."""


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the next server must know to take a worker over.

    bundle: the id of what it serves; empty until it serves.
    token: the hash of the secret with which it reconnects.
    """

    worker: str
    bundle: str = ""
    token: str = ""


class ProcessRecord(WorkerRecord, frozen=True, kw_only=True, omit_defaults=True):
    """A worker's process on this machine.

    started: when the process began, in seconds since 1970.
    sockets: the name of the folder of its sockets.
    gpus, share: its reservation.
    """

    pid: int
    started: float
    sockets: str
    gpus: tuple[str, ...] | None = None
    share: float = 1.0

    @property
    def runs(self) -> bool:
        """Whether this very process runs: process ids are used again.

        The start time comes from the wall clock, which may have been set since; the variable stays.
        """
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if process.create_time() == self.started:
                return True
            return process.environ().get(WORKER_ENV) == self.worker
        except psutil.Error:
            return False

    @property
    def folder(self) -> Path | None:
        """The folder of its sockets; ``None`` if it is gone, or its name is invalid."""
        if not self.sockets.startswith(SOCKETS) or Path(self.sockets).name != self.sockets:
            return None
        paths = (root / self.sockets for root in _roots())
        return next((path for path in paths if path.is_dir()), None)


def kernel_pid(manager: AsyncKernelManager) -> int:
    """Return the process id from the local provisioner; 0 if there is none."""
    return int(getattr(manager.provisioner, "pid", None) or 0)


def describe(
    manager: AsyncKernelManager, worker: str, sockets: Path, reservation: Reservation
) -> ProcessRecord:
    """Return the record of a kernel that just started; raises ``psutil.Error``."""
    pid = kernel_pid(manager)
    return ProcessRecord(
        worker=worker,
        pid=pid,
        started=psutil.Process(pid).create_time(),
        sockets=sockets.name,
        gpus=reservation.gpus,
        share=reservation.share,
    )


def socket_folder(prefix: str = SOCKETS) -> Path:
    """Create a folder for sockets that no other account can enter; raises ``OSError``.

    Folders with a long path are skipped, as the length of a socket's path is limited.
    """
    failed: OSError | None = None
    limit = MAX_SOCKET_PATH - len(f"/{prefix}12345678/k-pipe")
    for root in _roots():
        if len(os.fsencode(root)) > limit:
            continue
        try:
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
            (folder / HOST).write_text(socket.gethostname())
            return folder
        except OSError as error:
            failed = error
    raise failed or OSError(
        f"The path {tempfile.gettempdir()} is too long for sockets. Set TMPDIR to a folder with "
        f"a path of at most {limit} characters."
    )


def remove_abandoned_folders() -> None:
    """Remove folders of sockets on which no kernel listens; their server was killed.

    The records of their kernels may be gone with the server's state. Folders of other machines,
    which may share TMPDIR with this one, stay: nobody can say from here whether a kernel listens.
    """
    for folder in {path for root in _roots() for path in root.glob(f"{SOCKETS}*")}:
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if status.st_uid == os.getuid() and status.st_mtime < time.time() - ABANDONED_AFTER:
                sockets = list(folder.glob("k-*"))
                # Those to a node may be closed for a while.
                kept = folder.name.startswith(HUB_SOCKETS) or any(map(_has_listener, sockets))
                if sockets and not kept and (folder / HOST).read_text() == socket.gethostname():
                    shutil.rmtree(folder, ignore_errors=True)


def _has_listener(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # it has more connections than it can accept
    return True


def _roots() -> list[Path]:
    """Return the parent folders for socket folders, the preferred one first."""
    names = (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR"), "/tmp", "/var/tmp")
    return [Path(name) for name in names if name]


def write(file: Path, record: object) -> None:
    """Write JSON that only its owner can read; a crash leaves the old content or the new."""
    half = file.with_suffix(".half")
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(msgspec.json.encode(record))
    half.replace(file)


def has_other_token(file: Path, token: str) -> bool:
    """Return whether another server process has written this record, and so owns the worker."""
    record = _read(file, WorkerRecord)
    return record is not None and record.token != token


R = TypeVar("R", bound=WorkerRecord)


def read(folder: Path, kind: type[R]) -> dict[Path, R | None]:
    """Return the records in a folder; ``None`` for those that cannot be read."""
    return {file: _read(file, kind) for file in folder.glob("*.json")}


def _read(file: Path, kind: type[R]) -> R | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(file.read_bytes(), type=kind)
    return None


def clear(file: Path, record: ProcessRecord | None) -> None:
    """End a worker with all it started, and remove its files and the record."""
    end_processes(record.pid if record is not None and record.runs else 0, file.stem)
    until = time.monotonic() + END_TIMEOUT
    while record is not None and record.runs and time.monotonic() < until:
        time.sleep(0.01)
    if record is not None and record.folder is not None:
        shutil.rmtree(record.folder, ignore_errors=True)
    file.unlink(missing_ok=True)


def end_processes(pid: int, worker: str) -> None:
    """End a worker's process group, and all processes that inherited its variable."""
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(WORKER_ENV) == worker:
                process.kill()


def is_stopped(pid: int) -> bool:
    """Return whether a signal has stopped a process; false if a debugger has."""
    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


def resident_memory(pid: int) -> int:
    """Return the resident bytes of a process and its children; 0 when it is gone."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += member.memory_info().rss
    return total
