"""Run calls in threads next to an author's cells: live services and forms.

The main thread belongs to the author's cells, so calls run in threads of their own, and a call
made from a cell of the same notebook cannot deadlock with it. A thread is interrupted through
CPython's asynchronous exceptions, which only ever hit the author's function: answers are handed
to another thread in one step, and an interrupt that comes too late is awaited before the next
call runs.
"""

import ctypes
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from easymlnb.contract.errors import CallCancelled
from easymlnb.contract.worker_protocol import Call, Failure
from easymlnb.runtime import settings
from easymlnb.runtime.async_calls import AsyncCallRunner
from easymlnb.runtime.batch_execution import answers
from easymlnb.runtime.call_execution import Stopped
from easymlnb.runtime.context import Emit
from easymlnb.runtime.stream_window import StreamWindow
from easymlnb.services.definition import Service

SIZE = 16
"""Calls that may run at once in one kernel, over all its services."""

LATE = 50
"""Milliseconds to wait for an interrupt that was sent as its function returned."""

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)


class ThreadCallRunner:
    """A pool of threads for calls, each of which can be cancelled by its id."""

    def __init__(self, size: int = SIZE) -> None:
        self._pool = ThreadPoolExecutor(size, "easymlnb-call")
        self._gate = threading.Lock()
        # call -> its thread and those it runs with, while its function runs
        self._open: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._known: set[int] = set()  # submitted, not yet answered
        self._unwanted: set[int] = set()
        self._beside = AsyncCallRunner()

    def submit(
        self,
        service: Service,
        call: Call,
        body: bytes,
        emit: Emit,
        flow: StreamWindow | None = None,
    ) -> None:
        """Run the call soon; ``emit`` is called from its thread and must not block for long.

        ``flow`` keeps a stream from being faster than its reader. Calls of an ``async def`` that
        may run several at once take no thread.
        """
        self.submit_all(service, [(call, body)], emit, flow)

    def submit_all(
        self,
        service: Service,
        members: list[tuple[Call, bytes]],
        emit: Emit,
        flow: StreamWindow | None = None,
    ) -> None:
        """Run calls that came together soon, in one thread."""
        if service.spec.concurrency > 1:
            for call, body in members:
                self._beside.start(service, call, body, emit, flow)
            return
        with self._gate:
            self._known.update(call.id for call, _ in members)
        self._pool.submit(self._run, service, members, emit, flow)

    def cancel(self, call: int) -> None:
        """Interrupt the call, or keep it from starting; unknown and finished calls are ignored.

        Calls that run as one are interrupted when none of them is wanted any more.
        """
        self._beside.cancel(call)
        with self._gate:
            if call not in self._known or call in self._unwanted:
                return
            self._unwanted.add(call)
            thread, together = self._open.get(call, (0, ()))
            if thread and self._unwanted.issuperset(together):
                _raise_in_thread(thread, ctypes.py_object(Stopped))

    def _run(
        self,
        service: Service,
        members: list[tuple[Call, bytes]],
        emit: Emit,
        flow: StreamWindow | None,
    ) -> None:
        slowly = emit if flow is None else flow.held_back(emit)
        try:
            wanted = []
            for call, body in members:
                if call.id not in self._unwanted:
                    wanted.append((call, body))
                    continue
                error = CallCancelled()
                emit(Failure(id=call.id, code=error.code, message=error.message), b"")
            for end in settings.call(answers, service, wanted, slowly, self._guard):
                emit(*end)
        finally:
            self._forget([call.id for call, _ in members])
            if flow is not None:
                for call, _ in members:
                    flow.forget(call.id)

    def _forget(self, calls: list[int]) -> None:
        with self._gate:
            for call in calls:
                self._open.pop(call, None)  # an interrupt may have hit within `_guard`
            self._known.difference_update(calls)
            self._unwanted.difference_update(calls)

    @contextmanager
    def _guard(self, calls: tuple[int, ...]) -> Iterator[None]:
        with self._gate:
            if self._unwanted.issuperset(calls):
                raise Stopped
            self._open.update(dict.fromkeys(calls, (threading.get_ident(), calls)))
        stopped = False
        try:
            yield
        except Stopped:
            stopped = True
            raise
        finally:
            self._close(calls, stopped)

    def _close(self, calls: tuple[int, ...], stopped: bool) -> None:
        """Leave the open region; an interrupt on its way is taken here, not in the next call."""
        arrived = stopped
        while True:
            try:
                with self._gate:
                    for call in calls:
                        self._open.pop(call, None)
                    late = self._unwanted.issuperset(calls) and not arrived
                break
            except Stopped:
                arrived = True
        # It comes within a few bytecodes, unless the function itself swallowed it.
        for _ in range(LATE if late else 0):
            try:
                time.sleep(0.001)
            except Stopped:
                break
