"""Temporary files of a call, removed when the call ends, and safe names for files."""

import atexit
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from easymlnb.types.uploaded_files import Data

MAX_NAME = 120
"""Longest file name in characters."""

SEPARATORS = re.compile(r"[\\/]")
FORBIDDEN = re.compile(r'[<>:"|?*]')


class Folder:
    """A folder that is created with its first file; ``close`` removes it."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._count = 0

    def put(self, name: str, data: Data, path: Path | None = None) -> Path:
        """Write ``data`` to a new file and return its path; ``name`` must be a safe file name.

        With ``path``, a file with the same content, the new file is a link.
        """
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix="easymlnb-"))
        # Each file has its own folder, because two uploads may have the same name.
        self._count += 1
        inner = self._path / str(self._count)
        inner.mkdir()
        file = inner / name
        if path is not None:
            file.symlink_to(path)
        else:
            file.write_bytes(data)
        return file

    def close(self) -> None:
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._path = None


_CURRENT: ContextVar[Folder | None] = ContextVar("easymlnb_scratch", default=None)
_OUTSIDE = Folder()
atexit.register(_OUTSIDE.close)


@contextmanager
def scratch() -> Iterator[None]:
    """Remove the temporary files that are created inside the block at its end."""
    folder = Folder()
    token = _CURRENT.set(folder)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        folder.close()


def create(name: str, data: Data, path: Path | None = None) -> Path:
    """Create a temporary file for this call, or, outside of calls, for this process."""
    return (_CURRENT.get() or _OUTSIDE).put(name, data, path)


def safe_filename(name: str) -> str:
    """Return the last part of a path without control characters and with limited length.

    The result is empty if no character is valid.
    """
    last = SEPARATORS.split(name)[-1]
    # Categories C* are control, format (right-to-left overrides) and surrogate characters.
    clean = "".join(char for char in last if not unicodedata.category(char).startswith("C"))
    clean = FORBIDDEN.sub("_", clean).strip().strip(".").strip()
    if len(clean) <= MAX_NAME:
        return clean
    stem, dot, ending = clean.rpartition(".")
    if not dot or len(ending) > 10:
        return clean[:MAX_NAME]
    return f"{stem[: MAX_NAME - len(ending) - 1]}.{ending}"
