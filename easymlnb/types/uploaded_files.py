"""Uploaded files, mapped into memory instead of read.

Mapped memory is loaded on access and remains valid after the file is deleted. Changes are private.
"""

import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

Data = bytes | memoryview

KEY = "upload"
"""The key with the id of an upload in a file's JSON object."""

_SENT: ContextVar[Mapping[str, Path | bytes] | None] = ContextVar("easymlnb_sent", default=None)


@contextmanager
def sent(files: Mapping[str, Path | bytes]) -> Iterator[None]:
    """Make files available by their ids inside the block."""
    token = _SENT.set(files)
    try:
        yield
    finally:
        _SENT.reset(token)


def find(name: str) -> Path | bytes:
    """Return the upload with this id; raises ``ValueError`` if the call has none."""
    file = (_SENT.get() or {}).get(name)
    if file is None:
        raise ValueError(
            "The call has no such upload. Send its id in the header X-Easymlnb-Uploads."
        )
    return file


def mapped(file: Any) -> Data:
    """Return the content of an open file as writable memory."""
    try:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except ValueError:
        return b""  # an empty file cannot be mapped


def contents(path: Path) -> Data:
    """Return the content of a file; raises ``OSError``."""
    with path.open("rb") as file:
        return mapped(file)
