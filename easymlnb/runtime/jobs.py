"""A job in its worker: it outlives the link, and its result stays until the server has it."""

import contextlib
import os
import pickle
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from easymlnb.contract.job_protocol import (
    END_FILE,
    JOBS_FOLDER,
    LOG_CHUNK,
    LOG_FILE,
    LOG_LIMIT,
    JobAdopted,
    JobFile,
    JobMetric,
    JobOutput,
    RunningJob,
    attempt_folder,
)
from easymlnb.contract.message import Message, sendable
from easymlnb.contract.options import named_options
from easymlnb.contract.worker_protocol import LARGE, Call, Failure, Result, pack
from easymlnb.runtime import body_files
from easymlnb.runtime.context import JOB_LOGS, Emit, OutputLog
from easymlnb.runtime.link import LinkLost

LOG_EVERY = 0.1
"""Seconds between two messages with output."""

RESENT_METRICS = 1000
"""Latest metrics that are sent again after the link was lost."""

MAX_LABEL = 200
"""Maximum characters of the label of a file, and of the name of a metric."""

CHECKPOINT_FILE = "checkpoint"

End = tuple[Result | Failure, bytes]

_folder: list[Path] = []


def keep_folder() -> None:
    """Remember the worker's folder; a cell of its notebook may change the current one."""
    _folder[:] = [Path.cwd()]


def job_folder(job: str, attempt: int) -> Path:
    """Return the folder for the files of an attempt."""
    root = _folder[0] if _folder else Path.cwd()
    return root / JOBS_FOLDER / attempt_folder(job, attempt)


def receive_checkpoint(job: str, attempt: int, file: str, body: bytes) -> None:
    """Store the checkpoint with which an attempt starts."""
    folder = job_folder(job, attempt)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if file:
        shutil.copyfile(file, folder / CHECKPOINT_FILE)
    else:
        (folder / CHECKPOINT_FILE).write_bytes(body)


class JobLog(OutputLog):
    """The output of a job: a file, of which the server gets each part once."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.size = 0
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        super().write(text)
        with self._lock:
            left = LOG_LIMIT - self.size
            if left <= 0:
                return
            data = sendable(text).encode()
            if len(data) > left:
                marker = f"\n... the output is over {LOG_LIMIT >> 20} MB; the rest is cut.\n"
                data = data[:left].decode(errors="ignore").encode() + marker.encode()
            with contextlib.suppress(OSError):  # a full disk does not end the job
                self._file.write(data)
            self.size += len(data)

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
    """

    def __init__(self, call: Call, emit: Emit) -> None:
        self.call = call
        self.stored = False
        self.ready = True
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
        self._files: dict[int, tuple[JobFile, Path]] = {}
        self._numbers = 0
        self._metrics: deque[JobMetric] = deque(maxlen=RESENT_METRICS)

    @property
    def running(self) -> RunningJob:
        return self.call.job, self.call.attempt, self.call.id

    def __enter__(self) -> "JobRun":
        JOB_LOGS[self.call.id] = self.log
        _current[:] = [self]
        return self

    def __exit__(self, *error: object) -> None:
        _current.clear()
        JOB_LOGS.pop(self.call.id, None)
        self.log.close()
        if self.stored:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __call__(self, message: Message, body: bytes) -> None:
        with contextlib.suppress(LinkLost):
            self._emit(message, body)

    def finish(self, end: End) -> None:
        """Keep the result, also in a file for a server that finds this process gone."""
        half = self.folder / f"{END_FILE}.half"
        with contextlib.suppress(OSError):
            half.write_bytes(pack(*end))
            half.rename(self.folder / END_FILE)
        self._end = end

    def lose_link(self) -> None:
        """Send nothing until a server has adopted the job."""
        with self._sending:
            self.ready = False

    def adopted(self, message: JobAdopted) -> None:
        """Send again what the server does not have."""
        with self._sending:
            self._sent = message.log
            self._result_folder = message.result_folder
            self._end_sent = False
            self.ready = True
            files = list(self._files.values())
            metrics = list(self._metrics)
        # Some may be there already, where the later value replaces an equal one.
        for metric in metrics:
            self(metric, b"")
        for file, path in files:
            self._send_file(file, path)

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
        if not self.ready or self._end is None or self._end_sent:
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

    def save_file(self, label: str, data: bytes, media_type: str, *, checkpoint: bool) -> None:
        """Store a file until the server has it, and send it."""
        with self._sending:
            self._numbers += 1
            number = self._numbers
            path = self.folder / f"file-{number}"
        path.write_bytes(data)
        message = JobFile(
            id=self.call.id,
            number=number,
            label=sendable(label),
            media_type=sendable(media_type),
            checkpoint=checkpoint,
        )
        with self._sending:
            if checkpoint:  # an older one that was not sent yet is of no use
                for other in [n for n, (file, _) in self._files.items() if file.checkpoint]:
                    self._files.pop(other)[1].unlink(missing_ok=True)
            self._files[number] = message, path
        self._send_file(message, path)

    def file_stored(self, number: int) -> None:
        """Forget a file that the server has stored."""
        with self._sending:
            _, path = self._files.pop(number, (None, None))
        if path is not None:
            path.unlink(missing_ok=True)

    def _send_file(self, message: JobFile, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            data = path.read_bytes()
            with self._sending:
                ready, folder = self.ready, self._result_folder
            if not ready:
                return
            file = body_files.store_in(folder, data) if folder and len(data) > LARGE else ""
            self(msgspec.structs.replace(message, file=file), b"" if file else data)


_current: list[JobRun] = []


class Checkpoint:
    """The state with which another attempt of a job continues.

    It is pickled in this worker and read by workers of the same service only. Outside a job,
    ``save`` does nothing and ``load`` returns ``None``.
    """

    def __init__(self, run: JobRun | None) -> None:
        self._run = run

    def save(self, state: Any) -> None:
        """Replace the checkpoint with ``state``, an object that can be pickled."""
        if self._run is None:
            return
        data = pickle.dumps(state)
        self._run.save_file("", data, "application/octet-stream", checkpoint=True)
        half = self._run.folder / f"{CHECKPOINT_FILE}.half"
        half.write_bytes(data)
        half.replace(self._run.folder / CHECKPOINT_FILE)

    def load(self) -> Any:
        """Return the newest state, of this attempt or the one before; ``None`` without one."""
        if self._run is None:
            return None
        try:
            return pickle.loads((self._run.folder / CHECKPOINT_FILE).read_bytes())
        except FileNotFoundError:
            return None


class CurrentJob:
    """The job that is running, as its function sees it: ``ml.job()``.

    In a plain call or outside a call, ``id`` is empty and the methods do nothing, so the same
    function runs everywhere.
    """

    def __init__(self, run: JobRun | None) -> None:
        self._run = run
        self.id = run.call.job if run is not None else ""
        self.attempt = run.call.attempt if run is not None else 0

    def save_file(
        self, label: str, data: bytes | str | os.PathLike[str], media_type: str = ""
    ) -> None:
        """Add a file to the job; a file with the same label is replaced.

        Parameters
        ----------
        label : str
            The file's name for readers, with 1 to 200 printable characters.
        data : bytes, str or path
            The content, or the path of a file that has it.
        media_type : str, default ""
            Its media type; guessed from the label without one.
        """
        _check_name("label", label)
        if self._run is None:
            return
        if isinstance(data, os.PathLike):
            content = Path(data).read_bytes()
        else:
            content = data.encode() if isinstance(data, str) else bytes(data)
        self._run.save_file(label, content, media_type, checkpoint=False)

    def metric(self, name: str, value: float, *, step: int = 0) -> None:
        """Report a value, such as the loss of an epoch.

        Parameters
        ----------
        name : str
            The metric's name, with 1 to 200 printable characters.
        value : float
            The value; one for the same name and step is replaced.
        step : int, default 0
            The step or epoch.
        """
        _check_name("name", name)
        if self._run is not None:
            self._run.metric(name, int(step), float(value))

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoint of this job, to load the last state and save new ones."""
        return Checkpoint(self._run)


@named_options
def job() -> CurrentJob:
    """Return the running job, to save files, metrics and checkpoints from its function.

    Returns
    -------
    CurrentJob
        In a plain call or outside a call, one whose methods do nothing.
    """
    return CurrentJob(_current[0] if _current else None)


def _check_name(what: str, name: str) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_LABEL or not name.isprintable():
        raise ValueError(f"{what} must have 1 to {MAX_LABEL} printable characters, not {name!r}.")
