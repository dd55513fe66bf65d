"""Calls beside an author's cells: live services and the form under a cell.

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
from easymlnb.contract.frames import Call, Failure
from easymlnb.definition import Service
from easymlnb.runtime.calls import Stopped, perform
from easymlnb.runtime.context import Emit

SIZE = 16
"""Calls that may run at once in one kernel, over all its services."""

LATE = 50
"""Milliseconds to wait for an interrupt that was sent as its function returned."""

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)


class Threads:
    """A pool of threads for calls, each of which can be cancelled by its id."""

    def __init__(self, size: int = SIZE) -> None:
        self._pool = ThreadPoolExecutor(size, "easymlnb-call")
        self._gate = threading.Lock()
        self._open: dict[int, int] = {}  # call -> thread, while its function runs
        self._waiting: set[int] = set()  # submitted, function not yet entered
        self._unwanted: set[int] = set()

    def submit(self, service: Service, call: Call, body: bytes, emit: Emit) -> None:
        """Run the call soon; ``emit`` is called from its thread and must not block for long."""
        with self._gate:
            self._waiting.add(call.id)
        self._pool.submit(self._run, service, call, body, emit)

    def cancel(self, call: int) -> None:
        """Interrupt the call, or keep it from starting; unknown and finished calls are ignored."""
        with self._gate:
            if call in self._open and call not in self._unwanted:
                self._unwanted.add(call)
                _raise_in_thread(self._open[call], ctypes.py_object(Stopped))
            elif call in self._waiting:
                self._unwanted.add(call)

    def _run(self, service: Service, call: Call, body: bytes, emit: Emit) -> None:
        if call.id in self._unwanted:
            self._forget(call.id)
            error = CallCancelled()
            emit(Failure(id=call.id, code=error.code, message=error.message), b"")
            return
        try:
            perform(service, call, body, emit, self._guard)
        finally:
            self._forget(call.id)

    def _forget(self, call: int) -> None:
        with self._gate:
            self._open.pop(call, None)  # an interrupt may have hit between two lines of `_guard`
            self._waiting.discard(call)
            self._unwanted.discard(call)

    @contextmanager
    def _guard(self, call: int) -> Iterator[None]:
        with self._gate:
            self._waiting.discard(call)
            if call in self._unwanted:
                raise Stopped
            self._open[call] = threading.get_ident()
        stopped = False
        try:
            yield
        except Stopped:
            stopped = True
            raise
        finally:
            self._close(call, stopped)

    def _close(self, call: int, stopped: bool) -> None:
        """Leave the open region; an interrupt on its way is taken here, not in the next call."""
        arrived = stopped
        while True:
            try:
                with self._gate:
                    self._open.pop(call, None)
                    late = call in self._unwanted and not arrived
                break
            except Stopped:
                arrived = True
        # It comes within a few bytecodes, unless the function itself swallowed it.
        for _ in range(LATE if late else 0):
            try:
                time.sleep(0.001)
            except Stopped:
                break
