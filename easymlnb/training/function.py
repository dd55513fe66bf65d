"""What a training function can do besides training: compare and search."""

import hashlib
import inspect
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from easymlnb.contract import installation
from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.training import Training
from easymlnb.runtime.context import progress
from easymlnb.training import searching
from easymlnb.training.model import Model
from easymlnb.training.train_function import SearchResult, Trial
from easymlnb.types.base import is_a

if TYPE_CHECKING:
    import pandas as pd

    from easymlnb.training.results import CandidateComparison

SMALLER_IS_BETTER = ("mae", "mse", "rmse", "mape", "loss", "log_loss", "error")
"""Names, or ends of names, of metrics of which smaller values are better."""

_FINISHED: dict[str, dict[str, Any]] = {}
"""Finished trials and units of this kernel, with which a repeated call continues."""

MAX_KEPT = 20

SIDE_BY_SIDE = 4
"""Jobs of a search that run at a time if the next ones depend on their results."""


class DataWarning(UserWarning):
    """Something about the data that may make a comparison say too much."""


def compare(
    function: Callable[..., Model],
    training: Training,
    data: "pd.DataFrame",
    candidates: Mapping[str, Mapping[str, Any]],
    *,
    target: str = "target",
    metric: str = "",
    folds: int = 5,
    time: str | None = None,
    groups: str | None = None,
    horizon: int = 0,
    seed: int = 0,
    **values: Any,
) -> "CandidateComparison":
    """Compare parameters of a training function; see ``TrainFunction.compare``."""
    from easymlnb.training.candidates import Candidate
    from easymlnb.training.checks import check
    from easymlnb.training.datasets import dataset
    from easymlnb.training.findings import WARNING
    from easymlnb.training.progress import compare_with_progress

    _check_candidates(data, candidates)
    names = list(inspect.signature(function).parameters)
    if "target" in names:
        values["target"] = target
    for name, options in candidates.items():
        _check_parameters(function.__name__, names, {**values, **options}, f" of {name!r}")
    for finding in check(data, target, time=time, groups=groups):
        if finding.level == WARNING:  # for an error, ``dataset`` raises
            warnings.warn(finding.message, DataWarning, stacklevel=2)
    made = dataset(data, target, time=time, groups=groups, horizon=horizon)
    known = [
        Candidate(name, _maker(function, names[0], target, {**values, **options}))
        for name, options in candidates.items()
    ]
    key = _key("compare", function, candidates, values, [target, time, groups, horizon, seed], data)
    return compare_with_progress(
        made, known, metric=metric, folds=folds, seed=seed, kept=_kept(key)
    )


def _check_candidates(data: object, candidates: object) -> None:
    """Raise if these are not a table and the candidates to compare on it."""
    if not is_a(type(data), "pandas.DataFrame"):
        raise DefinitionError(f"compare needs a pandas.DataFrame, not {type(data).__name__}.")
    if not isinstance(candidates, Mapping) or not candidates:
        raise DefinitionError(
            "candidates must be a dict of parameters by name, such as {'few': {'trees': 10}, "
            "'many': {'trees': 500}}."
        )


class _Trained:
    """A training function as an estimator: ``fit`` calls it, ``predict`` asks its model."""

    def __init__(
        self, function: Callable[..., Model], table: str, target: str, values: dict[str, Any]
    ) -> None:
        self._function = function
        self._table = table
        self._target = target
        self._values = values

    def fit(self, x: "pd.DataFrame", y: "pd.Series") -> "_Trained":
        table = x.assign(**{self._target: y}).reset_index(drop=True)
        self.obj = self._function(**{self._table: table}, **self._values).obj
        if hasattr(self.obj, "predict_proba"):
            self.predict_proba = self.obj.predict_proba
            self.classes_ = self.obj.classes_
        return self

    def predict(self, x: "pd.DataFrame") -> Any:
        return self.obj.predict(x)

    def __getstate__(self) -> Any:
        return self.obj  # its size is that of the model


def _maker(
    function: Callable[..., Model], table: str, target: str, values: dict[str, Any]
) -> Callable[[], Any]:
    return lambda: _Trained(function, table, target, values)


def search(
    function: Any,
    training: Training,
    space: searching.Space,
    *args: Any,
    n: int = 20,
    metric: str = "",
    maximize: bool | None = None,
    sampler: str = "random",
    jobs: bool = False,
    seed: int = 0,
    **values: Any,
) -> SearchResult:
    """Search the parameters of a training function; see ``TrainFunction.search``."""
    names = list(inspect.signature(function).parameters)
    searching.check_space(space, names)
    _check_parameters(function.__name__, names, values)
    metric = metric or training.metric
    if not metric:
        raise DefinitionError("Name the metric to search by: metric='mae'.")
    if sampler not in ("random", "tpe"):
        raise DefinitionError(f"sampler must be 'random' or 'tpe', not {sampler!r}.")
    if not 1 <= n <= 1000:
        raise DefinitionError(f"n must be from 1 to 1000, not {n!r}.")
    greater = not metric.endswith(SMALLER_IS_BETTER) if maximize is None else maximize
    given = dict(zip(names, args, strict=False)) | values
    if sampler == "tpe":
        installation.require("sampler='tpe'", "optuna")
    asked = Asked(space, n, metric, greater, sampler, seed)
    key = _key("search", function, space, given, [metric, sampler, seed, jobs])
    run = _as_jobs if jobs else _here
    trials = run(function, asked, given, _kept(key))
    return _sorted(trials, metric, greater)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a search tries: ``n`` points of a space, compared by a metric."""

    space: searching.Space
    n: int
    metric: str
    maximize: bool
    sampler: str
    seed: int

    def point(self, number: int, known: Sequence[Trial]) -> dict[str, Any] | None:
        """Return a point, numbered from 0, after trials; ``None`` if the space has no more."""
        if self.sampler == "tpe":
            scored = [(trial.params, trial.score) for trial in known if trial.score is not None]
            seed = self.seed + number - len(scored)
            return searching.ask_optuna(self.space, scored, maximize=self.maximize, seed=seed)
        points = searching.sample(self.space, seed=self.seed)
        return next(islice(points, number, None), None)


def _here(
    function: Callable[..., Model], asked: Asked, values: dict[str, Any], kept: dict[str, Any]
) -> list[Trial]:
    """Train in this process; finished trials are in ``kept``."""
    trials: list[Trial] = kept.setdefault("trials", [])
    while len(trials) < asked.n:
        point = asked.point(len(trials), trials)
        if point is None:
            break
        progress(len(trials) / asked.n, f"trial {len(trials) + 1} of {asked.n}")
        trials.append(_tried(function, values, point, asked.metric))
    return trials[: asked.n]


def _tried(
    function: Callable[..., Model], values: dict[str, Any], point: dict[str, Any], metric: str
) -> Trial:
    try:
        found = function(**{**values, **point}).metrics
    except Exception as error:
        return Trial(point, problem=f"{type(error).__name__}: {error}"[:500])
    return _scored(Trial(point, metrics=found), metric)


def _scored(trial: Trial, metric: str) -> Trial:
    """Return a trial with its score, if its model has that metric."""
    if trial.problem:
        return trial
    score = trial.metrics.get(metric)
    if score is None or score != score:
        known = ", ".join(trial.metrics) or "none"
        problem = f"The model has no metric {metric!r}. Its metrics: {known}."
        return replace(trial, problem=problem)
    return replace(trial, score=score)


def _as_jobs(
    function: Any, asked: Asked, values: dict[str, Any], kept: dict[str, Any]
) -> list[Trial]:
    """Submit trials as jobs, each of which makes a version of the model, and wait.

    An interrupt leaves them running, and the next call waits for them.
    """
    running: list[tuple[dict[str, Any], Any]] = kept.setdefault("jobs", [])
    trials: list[Trial] = kept.setdefault("trials", [])
    ahead = SIDE_BY_SIDE if asked.sampler == "tpe" else asked.n
    while len(trials) < asked.n:
        while len(running) < min(asked.n, len(trials) + ahead):
            point = asked.point(len(running), trials)
            if point is None:
                break
            running.append((point, function.submit(**{**values, **point})))
        if len(trials) == len(running):
            break
        progress(len(trials) / asked.n, f"trial {len(trials) + 1} of {asked.n}")
        trials.append(_scored(_ended(*running[len(trials)]), asked.metric))
    return trials[: asked.n]


def _ended(point: dict[str, Any], job: Any) -> Trial:
    """Wait for the job of a trial."""
    try:
        metrics = job.result()["metrics"]
        made = job.info()["model"] or {}
    except Exception as error:
        return Trial(point, job=job.id, problem=f"{type(error).__name__}: {error}"[:500])
    return Trial(point, metrics=metrics, job=job.id, version=made.get("version"))


def _sorted(trials: Iterable[Trial], metric: str, maximize: bool) -> SearchResult:
    sign = -1.0 if maximize else 1.0
    ordered = sorted(trials, key=lambda trial: (trial.score is None, sign * (trial.score or 0.0)))
    return SearchResult(tuple(ordered), metric)


def _check_parameters(
    function: str, names: Sequence[str], values: Mapping[str, Any], of: str = ""
) -> None:
    wrong = [name for name in values if name not in names]
    if wrong:
        raise DefinitionError(
            f"{function} has no parameter {wrong[0]!r}{of}. Parameters: {', '.join(names)}."
        )


def _key(kind: str, function: Callable[..., Any], *what: Any) -> str:
    """Return a key of a comparison or search in this kernel."""
    import pandas as pd

    digest = hashlib.sha256(f"{kind} {id(function)}".encode())
    for part in what:
        for value in part.values() if isinstance(part, Mapping) else [part]:
            if isinstance(value, pd.DataFrame):
                digest.update(pd.util.hash_pandas_object(value).to_numpy().tobytes())
        digest.update(json.dumps(part, default=repr, sort_keys=True).encode())
    return digest.hexdigest()


def _kept(key: str) -> dict[str, Any]:
    """Return what an earlier call with this key has finished."""
    kept = _FINISHED.pop(key, {})
    _FINISHED[key] = kept
    while len(_FINISHED) > MAX_KEPT:
        del _FINISHED[next(iter(_FINISHED))]
    return kept
