"""Bytes in files: memory-mapped instead of read.

What is mapped costs memory only where it is looked at, and stays readable when the file's name is
gone. A change of it is seen by nobody else.
"""

import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

Data = bytes | memoryview

KEY = "upload"
"""The entry of a file's JSON object that names what was sent before the call."""

_SENT: ContextVar[Mapping[str, Path | bytes] | None] = ContextVar("easymlnb_sent", default=None)


@contextmanager
def sent(files: Mapping[str, Path | bytes]) -> Iterator[None]:
    """Let values inside the block name these files by their ids."""
    token = _SENT.set(files)
    try:
        yield
    finally:
        _SENT.reset(token)


def find(name: str) -> Path | bytes:
    """Return what was sent under that id; raises ``ValueError`` when this call has no such file."""
    file = (_SENT.get() or {}).get(name)
    if file is None:
        raise ValueError(
            "The call has no such upload. Send its id in the header X-Easymlnb-Uploads."
        )
    return file


def mapped(file: Any) -> Data:
    """Return the content of an open file, as memory that may be changed."""
    try:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except ValueError:
        return b""  # an empty file cannot be mapped


def contents(path: Path) -> Data:
    """Return the content of a file; raises ``OSError``."""
    with path.open("rb") as file:
        return mapped(file)
