"""Locks a state folder, so that two servers do not start every worker twice."""

import fcntl
import os
from pathlib import Path


class FolderLock:
    """A lock on a folder that the operating system gives up with the process that holds it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "server.lock"
        self._file: int | None = None

    def take(self, note: str, *, shared: bool = False) -> str | None:
        """Take the folder and leave ``note``; returns the holder's note if somebody else has it.

        With ``shared``, other servers may take it too if they pass the same.
        """
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(file, 4096).decode(errors="replace")
            os.close(file)
            return holder or "unknown"
        os.ftruncate(file, 0)
        os.write(file, note.encode())
        self._file = file
        return None

    def alone(self) -> bool:
        """Say whether no other server has the folder, too."""
        if self._file is None:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        # One that starts now must not be refused: the exclusive lock was only a test.
        fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True

    def release(self) -> None:
        """Give the folder back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
