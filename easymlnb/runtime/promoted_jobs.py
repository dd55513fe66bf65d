"""A plain call that becomes a job while it runs, because it takes too long for its caller."""

import signal
import threading

from easymlnb.contract.job_protocol import JobPromoted
from easymlnb.contract.message import Message
from easymlnb.contract.worker_protocol import Call
from easymlnb.runtime.context import CALL_LOGS, Emit, OutputLog
from easymlnb.runtime.jobs import RUNNING, JobRun


class PromotedJob(JobRun):
    """A job whose function runs already; any thread may make it."""

    def __init__(self, call: Call, emit: Emit, log: OutputLog) -> None:
        """``log`` has what the function has printed, and gets what it will print."""
        super().__init__(call, emit)
        self._attached = False
        log.copy_to(self.log)
        RUNNING[:] = [self]

    def __enter__(self) -> "PromotedJob":
        return self

    def attach(self) -> None:
        """Follow SIGTERM from now on, in the main thread that runs the call."""
        if not self._attached:
            self._attached = True
            self.handle_sigterm()


class PromotedCall:
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
        self._log = OutputLog()
        self.job: PromotedJob | None = None

    def begin(self, call: Call | None) -> None:
        """Note the call that begins; the caller holds the lock."""
        self._call = call
        self._log = OutputLog()

    def keep_log(self) -> None:
        """Use one log for all that the call prints, also before it becomes a job."""
        if self._call is not None:
            CALL_LOGS[self._call.id] = self._log

    def end(self) -> PromotedJob | None:
        """Note that the function has ended; return the job, if the call has become one."""
        with self._lock:
            if self._call is not None:
                CALL_LOGS.pop(self._call.id, None)
            self._call = None
            job, self.job = self.job, None
            return job

    def receive(self, message: JobPromoted) -> PromotedJob | None:
        """Make the call a job and return it; ``None`` once its function has ended."""
        with self._lock:
            call = self._call
            if call is None or call.id != message.id or self.job is not None:
                return None
            call.job, call.attempt, call.progress = message.job, message.attempt, True
            self.job = PromotedJob(call, self._emit_anywhere, self._log)
        # The main thread attaches as soon as it runs Python again.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        return self.job

    def emit(self, message: Message, body: bytes) -> None:
        """Send an event of the call, or of the job that it has become."""
        (self.job or self._emit)(message, body)
