"""The running job as its function sees it: its files, metrics and checkpoints."""

import os
from pathlib import Path

from easymlnb.contract.options import named_options
from easymlnb.runtime.checkpoints import Checkpoint
from easymlnb.runtime.context import CURRENT_CALL
from easymlnb.runtime.jobs import RUNNING, JobRun

MAX_LABEL = 200
"""Maximum characters of the label of a file, and of the name of a metric."""


class CurrentJob:
    """The job that is running, as its function sees it: ``ml.job()``.

    In a plain call or outside a call, ``id`` is empty and the methods do nothing, so the same
    function runs everywhere. In a call that becomes a job while it runs, they work from then on.
    """

    def __init__(self) -> None:
        context = CURRENT_CALL.get()
        self._call = context.call.id if context is not None else None
        self._found = RUNNING[0] if RUNNING else None

    @property
    def _run(self) -> JobRun | None:
        """The run of the job, which a plain call may have become since."""
        if self._found is None and RUNNING and RUNNING[0].call.id == self._call:
            self._found = RUNNING[0]
        return self._found

    @property
    def id(self) -> str:
        """The id of the job."""
        return self._run.call.job if self._run is not None else ""

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1; 0 in a plain call."""
        return self._run.call.attempt if self._run is not None else 0

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
        self._run.save_file(label, content, media_type)

    def metric(self, name: str, value: float, *, step: int = 0) -> None:
        """Report a value, such as the loss of an epoch; the same as ``ml.metric``."""
        _check_name("name", name)
        if self._run is not None:
            self._run.metric(name, int(step), float(value))

    def checkpoint(self) -> Checkpoint:
        """Return the checkpoints of this job; the same as ``ml.checkpoint()``."""
        return Checkpoint(lambda: self._run)


@named_options
def job() -> CurrentJob:
    """Return the running job, to save files, metrics and checkpoints from its function.

    Returns
    -------
    CurrentJob
        In a plain call or outside a call, one whose methods do nothing.
    """
    return CurrentJob()


@named_options
def metric(name: str, value: float, *, step: int = 0) -> None:
    """Report a value of the running job, such as the loss of an epoch; see ``ml.job``.

    Outside a job it does nothing. The values of a training become the learning curves of its model.

    Parameters
    ----------
    name : str
        The metric's name, with 1 to 200 printable characters.
    value : float
        The value; one for the same name and step is replaced. NaN and infinity are not stored.
    step : int, default 0
        The step or epoch.
    """
    job().metric(name, value, step=step)


@named_options
def checkpoint() -> Checkpoint:
    """Return the checkpoints of the running job, from which another attempt continues.

    Returns
    -------
    Checkpoint
        In a plain call or outside a call, one that saves and loads nothing.
    """
    return job().checkpoint()


def _check_name(what: str, name: str) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_LABEL or not name.isprintable():
        raise ValueError(f"{what} must have 1 to {MAX_LABEL} printable characters, not {name!r}.")
