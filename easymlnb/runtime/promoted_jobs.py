"""A plain call that becomes a job while it runs, because it takes too long for its caller."""

import signal
import threading

from easymlnb.contract.job_protocol import JobPromoted
from easymlnb.contract.message import Message
from easymlnb.contract.worker_protocol import Call
from easymlnb.runtime.context import CURRENT_CALL, Emit
from easymlnb.runtime.jobs import RUNNING, End, JobRun


class PromotedJob(JobRun):
    """A job whose function runs already; any thread may make it."""

    def __init__(self, call: Call, emit: Emit) -> None:
        super().__init__(call, emit)
        self._attached = False
        RUNNING[:] = [self]

    def __enter__(self) -> "PromotedJob":
        return self

    def attach(self) -> None:
        """Follow the output and SIGTERM from now on, in the main thread that runs the call."""
        if self._attached:
            return
        self._attached = True
        self.handle_sigterm()
        context = CURRENT_CALL.get()
        if context is not None:
            context.log.copy_to(self.log)

    def finish(self, end: End) -> None:
        if not self._attached:  # the function ran no Python since
            self.log.write(end[0].log)
        super().finish(end)


class Promotion:
    """The call that runs alone on the main thread, and the job that it may become.

    Parameters
    ----------
    lock
        Held where a call begins or ends.
    emit
        Sends the events of a call.
    emit_anywhere
        Sends the messages of a job, from any thread.
    """

    def __init__(self, lock: threading.Lock, emit: Emit, emit_anywhere: Emit) -> None:
        self._lock = lock
        self._emit = emit
        self._emit_anywhere = emit_anywhere
        self._call: Call | None = None
        self.job: PromotedJob | None = None

    def begin(self, call: Call | None) -> None:
        """Note the call that begins; the caller holds the lock."""
        self._call = call

    def end(self) -> PromotedJob | None:
        """Note that the function has ended; return the job, if the call has become one."""
        with self._lock:
            self._call = None
            job, self.job = self.job, None
            return job

    def receive(self, message: JobPromoted) -> PromotedJob | None:
        """Make the call a job and return it; ``None`` once its function has ended."""
        with self._lock:
            call = self._call
            if call is None or call.id != message.id or self.job is not None:
                return None
            call.job, call.attempt = message.job, message.attempt
            self.job = PromotedJob(call, self._emit_anywhere)
        # The main thread attaches as soon as it runs Python again.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        return self.job

    def emit(self, message: Message, body: bytes) -> None:
        """Send an event of the call, or of the job that it has become."""
        (self.job or self._emit)(message, body)
