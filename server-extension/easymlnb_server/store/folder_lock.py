"""Lock a state folder, so that two servers do not start each worker twice."""

import fcntl
import os
from pathlib import Path


class FolderLock:
    """A lock on a folder. The operating system releases it when the process ends."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "server.lock"
        self._file: int | None = None

    def acquire(self, note: str, *, shared: bool = False) -> str | None:
        """Lock the folder and write ``note``; return the holder's note if it is locked already.

        With ``shared``, several servers can hold the lock if all of them pass ``shared``.
        """
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
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

    def is_exclusive(self) -> bool:
        """Return whether no other server holds the lock too."""
        if self._file is None:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        # The exclusive lock was only a test: a server that starts now must not be refused.
        fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True

    def release(self) -> None:
        """Release the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
