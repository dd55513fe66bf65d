"""Send the files of a job to its server, and read checkpoints from there, over links that end."""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from easymlnb.contract.job_protocol import (
    FILE_PART,
    FILE_WINDOW,
    CheckpointPart,
    JobFile,
    JobFilePart,
    JobFileStored,
    JobPartStored,
    ReadCheckpoint,
)
from easymlnb.contract.worker_protocol import LARGE
from easymlnb.runtime import body_files
from easymlnb.runtime.context import Emit

CHECKPOINT_EVERY = 60.0
"""Seconds between two checkpoints that a worker on a node sends."""

LOCAL_CHECKPOINT_EVERY = 5.0
"""The same on the server's machine, where a file is enough."""

TICK = 0.2
"""Seconds between two checks for a file whose time has come."""

ASK_AGAIN = 10.0
"""Seconds without an answer after which a part is requested again."""


@dataclass(eq=False, slots=True)
class _Outgoing:
    """A file that the server does not have yet: ``acked`` bytes of it are there."""

    message: JobFile
    path: Path
    acked: int = 0
    is_stored: bool = False


class FileSender:
    """Sends files, one after another, in a thread of its own; again after a new link.

    A newer checkpoint takes the place of one that waits. ``hurry`` is set when the job leaves its
    node or has ended: then no checkpoint waits.
    """

    def __init__(self, emit: Emit, call: int, folder: Callable[[], str]) -> None:
        self.hurry = False
        self._emit = emit
        self._call = call
        self._folder = folder
        self._changed = threading.Condition()
        self._waiting: list[_Outgoing] = []
        self._sending: _Outgoing | None = None
        self._numbers = 0
        self._link = 0  # grows with each link
        self._connected = True
        self._closed = False
        self._sent_at = -CHECKPOINT_EVERY
        self._thread: threading.Thread | None = None

    @property
    def idle(self) -> bool:
        """Whether the server has all files."""
        with self._changed:
            return not self._waiting and self._sending is None

    def add(self, path: Path, label: str = "", media_type: str = "", *, checkpoint: bool) -> None:
        """Send a file."""
        with self._changed:
            self._numbers += 1
            message = JobFile(
                id=self._call,
                number=self._numbers,
                label=label,
                media_type=media_type,
                checkpoint=checkpoint,
            )
            if checkpoint:
                self._drop_waiting()
            self._waiting.append(_Outgoing(message, path))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="easymlnb-files")
                self._thread.daemon = True
                self._thread.start()
            self._changed.notify_all()

    def drop_checkpoints(self) -> None:
        """Send no more checkpoints: the job has a result."""
        with self._changed:
            self._drop_waiting()
            if self._sending is not None and self._sending.message.checkpoint:
                self._sending.is_stored = True
            self._changed.notify_all()

    def receive(self, message: JobPartStored | JobFileStored) -> None:
        """Record what the server has."""
        with self._changed:
            sending = self._sending
            if sending is None or sending.message.number != message.number:
                return
            if isinstance(message, JobPartStored):
                sending.acked = message.offset
            else:
                sending.is_stored = True
            self._changed.notify_all()

    def lose_link(self) -> None:
        """Send nothing until there is the next link."""
        with self._changed:
            self._connected = False
            self._link += 1
            self._changed.notify_all()

    def use_link(self) -> None:
        """Send over a new link what was not stored."""
        with self._changed:
            self._connected = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _drop_waiting(self) -> None:
        self._waiting = [one for one in self._waiting if not one.message.checkpoint]

    def _run(self) -> None:
        while (item := self._next()) is not None:
            try:
                while not self._try(item):
                    pass
            except OSError:
                pass  # a newer checkpoint has replaced the file, or the disk failed
            if not item.message.checkpoint:
                item.path.unlink(missing_ok=True)
            with self._changed:
                self._sending = None
                self._changed.notify_all()

    def _next(self) -> _Outgoing | None:
        """Wait for a file whose time has come; ``None`` at the end."""
        with self._changed:
            while not self._closed:
                for item in self._waiting if self._connected else ():
                    if self._is_due(item):
                        self._waiting.remove(item)
                        self._sending = item
                        if item.message.checkpoint:
                            self._sent_at = time.monotonic()
                        return item
                self._changed.wait(TICK if self._waiting else None)
            return None

    def _is_due(self, item: _Outgoing) -> bool:
        if not item.message.checkpoint or self.hurry:
            return True
        every = LOCAL_CHECKPOINT_EVERY if self._folder() else CHECKPOINT_EVERY
        return time.monotonic() >= self._sent_at + every

    def _try(self, item: _Outgoing) -> bool:
        """Send a file over the present link; return whether it is done with."""
        with self._changed:
            while not self._connected and not self._closed:
                self._changed.wait()
            if self._closed or item.is_stored:
                return True
            link, item.acked = self._link, 0
        size, folder = item.path.stat().st_size, self._folder()
        if folder and size > LARGE:
            file = body_files.store_in(folder, item.path.read_bytes())
            if file:
                self._emit(msgspec.structs.replace(item.message, file=file), b"")
                return self._wait_stored(item, link)
        if size <= FILE_PART:
            self._emit(item.message, item.path.read_bytes())
        elif self._send_parts(item, link):
            self._emit(msgspec.structs.replace(item.message, size=size), b"")
        return self._wait_stored(item, link)

    def _send_parts(self, item: _Outgoing, link: int) -> bool:
        """Send a file in parts; return whether the link stayed."""
        offset = 0
        with item.path.open("rb") as file:
            while part := file.read(FILE_PART):
                limit = offset - (FILE_WINDOW - 1) * FILE_PART
                if not self._wait(item, link, limit) or item.is_stored:
                    return False
                message = JobFilePart(id=self._call, number=item.message.number, offset=offset)
                self._emit(message, part)
                offset += len(part)
        return True

    def _wait_stored(self, item: _Outgoing, link: int) -> bool:
        return self._wait(item, link, None) or self._closed

    def _wait(self, item: _Outgoing, link: int, acked: int | None) -> bool:
        """Wait until the file is stored, or the server has ``acked`` bytes of it.

        Returns ``False`` if the link was lost before, or at the end.
        """
        with self._changed:
            while not (item.is_stored or (acked is not None and item.acked >= acked)):
                if self._link != link or self._closed:
                    return False
                self._changed.wait()
            return True


class CheckpointReader:
    """Reads stored checkpoints from the server, part by part."""

    def __init__(self, emit: Emit, call: int, ready: Callable[[], bool]) -> None:
        self._emit = emit
        self._call = call
        self._ready = ready
        self._changed = threading.Condition()
        self._asked: tuple[str, int] | None = None
        self._answer: tuple[CheckpointPart, bytes] | None = None

    def receive(self, message: CheckpointPart, body: bytes) -> None:
        """Receive a part."""
        with self._changed:
            if self._asked == (message.file, message.offset):
                self._answer = (message, body)
                self._changed.notify_all()

    def fetch(self, file: str, size: int, path: Path) -> bool:
        """Store a checkpoint in a file; return whether it is complete."""
        half = path.with_suffix(".half")
        digest: Any = hashlib.sha256()
        with half.open("wb") as target:
            while target.tell() < size:
                message, body = self._ask(file, target.tell())
                if message.missing or not body:
                    return False
                digest.update(body)
                target.write(body)
        if digest.hexdigest() != file:
            return False
        half.replace(path)
        return True

    def _ask(self, file: str, offset: int) -> tuple[CheckpointPart, bytes]:
        """Ask for a part until it is there; a cancellation of the call ends this."""
        with self._changed:
            self._asked, self._answer = (file, offset), None
        asked_at = -ASK_AGAIN
        while True:
            now = time.monotonic()
            if self._ready() and now - asked_at >= ASK_AGAIN:
                asked_at = now
                self._emit(ReadCheckpoint(id=self._call, file=file, offset=offset), b"")
            with self._changed:
                if self._answer is None:
                    self._changed.wait(TICK)
                if (answer := self._answer) is not None:
                    return answer
