"""Checkpoints of a job: states from which another attempt, on any node, continues."""

import importlib
import operator
import pickle
import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from easymlnb.contract.checkpoint_file import (
    PREFIX,
    SealedFile,
    files_in,
    is_whole,
    next_file,
)
from easymlnb.runtime.failures import JobLeft

KEPT = 2
"""Checkpoints that stay in the worker's folder."""


class CheckpointRun(Protocol):
    """What a checkpoint uses of the run of its job."""

    folder: Path
    offered: tuple[tuple[str, int], ...]

    @property
    def leaving(self) -> bool:
        """Whether the time of the job's node is over soon."""

    def save_checkpoint(self, path: Path) -> None:
        """Send a checkpoint to the server."""

    def fetch_checkpoint(self, file: str, size: int, path: Path) -> bool:
        """Store a checkpoint of the server in a file; return whether that was possible."""


class SavedState(dict[str, Any]):
    """What a checkpoint contains: the values given to ``save`` by name, and its ``step``."""

    def __init__(self, step: int, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.step = step


class Checkpoint:
    """The checkpoints of a job, as its function sees them: ``ml.checkpoint()``.

    They are pickled in this worker and read by workers of the same version only. Outside a job,
    ``save`` does nothing, ``load`` returns ``None``, and ``leaving`` is false.
    """

    def __init__(self, find: Callable[[], CheckpointRun | None]) -> None:
        self._find = find

    @property
    def _run(self) -> CheckpointRun | None:
        return self._find()

    @property
    def leaving(self) -> bool:
        """Whether the job's node ends soon: save a checkpoint, then call ``leave``."""
        return self._run is not None and self._run.leaving

    def save(self, step: int, **state: Any) -> None:
        """Save the state after a step.

        A checkpoint is written completely or not at all, and the one before stays. The states of
        the global random generators of Python, numpy and torch are saved, too. On a full
        disk, the job continues with a warning.

        Parameters
        ----------
        step : int
            The number of steps that are done, at least 0.
        **state
            Values that can be pickled. Tensors on a GPU are saved as tensors on the CPU.
        """
        number = operator.index(step)
        if number < 0:
            raise ValueError(f"step must be at least 0, not {number}.")
        if self._run is None:
            return
        try:
            path = _write(self._run.folder, number, state)
        except OSError as error:
            warnings.warn(f"The checkpoint was not saved: {error}.", RuntimeWarning, stacklevel=2)
            return
        self._run.save_checkpoint(path)

    def load(self, *, random: bool = True) -> SavedState | None:
        """Return the newest state that can be read, of this attempt or an earlier one.

        Parameters
        ----------
        random : bool, default True
            Whether to set the global random generators to their saved states.

        Returns
        -------
        SavedState or None
            A dict with the values, and the attribute ``step``; ``None`` without a checkpoint.
        """
        if self._run is None:
            return None
        folder = self._run.folder
        for path in files_in(folder):
            if (found := _read(path)) is not None:
                return _restored(found, random)
        path = folder / f"{PREFIX}0"
        for file, size in self._run.offered:
            if self._run.fetch_checkpoint(file, size, path) and (found := _read(path)) is not None:
                return _restored(found, random)
        return None

    def leave(self) -> None:
        """End this attempt, so that the job continues elsewhere with the last checkpoint.

        It costs neither an attempt nor a loss. It raises an exception that ``except Exception``
        does not catch.

        Raises
        ------
        RuntimeError
            The job is not ``leaving``.
        """
        if self._run is None:
            return
        if not self._run.leaving:
            raise RuntimeError("leave() is for jobs whose node ends. Check 'leaving' before.")
        raise JobLeft


class _Pickler(pickle.Pickler):
    """Pickles tensors of other devices as tensors on the CPU, which every node has."""

    def reducer_override(self, value: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(value, torch.Tensor) or value.device.type == "cpu":
            return NotImplemented
        return value.detach().cpu().__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def _write(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write a checkpoint, and remove those that are not kept."""
    path = next_file(folder)
    half = path.with_suffix(".half")
    try:
        with half.open("wb") as file:
            sealed = SealedFile(file)
            content = {"step": step, "state": state, "random": _random_states()}
            _Pickler(sealed, pickle.HIGHEST_PROTOCOL).dump(content)
            sealed.seal()
    except BaseException as error:
        half.unlink(missing_ok=True)
        if isinstance(error, pickle.PicklingError | TypeError | AttributeError):
            raise TypeError(_not_picklable(state, error)) from error
        raise
    half.replace(path)
    for old in files_in(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def _not_picklable(state: dict[str, Any], error: BaseException) -> str:
    for name, value in state.items():
        try:
            pickle.dumps(value)
        except Exception:
            return f"save() cannot pickle the value {name!r}, a {type(value).__name__}: {error}."
    return f"save() cannot pickle the state: {error}."


def _read(path: Path) -> dict[str, Any] | None:
    """Return the content of a checkpoint; ``None`` with a warning if it cannot be read."""
    if not is_whole(path):
        warnings.warn(f"The checkpoint {path.name} is incomplete.", RuntimeWarning, stacklevel=3)
        return None
    try:
        with path.open("rb") as file:
            found: dict[str, Any] = pickle.load(file)
        return found
    except Exception as error:
        text = f"The checkpoint {path.name} cannot be read: {error}."
        warnings.warn(text, RuntimeWarning, stacklevel=3)
        return None


def _restored(found: dict[str, Any], with_random: bool) -> SavedState:
    if with_random:
        _set_random_states(found["random"])
    return SavedState(found["step"], found["state"])


def _random_states() -> dict[str, Any]:
    """Return the states of the global random generators of imported modules."""
    states: dict[str, Any] = {"random": random.getstate()}
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        states["numpy"] = numpy.random.get_state()
    if torch is not None:
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def _set_random_states(states: dict[str, Any]) -> None:
    random.setstate(states["random"])
    if "numpy" in states:
        importlib.import_module("numpy").random.set_state(states["numpy"])
    if "torch" in states:
        torch: Any = importlib.import_module("torch")
        torch.set_rng_state(states["torch"])
        # Another node may have fewer GPUs.
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(states["cuda"][: torch.cuda.device_count()])
