"""Train the model of a configuration: compare candidates, fit the best one, measure and draw it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from easymlnb.contract.errors import CallerError
from easymlnb.templates import drawings
from easymlnb.templates.config import BASELINE, COMPARE, Config

if TYPE_CHECKING:
    import numpy as np

    from easymlnb.training.candidates import Candidate
    from easymlnb.training.comparing import Evaluation
    from easymlnb.training.datasets import Dataset
    from easymlnb.training.splits import Split

ALPHAS = tuple(10.0**power for power in range(-9, 5))
"""Penalties of linear regression; the smallest lets exact relations be found."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Learned:
    """A trained model of a template.

    - ``model``: the fitted estimator
    - ``metrics``: on the test part, which no candidate has seen
    - ``signature``: what is needed to predict with the model
    - ``report``: the comparison, plots and notes for the page, as JSON values
    """

    model: Any
    metrics: dict[str, float]
    signature: dict[str, Any]
    report: dict[str, Any]


class Predictor(Protocol):
    """A loaded model."""

    signature: dict[str, Any]

    def predict(self, rows: Sequence[Any]) -> dict[str, Any]:
        """Return predictions; raises ``CallerError`` for rows that do not fit."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best candidate, fitted, and how it compares."""

    name: str
    evaluation: "Evaluation"
    parts: "Split"
    report: dict[str, Any]


def choose(
    data: "Dataset",
    config: Config,
    progress: Progress,
    candidates: "Sequence[Candidate] | None" = None,
) -> Chosen:
    """Compare the candidates of a configuration and fit the best one; raises ``CallerError``."""
    from easymlnb.training.comparing import evaluate
    from easymlnb.training.progress import compare_with_progress
    from easymlnb.training.splits import split

    parts = split(data, folds=config.folds, seed=config.seed)
    candidates = candidates_of(data, config) if candidates is None else candidates

    def on_progress(fraction: float, text: str) -> None:
        progress(0.9 * fraction, f"{text} of {len(parts.folds)}")

    result = compare_with_progress(
        data,
        candidates,
        metric=config.metric,
        parts=parts,
        seed=config.seed,
        report=on_progress,
        curves=False,
    )
    name = result.chosen or result.rows[0].name
    progress(0.9, f"Fitting {name}")
    candidate = next(one for one in candidates if one.name == name)
    evaluation = evaluate(data, parts, candidate)
    notes = [finding.message for finding in data.notes]
    report = {
        "algorithm": name,
        "title": candidate.title,
        "comparison": result.to_dict(),
        "rows": {"train": len(parts.train), "test": len(parts.test)},
        "notes": [*notes, *result.notes],
        "plots": drawings.outcome(evaluation.true, evaluation.predicted, data),
    }
    return Chosen(name, evaluation, parts, report)


def candidates_of(data: "Dataset", config: Config) -> "list[Candidate]":
    """Return the candidates of a configuration, the baselines among them."""
    from easymlnb.training.candidates import baselines_for, candidates_for

    if config.algorithm == BASELINE:
        return baselines_for(data)
    names = [] if config.algorithm == COMPARE else [config.algorithm]
    found = candidates_for(data, names, seed=config.seed)
    return [_exact(one) if one.name == "linear" and data.task == "regression" else one
            for one in found]  # fmt: skip


def _exact(candidate: "Candidate") -> "Candidate":
    """Return the linear candidate with penalties so small that it can reproduce exact data."""
    from dataclasses import replace

    from sklearn.linear_model import RidgeCV

    from easymlnb.training.candidates import pipeline

    return replace(candidate, make=lambda: pipeline(RidgeCV(alphas=ALPHAS), scaled=True))


def importance(data: "Dataset", chosen: Chosen, seed: int) -> list[list[Any]]:
    """Return how much worse the model becomes when a column is shuffled, most first."""
    from sklearn.inspection import permutation_importance

    rows = chosen.parts.test[:500]
    x, y = data.x.iloc[rows], data.y.iloc[rows]
    if x.shape[1] > 60 or len(x) < 5:
        return []
    found = permutation_importance(
        chosen.evaluation.model, x, y, n_repeats=3, random_state=seed
    ).importances_mean
    pairs = sorted(zip(x.columns, found, strict=True), key=lambda pair: -pair[1])
    return [[str(name), round(float(value), 6)] for name, value in pairs[:15]]


def tidy(values: "np.ndarray") -> list[Any]:
    """Return predictions as JSON values with the digits that mean something."""
    if values.dtype.kind != "f":
        return [str(value) for value in values.tolist()]
    return [_rounded(value) for value in values.tolist()]


def _rounded(value: float) -> float | None:
    return float(f"{value:.9g}") if value == value and abs(value) != float("inf") else None


def require_target(config: Config) -> None:
    """Raise ``CallerError`` if a configuration has no target."""
    if not config.target:
        raise CallerError("Choose the column to predict: set 'target'.")
