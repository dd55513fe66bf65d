"""The file of a checkpoint: its content, then a seal that shows that nothing of it is missing.

A seal is ``MARK`` and the SHA-256 of the content. A worker that is killed while it writes, or a
disk that is full, leaves a file without one.
"""

import hashlib
from pathlib import Path
from typing import IO

MARK = b"easymlnb checkpoint 1\n"

SEAL = len(MARK) + hashlib.sha256().digest_size
"""Bytes of a seal."""

PREFIX = "checkpoint-"
"""Prefix of the files' names in the folder of an attempt; the rest is a number that grows."""

CHUNK = 2**20


class SealedFile:
    """Writes the content of a checkpoint to a file; ``seal`` ends it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Append content."""
        self._digest.update(data)
        return self._file.write(data)

    def seal(self) -> None:
        """Write the seal; nothing may follow it."""
        self._file.write(MARK + self._digest.digest())


def is_whole(path: Path) -> bool:
    """Return whether a file is a checkpoint that was not cut off or changed; blocks."""
    try:
        left = path.stat().st_size - SEAL
        if left < 0:
            return False
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while left and (chunk := file.read(min(CHUNK, left))):
                digest.update(chunk)
                left -= len(chunk)
            return not left and file.read() == MARK + digest.digest()
    except OSError:
        return False


def files_in(folder: Path) -> list[Path]:
    """Return the checkpoints in the folder of an attempt, newest first, whole or not."""
    found = [path for path in folder.glob(f"{PREFIX}*") if _number(path) >= 0]
    return sorted(found, key=_number, reverse=True)


def next_file(folder: Path) -> Path:
    """Return the path of the next checkpoint in the folder of an attempt."""
    return folder / f"{PREFIX}{1 + max(map(_number, files_in(folder)), default=0)}"


def _number(path: Path) -> int:
    text = path.name.removeprefix(PREFIX)
    return int(text) if text.isdecimal() else -1
