"""The server's end of the link to one kernel: sends calls, receives results."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from easymlnb.contract.errors import EasyMLNBError, InternalError, WorkerLost
from easymlnb.contract.job_protocol import (
    JobFile,
    JobFilePart,
    JobMetric,
    JobOutput,
    ReadCheckpoint,
)
from easymlnb.contract.worker_protocol import (
    Cancel,
    Failure,
    Hello,
    Item,
    Message,
    NotStarted,
    Progress,
    Recall,
    Result,
    StreamAck,
    pack,
)
from easymlnb_server.dispatch.bodies import frame
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.uploads.spool import KernelFileShare, SpooledFile

OnEnded = Callable[[CallHandle, float | None], None]
"""Called when the worker has released a call, with its duration; ``None``: it never started."""

JobMessage = JobOutput | JobMetric | JobFile | JobFilePart | ReadCheckpoint

log = logging.getLogger("easymlnb.link")


class WorkerLink:
    """The link to one connected kernel.

    - ``hello``: the kernel's first message
    - ``write``: sends bytes to the kernel. Must not block.
    - ``on_job_message``: receives what a job sends before its result
    - ``pauses``, ``whole_pauses``: how many ``pause`` hold back calls of the main thread, and all
    - ``loading``: whether the kernel loads a model, which may keep it from answering
    - ``on_resume``: called when calls can be sent again
    - ``file_share``: folder for large bodies; ``None`` until the kernel has proven that it runs on
      this host
    """

    def __init__(self, hello: Hello, write: Callable[[bytes], None]) -> None:
        self.hello = hello
        self.file_share: KernelFileShare | None = None
        self.closed = asyncio.Event()
        self.on_job_message: Callable[[JobMessage, bytes | SpooledFile], None] | None = None
        self.pauses = self.whole_pauses = 0
        self.loading = False
        self.on_resume: Callable[[], None] | None = None
        self._released = asyncio.Event()
        self._write = write
        self._calls: dict[int, tuple[CallHandle, OnEnded]] = {}
        self._deferred: list[Callable[[], None]] | None = None

    @contextmanager
    def deferred_results(self) -> Iterator[None]:
        """Defer callers' ``on_done`` until all messages received in the block are handled.

        The worker then gets its next calls before results are written to callers.
        """
        deferred = self._deferred = []
        try:
            yield
        finally:
            self._deferred = None
            for on_done in deferred:
                _try(on_done)

    @property
    def lost(self) -> bool:
        """Whether the kernel is gone."""
        return self.closed.is_set()

    def __len__(self) -> int:
        """Return the number of calls that the kernel holds."""
        return len(self._calls)

    def start(self, handle: CallHandle, on_ended: OnEnded) -> None:
        """Send a call. ``on_ended`` is called when the worker has released it."""
        if self.lost:
            handle.fail(WorkerLost())
            on_ended(handle, 0.0)
            return
        self._calls[handle.call.id] = (handle, on_ended)
        self._write(frame(handle.call, handle.body, self.file_share))

    def adopt(self, handle: CallHandle) -> None:
        """Receive the result of a call that another link started."""
        if self.lost:
            handle.fail(WorkerLost())
            return
        self._calls[handle.call.id] = (handle, lambda ended, seconds: None)

    def keep_only(self, handle: CallHandle) -> None:
        """Let nobody but the caller know of the end of a call; ask for all other calls back."""
        for id in [id for id in self._calls if id != handle.call.id]:
            self.recall(id)
        handle.no_retry = True
        self.adopt(handle)

    def cancel(self, call: int) -> None:
        """Ask the worker to stop a call, which keeps its slot until the worker has stopped it."""
        if call in self._calls:
            self._write(pack(Cancel(id=call)))

    def recall(self, call: int) -> None:
        """Ask the worker to return a call that it has not started."""
        if call in self._calls:
            self._write(pack(Recall(id=call)))

    def acknowledge(self, call: int, size: int) -> None:
        """Report that the reader of a stream has received ``size`` more bytes."""
        if call in self._calls:
            self._write(pack(StreamAck(id=call, size=size)))

    @contextmanager
    def pause(self, *, whole: bool = False) -> Iterator[None]:
        """Have no calls sent in the block, and those returned that the worker has not started.

        Calls of ``async def`` functions, which need no main thread, continue unless ``whole``.
        """
        self.pauses += 1
        self.whole_pauses += whole
        for handle, _ in list(self._calls.values()):
            if handle.prefetched:
                self.recall(handle.call.id)
        try:
            yield
        finally:
            self.pauses -= 1
            self.whole_pauses -= whole
            if self.on_resume is not None and not self.lost:
                self.on_resume()

    async def wait_idle(self, *, whole: bool = False) -> None:
        """Wait, in a pause, until the kernel has none of the calls that it holds back."""
        while any(whole or one.spec.concurrency == 1 for one, _ in self._calls.values()):
            self._released.clear()
            await self._released.wait()

    def find_call(self, call: int) -> CallHandle | None:
        """Return a call that the kernel holds."""
        entry = self._calls.get(call)
        return entry[0] if entry is not None else None

    def runs(self, call: int) -> bool:
        """Return whether the kernel holds a call."""
        return call in self._calls

    def give_up(self, call: int) -> None:
        """Release a call that does not stop; later messages about it are ignored."""
        entry = self._calls.pop(call, None)
        self._released.set()
        if entry is not None:
            handle, on_ended = entry
            on_ended(handle, 0.0)

    def send(self, message: Message, body: bytes = b"") -> None:
        self._write(pack(message, body))

    def receive(
        self, message: Result | Failure | Progress | Item | NotStarted, body: bytes
    ) -> None:
        """Pass an event or result to its call. Messages of unknown calls are ignored."""
        # Claimed even if the call is unknown, so that the file is removed.
        content = self._claim(message) if isinstance(message, Result) and message.file else body
        entry = self._calls.get(message.id)
        if entry is None:
            return
        handle, on_ended = entry
        if isinstance(message, Progress | Item):
            handle.stream_started = handle.stream_started or isinstance(message, Item)
            listener = handle.listener
            if listener is not None and not _try(lambda: listener(message, body)):
                handle.stop(InternalError())
            return
        del self._calls[message.id]
        if self.pauses:
            self._released.set()
        if isinstance(message, NotStarted):
            on_ended(handle, None)
            return
        if handle.answered.done():
            if handle.on_late_result is not None:
                handle.on_late_result(message)
        elif content is None:
            handle.fail(InternalError())
        else:
            self._answer(handle, message, content)
        on_ended(handle, message.seconds)

    def receive_from_job(self, message: JobMessage, body: bytes) -> None:
        """Pass output, a metric or a file to who follows the job."""
        content = self._claim(message) if isinstance(message, JobFile) and message.file else body
        receiver = self.on_job_message
        if receiver is not None and content is not None and message.id in self._calls:
            _try(lambda: receiver(message, content))

    def _answer(
        self, handle: CallHandle, message: Result | Failure, body: bytes | SpooledFile
    ) -> None:
        def answer() -> None:
            result = CallResult.from_message(message, body, handle.call.request_id)
            handle.answer(result, self._deferred)

        if not _try(answer):
            handle.fail(InternalError())

    def _claim(self, message: Result | JobFile) -> SpooledFile | None:
        try:
            return self.file_share.claim(message.file) if self.file_share is not None else None
        except ValueError:
            log.exception("The file with a kernel's large result is missing.")
            return None

    def close(self, error: EasyMLNBError | None = None, *, by_kernel: bool = False) -> None:
        """Close the link to a kernel that is gone; its calls fail or return to the queue.

        Two kinds of calls return to the queue: those that the kernel had not started, and those
        of idempotent services that have not run twice yet. The others fail with ``WorkerLost``.

        - ``error``: fails the calls in place of ``WorkerLost``; idempotent calls are not retried
        - ``by_kernel``: whether the kernel's own end closed the link and everything that it sent
          was read. Only then is it known which calls had not started: workers answer calls in
          order, so everything behind a call without a result had not.
        """
        self.closed.set()
        self._released.set()
        if self.file_share is not None:
            self.file_share.close()
        calls, self._calls = self._calls, {}
        # Collected first: ending a call marks the next one as started.
        not_started = {id for id, (handle, _) in calls.items() if by_kernel and handle.prefetched}
        returned = []
        for id, (handle, on_ended) in calls.items():
            if id in not_started:
                returned.append(id)
            elif error is None and handle.may_retry:
                handle.no_retry = True
                returned.append(id)
            else:
                handle.fail(error or WorkerLost())
                on_ended(handle, 0.0)
        for id in reversed(returned):  # each goes to the front of the queue
            handle, on_ended = calls[id]
            on_ended(handle, None)


def _try(callback: Callable[[], object]) -> bool:
    """Call ``callback`` and return whether it succeeded.

    An exception is logged and must not close the link, which carries other callers' calls.
    """
    try:
        callback()
    except Exception:
        log.exception("Could not forward a kernel's message to the caller.")
        return False
    return True
