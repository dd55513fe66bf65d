"""The server's end of a link to one kernel: calls out, results in."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from easymlnb.contract.errors import EasyMLNBError, InternalError, WorkerLost
from easymlnb.contract.worker_protocol import (
    Call,
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

Ended = Callable[[CallHandle, float | None], None]
"""The worker is done with a call after so many seconds; ``None``: it never began it."""

log = logging.getLogger("easymlnb.link")


class WorkerLink:
    """One kernel that dialled in. ``write`` sends bytes and must not block."""

    def __init__(self, hello: Hello, write: Callable[[bytes], None]) -> None:
        self.hello = hello
        self._write = write
        self._calls: dict[int, tuple[CallHandle, Ended]] = {}
        self.room: KernelFileShare | None = None
        """For large bodies, where the kernel is on this host and has proven it."""
        self._deferred: list[Callable[[], None]] | None = None
        self.closed = asyncio.Event()

    @contextmanager
    def deferred_results(self) -> Iterator[None]:
        """Write answers to their callers only when all that came with them was taken.

        So that the worker has its next calls before, and does not wait for the writing.
        """
        aside = self._deferred = []
        try:
            yield
        finally:
            self._deferred = None
            for tell in aside:
                _contained(tell)

    @property
    def lost(self) -> bool:
        """Say whether the kernel is gone."""
        return self.closed.is_set()

    def __len__(self) -> int:
        """Return how many calls are out."""
        return len(self._calls)

    def start(self, pending: CallHandle, call: Call, ended: Ended) -> None:
        """Send a call; ``ended(pending, seconds)`` comes when the worker is done with it."""
        if self.lost:
            pending.fail(WorkerLost())
            ended(pending, 0.0)
            return
        self._calls[call.id] = (pending, ended)
        self._write(frame(call, pending.body, self.room))

    def cancel(self, call: int) -> None:
        """Ask the worker to stop a call; its slot stays taken until the worker is done with it."""
        if call in self._calls:
            self._write(pack(Cancel(id=call)))

    def recall(self, call: int) -> None:
        """Ask the worker to give a call back, if it has not begun it."""
        if call in self._calls:
            self._write(pack(Recall(id=call)))

    def acknowledge(self, call: int, size: int) -> None:
        """Tell the worker that the reader of a stream took so many bytes of it."""
        if call in self._calls:
            self._write(pack(StreamAck(id=call, size=size)))

    def find_call(self, call: int) -> CallHandle | None:
        """Return a call that is out, if it is."""
        found = self._calls.get(call)
        return found[0] if found is not None else None

    def runs(self, call: int) -> bool:
        return call in self._calls

    def give_up(self, call: int) -> None:
        """Wait no longer for a call that does not stop; what still comes of it is dropped."""
        found = self._calls.pop(call, None)
        if found is not None:
            pending, ended = found
            ended(pending, 0.0)

    def send(self, message: Message, body: bytes = b"") -> None:
        self._write(pack(message, body))

    def receive(
        self, message: Result | Failure | Progress | Item | NotStarted, body: bytes
    ) -> None:
        """Hand an event or answer to whoever waits for it; those of unknown calls are dropped."""
        # Also a dropped one's file is taken, and so removed.
        whole = self._claimed(message) if isinstance(message, Result) and message.file else body
        found = self._calls.get(message.id)
        if found is None:
            return
        pending, ended = found
        if isinstance(message, Progress | Item):
            pending.stream_started = pending.stream_started or isinstance(message, Item)
            listener = pending.listener
            if listener is not None and not _contained(lambda: listener(message, body)):
                pending.stop(InternalError())
            return
        del self._calls[message.id]
        if isinstance(message, NotStarted):
            ended(pending, None)
            return
        if pending.answered.done():
            if pending.on_late_result is not None:
                pending.on_late_result(message)
        elif whole is None:
            pending.fail(InternalError())
        else:
            self._answer(pending, message, whole)
        ended(pending, message.seconds)

    def _answer(
        self, pending: CallHandle, message: Result | Failure, body: bytes | SpooledFile
    ) -> None:
        def answer() -> None:
            pending.answer(
                CallResult.from_message(message, body, pending.call.request_id), self._deferred
            )

        if not _contained(answer):
            pending.fail(InternalError())

    def _claimed(self, message: Result) -> SpooledFile | None:
        try:
            return self.room.claim(message.file) if self.room is not None else None
        except ValueError:
            log.exception("The file with a kernel's large result is missing.")
            return None

    def close(self, error: EasyMLNBError | None = None, *, by_kernel: bool = False) -> None:
        """The kernel is gone: every call on it fails, with ``WorkerLost`` or this error.

        ``by_kernel`` says that its own end of the link closed and all that it had sent was read.
        A worker answers in order, so what it was to begin after a call without an answer it never
        began, and another worker may. So may it what was begun, once, where its author says that
        this does no harm.
        """
        self.closed.set()
        if self.room is not None:
            self.room.close()
        calls, self._calls = self._calls, {}
        # Who was held is said by what was there; as one ends, it looks as if the next began.
        held = {
            pending.call.id for pending, _ in calls.values() if by_kernel and pending.prefetched
        }
        again = []
        for pending, ended in list(calls.values()):
            if pending.call.id in held:
                again.append(pending)
            elif error is None and pending.may_retry:
                pending.no_retry = True
                again.append(pending)
            else:
                pending.fail(error or WorkerLost())
                ended(pending, 0.0)
        for pending in reversed(again):  # each is put before the others
            calls[pending.call.id][1](pending, None)


def _contained(tell: Callable[[], object]) -> bool:
    """Tell one caller; says whether that went well.

    What goes wrong with it is logged and must not end the link, which carries the calls of others.
    """
    try:
        tell()
    except Exception:
        log.exception("Could not forward a kernel's message to the caller.")
        return False
    return True
