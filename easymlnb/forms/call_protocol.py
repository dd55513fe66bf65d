"""The interface between a form and what runs its calls."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.forms.learning_curves import Curve

Part = dict[str, Any]
"""A part of a result: ``kind``, ``title``, ``data`` and more (see ``forms.renderers``)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the call: ``fraction`` from 0 to 1, negative if unknown."""

    fraction: float = -1.0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The call has not begun.

    Attributes
    ----------
    position : number of calls ahead of it
    seconds : estimated time until it begins
    state : ``starting`` or ``asleep`` if the service has no worker, else ""
    reason : what the start waits for, in a sentence
    """

    position: int | None = None
    seconds: float | None = None
    state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """Output that the call has printed since the last event."""

    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a stream."""

    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The call succeeded. ``parts`` is empty after a stream; a large ``result`` is left out."""

    parts: list[Part] = field(default_factory=list)
    seconds: float = 0.0
    request_id: str = ""
    result: Any = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The call failed. Only the service's author gets the traceback in ``trace``."""

    error: EasyMLNBError
    trace: str = ""


@dataclass(frozen=True, slots=True)
class JobModel:
    """The version of a model that a job has made.

    ``may_use`` says whether the visitor may make it the one in production, ``used`` whether it is.
    """

    name: str
    version: int
    file: str = ""
    may_use: bool = False
    used: bool = False


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What is known of a job that a form started.

    Attributes
    ----------
    id : empty until the server has stored the job
    state : ``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``
    fraction : the progress, from 0 to 1
    text : the text of the progress, or what a queued job waits for
    position : place in the queue, from 1
    problem : why the job failed, or why nothing new is known
    curves : the values that it has reported, by step
    model : the version of a model that it has made
    """

    id: str = ""
    state: str = "queued"
    fraction: float = 0.0
    text: str = ""
    position: int | None = None
    problem: str = ""
    curves: tuple[Curve, ...] = ()
    model: JobModel | None = None

    @property
    def ended(self) -> bool:
        return self.state in ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class HandOver:
    """The outcome of an attempt to let a running call continue as a job.

    Attributes
    ----------
    job : the ID of the job; empty if the call did not become one
    problem : why the call did not become a job
    may_restart : whether the call has to be stopped and started again to run as a job
    """

    job: str = ""
    problem: str = ""
    may_restart: bool = False


Event = Progress | Waiting | Log | Item | Succeeded | Failed


class Running(Protocol):
    """A call that is running."""

    def stop(self) -> None:
        """Ask the call to end; ``Succeeded`` or ``Failed`` still follows."""


class Caller(Protocol):
    """Runs calls for a form; implement it to use forms elsewhere."""

    def start(self, values: dict[str, Any], on_event: Callable[[Event], None]) -> Running:
        """Start a call with JSON values and return at once.

        Parameters
        ----------
        values : dict
            JSON values of the parameters.
        on_event : callable
            Receives events from any thread (``Waiting``, ``Progress``, ``Log``, ``Item``), and
            finally one ``Succeeded`` or ``Failed``. It returns at once.

        Returns
        -------
        Running
            ``stop()`` asks the call to end.
        """


@runtime_checkable
class FlagCaller(Protocol):
    """A ``Caller`` whose calls can be flagged.

    ``may_flag`` says whether the service accepts flags of this caller.
    """

    may_flag: bool

    def flag(self, request_id: str, reason: str, on_done: Callable[[str], None]) -> None:
        """Keep a call that has ended, and return at once.

        ``on_done`` is called from any thread with ``""``, or why the call was not flagged.
        """


@runtime_checkable
class ResumingCaller(Protocol):
    """A ``Caller`` whose calls continue for a while without their form."""

    def resume(self, id: str, on_event: Callable[[Event], None]) -> Running:
        """Wait for a call that another form started; ``on_event`` is that of ``start``."""


@runtime_checkable
class LeavableCall(Running, Protocol):
    """A call of a ``ResumingCaller``."""

    id: str

    def leave(self) -> None:
        """Wait no longer for the call, which continues for a while."""


class FollowedJob(Protocol):
    """A job whose status a form shows. The job continues without the form."""

    def cancel(self) -> None:
        """Ask the job to end; a status follows."""

    def leave(self) -> None:
        """Follow the job no longer."""


@runtime_checkable
class JobCaller(Protocol):
    """A ``Caller`` that can run calls as jobs; ``may_run_jobs`` says whether this visitor may."""

    may_run_jobs: bool

    def submit_job(
        self, values: dict[str, Any], on_status: Callable[[JobStatus], None]
    ) -> FollowedJob:
        """Submit a job and return at once; ``on_status`` is called from any thread."""

    def hand_over(self, call: str, on_done: Callable[[HandOver], None]) -> None:
        """Let a running ``LeavableCall``, by its ID, continue as a job, and return at once.

        ``on_done`` is called from any thread. The call itself then ends as a canceled one.
        """

    def follow_job(self, id: str, on_status: Callable[[JobStatus], None]) -> FollowedJob:
        """Follow a job that was submitted before; see ``submit_job``."""

    def read_job(self, id: str, on_event: Callable[[Event], None]) -> Running:
        """Read the result of a job that has ended; ``on_event`` gets one event."""

    def use_model(self, id: str, on_done: Callable[[str], None]) -> None:
        """Put the version of a model that a job has made in production, and return at once.

        ``on_done`` is called from any thread with ``""``, or why that failed.
        """
