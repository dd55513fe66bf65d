"""A job in its worker: it outlives the link, and its result stays until the server has it."""

import contextlib
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from easymlnb.contract.errors import CallCancelled, CallFailed, Preempted
from easymlnb.contract.job_protocol import (
    END_FILE,
    JOBS_FOLDER,
    LOG_CHUNK,
    LOG_FILE,
    LOG_LIMIT,
    CheckpointPart,
    JobAdopted,
    JobCheckpoints,
    JobDropped,
    JobFileStored,
    JobMetric,
    JobOutput,
    JobPartStored,
    JobStored,
    Leaving,
    RunningJob,
    attempt_folder,
)
from easymlnb.contract.message import Message, sendable
from easymlnb.contract.worker_protocol import LARGE, Call, Failure, Progress, Result, pack
from easymlnb.runtime import body_files
from easymlnb.runtime.context import CALL_LOGS, Emit, OutputLog
from easymlnb.runtime.credentials import CREDENTIALS
from easymlnb.runtime.job_files import CheckpointReader, FileSender
from easymlnb.runtime.link import LinkLost
from easymlnb.runtime.server_address import end_process

LOG_EVERY = 0.1
"""Seconds between two messages with output."""

RESENT_METRICS = 1000
"""Latest metrics that are sent again after the link was lost."""

End = tuple[Result | Failure, bytes]

_folder: list[Path] = []


def keep_folder() -> None:
    """Remember the worker's folder; a cell of its notebook may change the current one."""
    _folder[:] = [Path.cwd()]


def job_folder(job: str, attempt: int) -> Path:
    """Return the folder for the files of an attempt."""
    root = _folder[0] if _folder else Path.cwd()
    return root / JOBS_FOLDER / attempt_folder(job, attempt)


_offered: dict[tuple[str, int], tuple[tuple[str, int], ...]] = {}
"""The stored checkpoints of the job whose call comes next."""


def offer_checkpoints(message: JobCheckpoints) -> None:
    """Remember the checkpoints with which an attempt may start."""
    _offered.clear()
    _offered[message.job, message.attempt] = message.files


class JobLog(OutputLog):
    """The output of a job: a file, of which the server gets each part once."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.size = 0
        self._path = path
        self._file = path.open("ab", buffering=0)

    def write(self, text: str) -> None:
        text = CREDENTIALS.mask(text)
        super().write(text)
        with self._writing:
            left = LOG_LIMIT - self.size
            if left <= 0:
                return
            data = sendable(text).encode()
            if len(data) > left:
                marker = f"\n... the output is over {LOG_LIMIT >> 20} MB; the rest is cut.\n"
                data = data[:left].decode(errors="ignore").encode() + marker.encode()
            # First, because an interrupt may come before the next line.
            self.size += len(data)
            # A full disk does not end the job; a thread of the author may print after its end.
            with contextlib.suppress(OSError, ValueError):
                self._file.write(data)

    def read(self, offset: int) -> bytes:
        """Return the next part from ``offset`` on."""
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(LOG_CHUNK)

    def close(self) -> None:
        self._file.close()


class JobRun:
    """One attempt of a job; an ``Emit`` that drops what cannot be sent while the link is lost.

    - ``stored``: whether the server has stored the result
    - ``ready``: whether the server of this link knows the job
    - ``leaving``: whether the node ends soon
    - ``terminated``: whether this process got SIGTERM, as all on a node that ends
    - ``offered``: the checkpoints that the server has, newest first
    """

    def __init__(self, call: Call, emit: Emit) -> None:
        self.call = call
        self.stored = False
        self.ready = True
        self.leaving = False
        self.terminated = False
        self.offered = _offered.pop((call.job, call.attempt), ())
        self.folder = job_folder(call.job, call.attempt)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log = JobLog(self.folder / LOG_FILE)
        self._emit = emit
        self._end: End | None = None
        self._end_sent = False
        self._sent = 0
        self._shipped = 0.0
        self._result_folder, call.result_folder = call.result_folder, ""
        self._sending = threading.RLock()
        self._numbers = 0
        self._metrics: deque[JobMetric] = deque(maxlen=RESENT_METRICS)
        self._progress: tuple[Message, bytes] | None = None
        self._files = FileSender(self, call.id, lambda: self._result_folder)
        self._reader = CheckpointReader(self, call.id, lambda: self.ready)
        self._on_sigterm: Any = signal.getsignal(signal.SIGTERM)

    @property
    def running(self) -> RunningJob:
        return self.call.job, self.call.attempt, self.call.id

    def __enter__(self) -> "JobRun":
        CALL_LOGS[self.call.id] = self.log
        RUNNING[:] = [self]
        self.handle_sigterm()
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGTERM, self._on_sigterm)
        RUNNING.clear()
        CALL_LOGS.pop(self.call.id, None)
        self._files.close()
        self.log.close()
        if self.stored:
            shutil.rmtree(self.folder, ignore_errors=True)

    def handle_sigterm(self) -> None:
        """Leave the node at SIGTERM; only the main thread can set that."""
        self._on_sigterm = signal.signal(signal.SIGTERM, lambda number, frame: self._terminate())

    def __call__(self, message: Message, body: bytes) -> None:
        if isinstance(message, Progress):
            self._progress = message, body
        with contextlib.suppress(LinkLost):
            self._emit(message, body)

    def receive(self, message: Message, body: bytes) -> None:
        """Handle a message of the server about this job; any thread may call it."""
        if isinstance(message, JobStored):
            self.stored = True
        elif isinstance(message, JobPartStored | JobFileStored):
            self._files.receive(message)
        elif isinstance(message, CheckpointPart):
            self._reader.receive(message, body)
        elif isinstance(message, JobAdopted):
            self._adopted(message)
        elif isinstance(message, Leaving):
            self.leave()
        elif isinstance(message, JobDropped):
            end_process()

    def leave(self) -> None:
        """Let the function know that its node ends, and send its checkpoints at once."""
        # Only attributes: a signal handler calls this.
        self.leaving = self._files.hurry = True

    def _terminate(self) -> None:
        self.terminated = True
        self.leave()

    def finish(self, end: End) -> None:
        """Keep the result, also in a file for a server that finds this process gone."""
        end = self._explained(end)
        self._files.hurry = True
        if isinstance(end[0], Result) or end[0].code == CallCancelled.code:
            self._files.drop_checkpoints()
        half = self.folder / f"{END_FILE}.half"
        with contextlib.suppress(OSError):
            half.write_bytes(pack(*end))
            half.rename(self.folder / END_FILE)
        self._end = end

    def _explained(self, end: End) -> End:
        """Return the end of an attempt; what a function raises on a node that ends is no error.

        Its child processes and connections may be gone already.
        """
        message = end[0]
        if self.terminated and isinstance(message, Failure) and message.code == CallFailed.code:
            gone = Preempted()
            failure = msgspec.structs.replace(message, code=gone.code, message=gone.message)
            return failure, end[1]
        return end

    def lose_link(self) -> None:
        """Send nothing until a server has adopted the job."""
        with self._sending:
            self.ready = False
        self._files.lose_link()

    def _adopted(self, message: JobAdopted) -> None:
        """Send again what the server does not have."""
        with self._sending:
            self._sent = message.log
            self._result_folder = message.result_folder
            self._end_sent = False
            self.ready = True
            metrics = list(self._metrics)
        # Some may be there already, where the later value replaces an equal one.
        for metric in metrics:
            self(metric, b"")
        if self._progress is not None:
            self(*self._progress)
        self._files.use_link()

    def send_output(self, send: Callable[[bytes], None], *, all_of_it: bool = False) -> None:
        """Send what was printed since the last time."""
        now = time.monotonic()
        with self._sending:
            if not self.ready or (now - self._shipped < LOG_EVERY and not all_of_it):
                return
            self._shipped = now
            while self.ready and self._sent < self.log.size and (data := self.log.read(self._sent)):
                send(pack(JobOutput(id=self.call.id, offset=self._sent), data))
                self._sent += len(data)

    def send_end(self, send: Callable[[bytes], None]) -> None:
        """Send the rest of the output and the result, once over each link."""
        if not self.ready or self._end is None or self._end_sent or not self._files.idle:
            return
        self.send_output(send, all_of_it=True)
        with self._sending:
            if not self.ready or self._end_sent:
                return
            message, body = self._end
            if isinstance(message, Result) and self._result_folder and len(body) > LARGE:
                file = body_files.store_in(self._result_folder, body)
                message = msgspec.structs.replace(message, file=file)
                body = b"" if file else body
            send(pack(message, body))
            self._end_sent = True

    def metric(self, name: str, step: int, value: float) -> None:
        """Report a value at a step."""
        metric = JobMetric(id=self.call.id, name=sendable(name), step=step, value=value)
        with self._sending:
            self._metrics.append(metric)
        self(metric, b"")

    def save_file(self, label: str, data: bytes, media_type: str) -> None:
        """Store a file until the server has it, and send it."""
        self._numbers += 1
        path = self.folder / f"file-{self._numbers}"
        path.write_bytes(data)
        self._files.add(path, sendable(label), sendable(media_type), checkpoint=False)

    def save_checkpoint(self, path: Path) -> None:
        """Send a checkpoint when its time has come."""
        self._files.add(path, checkpoint=True)

    def fetch_checkpoint(self, file: str, size: int, path: Path) -> bool:
        """Store a checkpoint of the server in a file; return whether that was possible."""
        return self._reader.fetch(file, size, path)


RUNNING: list[JobRun] = []
"""The job that runs in this worker, if any."""
