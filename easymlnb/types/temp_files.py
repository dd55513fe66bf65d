"""Temporary files of a call, removed when the call ends."""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from easymlnb.types.uploaded_files import Data


class Folder:
    """A folder that exists from its first file on; ``close`` removes it."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._count = 0

    def put(self, name: str, data: Data, path: Path | None = None) -> Path:
        """Write ``data`` to a new file called ``name``, which must be a label, and return it.

        With ``path``, a file that holds the same, it is a link to that.
        """
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix="easymlnb-"))
        # Each file in a folder of its own: two uploads may have one name.
        self._count += 1
        inner = self._path / str(self._count)
        inner.mkdir()
        made = inner / name
        if path is not None:
            made.symlink_to(path)
        else:
            made.write_bytes(data)
        return made

    def close(self) -> None:
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._path = None


_CURRENT: ContextVar[Folder | None] = ContextVar("easymlnb_scratch", default=None)
_OUTSIDE = Folder()
atexit.register(_OUTSIDE.close)


@contextmanager
def scratch() -> Iterator[None]:
    """Own the temporary files made inside; they are removed at the end."""
    folder = Folder()
    token = _CURRENT.set(folder)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        folder.close()


def create(name: str, data: Data, path: Path | None = None) -> Path:
    """Make a temporary file for this call; outside of any call it lives as long as the process."""
    return (_CURRENT.get() or _OUTSIDE).put(name, data, path)
