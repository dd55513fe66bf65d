"""Run calls in threads next to an author's cells: live services and forms.

The main thread belongs to the author's cells, so a call from a cell of the same notebook cannot
deadlock. Threads are interrupted by CPython's asynchronous exceptions, which only hit the author's
function: another thread sends the responses, and a late interrupt is awaited before the next call
runs.
"""

import ctypes
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from easymlnb.contract.batch_protocol import split_operation
from easymlnb.contract.errors import CallCancelled
from easymlnb.contract.worker_protocol import Call
from easymlnb.runtime import settings
from easymlnb.runtime.async_calls import AsyncCallRunner
from easymlnb.runtime.batch_execution import failed
from easymlnb.runtime.context import Emit
from easymlnb.runtime.failures import CallInterrupted
from easymlnb.runtime.operations import run_calls
from easymlnb.runtime.stream_window import StreamWindow
from easymlnb.services.definition import Service

SIZE = 16
"""Calls that may run at the same time in one kernel, for all its services."""

LATE = 50
"""Milliseconds to wait for an interrupt that was sent while its function returned."""

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)


class ThreadCallRunner:
    """A pool of threads for calls, each of which can be canceled by its id."""

    def __init__(self, size: int = SIZE) -> None:
        self._pool = ThreadPoolExecutor(size, "easymlnb-call")
        self._gate = threading.Lock()
        # call -> its thread and the calls of its batch, while its function runs
        self._open: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._known: set[int] = set()  # submitted, without a response yet
        self._cancelled: set[int] = set()
        self._async_calls = AsyncCallRunner()

    def submit(self, service: Service, call: Call, body: bytes, emit: Emit) -> None:
        """Run one call soon."""
        self.submit_all(service, [(call, body)], emit)

    def submit_all(
        self,
        service: Service,
        members: list[tuple[Call, bytes]],
        emit: Emit,
        window: StreamWindow | None = None,
    ) -> None:
        """Run calls that came together soon, in one thread.

        ``emit`` is called from their thread and must not block for long. ``window`` limits a stream
        to its reader's speed. Calls of an ``async def`` with ``concurrency`` use no thread.
        """
        operation = split_operation(members[0][0].service)[1]
        if service.spec.concurrency > 1 and not operation:
            for call, body in members:
                self._async_calls.start(service, call, body, emit, window)
            return
        with self._gate:
            self._known.update(call.id for call, _ in members)
        self._pool.submit(self._run, service, members, emit, window)

    def cancel(self, call: int) -> None:
        """Interrupt the call, or do not start it; unknown and finished calls are ignored.

        A batch is interrupted when all its calls are canceled.
        """
        self._async_calls.cancel(call)
        with self._gate:
            if call not in self._known or call in self._cancelled:
                return
            self._cancelled.add(call)
            thread, batch = self._open.get(call, (0, ()))
            if thread and self._cancelled.issuperset(batch):
                _raise_in_thread(thread, ctypes.py_object(CallInterrupted))

    def _run(
        self,
        service: Service,
        members: list[tuple[Call, bytes]],
        emit: Emit,
        window: StreamWindow | None,
    ) -> None:
        emit_item = emit if window is None else window.held_back(emit)
        try:
            wanted = []
            for call, body in members:
                if call.id not in self._cancelled:
                    wanted.append((call, body))
                    continue
                emit(*failed(call.id, CallCancelled()))
            for end in settings.call(run_calls, service, wanted, emit_item, self._guard):
                emit(*end)
        finally:
            self._forget([call.id for call, _ in members])
            if window is not None:
                for call, _ in members:
                    window.forget(call.id)

    def _forget(self, calls: list[int]) -> None:
        with self._gate:
            for call in calls:
                self._open.pop(call, None)  # an interrupt may have hit within `_guard`
            self._known.difference_update(calls)
            self._cancelled.difference_update(calls)

    @contextmanager
    def _guard(self, calls: tuple[int, ...]) -> Iterator[None]:
        with self._gate:
            if self._cancelled.issuperset(calls):
                raise CallInterrupted
            self._open.update(dict.fromkeys(calls, (threading.get_ident(), calls)))
        stopped = False
        try:
            yield
        except CallInterrupted:
            stopped = True
            raise
        finally:
            self._close(calls, stopped)

    def _close(self, calls: tuple[int, ...], stopped: bool) -> None:
        """Leave the open region; wait for a sent interrupt, so that it misses the next call."""
        arrived = stopped
        while True:
            try:
                with self._gate:
                    for call in calls:
                        self._open.pop(call, None)
                    late = self._cancelled.issuperset(calls) and not arrived
                break
            except CallInterrupted:
                arrived = True
        # It comes within a few bytecodes, unless the function caught it.
        for _ in range(LATE if late else 0):
            try:
                time.sleep(0.001)
            except CallInterrupted:
                break
