"""Compare models on the same folds, one fit at a time.

The unit of work is a candidate on a fold. Units run fold by fold, so an unfinished comparison has
all candidates on the folds that it finished, and what is done is never done again.
"""

import math
import pickle
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from easymlnb.contract.errors import CallerError, EasyMLNBError
from easymlnb.training.candidates import Candidate, candidates_for
from easymlnb.training.datasets import CLASSIFICATION, Dataset
from easymlnb.training.metrics import Metric, measure_predictions, metric_named, probabilities_of
from easymlnb.training.results import CandidateComparison, Unit
from easymlnb.training.splits import Split, split

TIMED_ROWS = 1000
"""Rows of which the time of a prediction is measured."""

Units = dict[tuple[str, int], Unit]
"""Finished units by candidate and fold."""

OnUnit = Callable[[Unit, Units, int], None]
"""Called after each unit with all that are finished, and how many there will be."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The chosen model on the test part, which no other model has seen.

    Attributes
    ----------
    model : estimator
        Fitted on all rows but the test part.
    metrics : dict of float
        All metrics of the task, on the test part.
    true, predicted : numpy.ndarray
        The target of the test part and what the model says.
    """

    model: Any
    metrics: dict[str, float]
    true: np.ndarray
    predicted: np.ndarray


def compare(
    data: Dataset,
    candidates: Iterable[str | Candidate] = (),
    *,
    metric: str = "",
    parts: Split | None = None,
    folds: int = 5,
    seed: int = 0,
    done: Iterable[Unit] = (),
    on_unit: OnUnit | None = None,
) -> CandidateComparison:
    """Fit candidates on the same folds and return their scores.

    Parameters
    ----------
    data : Dataset
    candidates : iterable of str or Candidate, optional
        Default: all usual ones, and the baselines.
    metric : str, optional
        Default: ``"balanced_accuracy"``, or ``"mae"`` for numbers.
    parts : Split, optional
        Default: the split that fits the data, with ``folds``.
    seed : int, default 0
    done : iterable of Unit, optional
        Units that an earlier comparison of the same data finished.
    on_unit : callable, optional
        Called after each unit, to report progress or to store it.

    Raises
    ------
    CallerError
        The data cannot be split, or no candidate could be fitted.
    """
    parts = parts or split(data, folds=folds, seed=seed)
    chosen = as_candidates(data, candidates, seed)
    judged = metric_named(metric, data.task)
    units: Units = {(unit.candidate, unit.fold): unit for unit in done}
    total = len(chosen) * len(parts.folds)
    for fold in range(len(parts.folds)):
        for candidate in chosen:
            if (candidate.name, fold) not in units:
                unit = run_unit(data, parts, candidate, fold, judged)
                units[candidate.name, fold] = unit
                if on_unit is not None:
                    on_unit(unit, units, total)
    made = CandidateComparison.from_units(chosen, units.values(), parts, judged)
    if not any(row.folds for row in made.rows):
        raise CallerError(f"No candidate could be fitted. {next(iter(units.values())).problem}")
    return made


def as_candidates(
    data: Dataset, candidates: Iterable[str | Candidate], seed: int
) -> list[Candidate]:
    """Return candidates, with the usual ones in place of their names, and the baselines."""
    given = list(candidates)
    own = [one for one in given if isinstance(one, Candidate)]
    names = [one for one in given if isinstance(one, str)]
    if not given or names or not any(one.is_baseline for one in own):
        usual = candidates_for(data, names, seed=seed)
        own = [one for one in usual if one.is_baseline or names or not given] + own
    twice = {one.name for one in own if [other.name for other in own].count(one.name) > 1}
    if twice:
        raise CallerError(f"Two candidates have the name {sorted(twice)[0]!r}.")
    return own


def run_unit(data: Dataset, parts: Split, candidate: Candidate, fold: int, metric: Metric) -> Unit:
    """Fit a candidate on a fold and measure it; what it raises becomes a problem of the unit."""
    train, test = parts.folds[fold]
    try:
        return _measured(data, candidate, fold, metric, train, test)
    except EasyMLNBError as error:
        problem = error.message
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    return Unit(candidate.name, fold, problem=problem[:500])


def _measured(
    data: Dataset, candidate: Candidate, fold: int, metric: Metric, train: Any, test: Any
) -> Unit:
    model = candidate.make()
    began = time.perf_counter()
    model.fit(data.x.iloc[train], data.y.iloc[train])
    fit_seconds = time.perf_counter() - began
    few = data.x.iloc[test[:TIMED_ROWS]]
    began = time.perf_counter()
    model.predict(few)
    predict_ms = 1000 * (time.perf_counter() - began)
    return Unit(
        candidate.name,
        fold,
        _score(data, model, metric, test),
        _score(data, model, metric, train),
        fit_seconds,
        predict_ms,
        size_of(model),
    )


def _score(data: Dataset, model: Any, metric: Metric, rows: Any) -> float:
    x, y = data.x.iloc[rows], data.y.iloc[rows]
    probabilities = probabilities_of(model, x) if metric.needs_probabilities else None
    if metric.needs_probabilities and probabilities is None:
        raise CallerError(f"The metric {metric.name!r} needs a model with probabilities.")
    score = float(metric.score(np.asarray(y), model.predict(x), probabilities))
    if not math.isfinite(score):
        raise CallerError(
            f"The metric {metric.name!r} of {len(y)} rows is {score}. Choose another metric, or "
            "scale the target."
        )
    return score


def size_of(model: Any) -> int:
    """Return the bytes of a stored model."""
    try:
        return len(pickle.dumps(model))
    except Exception:
        return 0


def evaluate(data: Dataset, parts: Split, candidate: Candidate) -> Evaluation:
    """Fit the chosen candidate on all rows but the test part, and measure it there."""
    model = candidate.make()
    model.fit(data.x.iloc[parts.train], data.y.iloc[parts.train])
    x, true = data.x.iloc[parts.test], data.y.iloc[parts.test].to_numpy()
    predicted = np.asarray(model.predict(x))
    probabilities = probabilities_of(model, x) if data.task == CLASSIFICATION else None
    metrics = measure_predictions(true, predicted, probabilities, data.task)
    return Evaluation(model, metrics, true, predicted)


def as_units(stored: Sequence[dict[str, Any]]) -> list[Unit]:
    """Return the units of a checkpoint that ``as_rows`` made."""
    return [Unit(**row) for row in stored]


def as_rows(units: Iterable[Unit]) -> list[dict[str, Any]]:
    """Return units as JSON values, for a checkpoint or a file."""
    return [asdict(unit) for unit in units]
