"""The output of jobs that have not ended, as files that grow: one for each attempt.

A second file has the latest progress, which the next server shows if this one is killed.
"""

import contextlib
import os
from pathlib import Path

import msgspec

from easymlnb.contract.job_protocol import LOG_LIMIT


class JobLogs:
    """Output by job and attempt. Writes are small and go to the page cache."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        """Create the folder."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def size(self, job: str, attempt: int) -> int:
        """Return the bytes of an attempt's output that are here."""
        try:
            return self._path(job, attempt).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, job: str, attempt: int, offset: int, data: bytes) -> bytes:
        """Add output that starts at ``offset``; return the part that was not here yet."""
        size = self.size(job, attempt)
        data = data[max(0, size - offset) :]
        if offset > size or not data or size > LOG_LIMIT:
            return b""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with open(os.open(self._path(job, attempt), flags, 0o600), "ab", 0) as file:
            file.write(data)
        return data

    def read(self, job: str, attempts: int) -> bytes:
        """Return the output of the first ``attempts`` attempts, one after another.

        What was there before another attempt stays where it was.
        """
        numbers = range(1, attempts + 1)
        return b"".join(_head(number) + self._read(job, number) for number in numbers)

    def end(self, job: str, attempts: int) -> int:
        """Return how many bytes ``read`` returns."""
        numbers = range(1, attempts + 1)
        return sum(len(_head(number)) + self.size(job, number) for number in numbers)

    def save_progress(self, job: str, attempt: int, progress: tuple[float, str]) -> None:
        """Replace the progress of an attempt; a killed process leaves the last one."""
        data = msgspec.json.encode(progress)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with contextlib.suppress(OSError):  # a full disk does not end the job
            handle = os.open(self._progress(job, attempt), flags, 0o600)
            with open(handle, "wb", 0) as file:
                file.write(data)

    def progress(self, job: str, attempt: int) -> tuple[float, str] | None:
        """Return the latest progress of an attempt, if any."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            data = self._progress(job, attempt).read_bytes()
            return msgspec.json.decode(data, type=tuple[float, str])
        return None

    def remove(self, job: str, attempts: int) -> None:
        """Delete the output of a job."""
        for number in range(1, attempts + 1):
            self._path(job, number).unlink(missing_ok=True)
            self._progress(job, number).unlink(missing_ok=True)

    def _read(self, job: str, attempt: int) -> bytes:
        try:
            return self._path(job, attempt).read_bytes()
        except FileNotFoundError:
            return b""

    def _progress(self, job: str, attempt: int) -> Path:
        return self._folder / f"{job}-{attempt}.progress"

    def _path(self, job: str, attempt: int) -> Path:
        return self._folder / f"{job}-{attempt}"


def _head(attempt: int) -> bytes:
    """Return what comes before the output of an attempt."""
    return f"\n--- attempt {attempt} ---\n".encode() if attempt > 1 else b""
