"""Metrics by name: what they are computed from, and which way is better.

Functions import scikit-learn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from easymlnb.contract.errors import CallerError
from easymlnb.training.datasets import CLASSIFICATION, REGRESSION


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric by which models are compared.

    ``score`` takes the true values, the predictions and the probabilities of the classes, which
    only some metrics need.
    """

    name: str
    task: str
    greater_is_better: bool
    score: Callable[[Any, Any, Any], float]
    needs_probabilities: bool = False

    def sign(self) -> float:
        """Return 1 if greater is better, else -1."""
        return 1.0 if self.greater_is_better else -1.0


@dataclass(frozen=True, slots=True)
class Probabilities:
    """The probability of each class in each row; ``classes`` names the columns."""

    values: np.ndarray
    classes: tuple[str, ...]


def _metric(name: str) -> Callable[[Any, Any], float]:
    def score(true: Any, predicted: Any) -> float:
        from sklearn import metrics

        return float(getattr(metrics, name)(true, predicted))

    return score


def _macro_f1(true: Any, predicted: Any, probabilities: Any) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(true, predicted, average="macro", zero_division=0))


def _balanced(true: Any, predicted: Any, probabilities: Any) -> float:
    """Return the mean share of rows that were recognized, over the classes in ``true``."""
    true, predicted = np.asarray(true), np.asarray(predicted)
    return float(np.mean([(predicted[true == one] == one).mean() for one in np.unique(true)]))


def _log_loss(true: Any, predicted: Any, probabilities: Probabilities) -> float:
    values = np.clip(_of_true_class(true, probabilities), 1e-15, 1)
    return float(-np.log(values).mean())


def _roc_auc(true: Any, predicted: Any, probabilities: Probabilities) -> float:
    """Return the mean area under the curve of each class against the rest."""
    from sklearn.metrics import roc_auc_score

    true = np.asarray(true)
    present = [i for i, one in enumerate(probabilities.classes) if 0 < (true == one).mean() < 1]
    if not present:
        return float("nan")
    classes = probabilities.classes
    areas = [roc_auc_score(true == classes[i], probabilities.values[:, i]) for i in present]
    return float(np.mean(areas))


def _of_true_class(true: Any, probabilities: Probabilities) -> np.ndarray:
    column = {name: i for i, name in enumerate(probabilities.classes)}
    values = probabilities.values
    return np.array([values[i, column[c]] if c in column else 0 for i, c in enumerate(true)])


def _without_probabilities(name: str) -> Callable[[Any, Any, Any], float]:
    score = _metric(name)
    return lambda true, predicted, probabilities: score(true, predicted)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("balanced_accuracy", CLASSIFICATION, True, _balanced),
        Metric("accuracy", CLASSIFICATION, True, _without_probabilities("accuracy_score")),
        Metric("f1", CLASSIFICATION, True, _macro_f1),
        Metric("roc_auc", CLASSIFICATION, True, _roc_auc, True),
        Metric("log_loss", CLASSIFICATION, False, _log_loss, True),
        Metric("mae", REGRESSION, False, _without_probabilities("mean_absolute_error")),
        Metric("rmse", REGRESSION, False, _without_probabilities("root_mean_squared_error")),
        Metric("r2", REGRESSION, True, _without_probabilities("r2_score")),
    )
}

DEFAULT = {CLASSIFICATION: "balanced_accuracy", REGRESSION: "mae"}


def metric_named(name: str, task: str) -> Metric:
    """Return a metric, or the default one of a task; raises ``CallerError`` for an unknown one."""
    known = [metric.name for metric in METRICS.values() if metric.task == task]
    name = name or DEFAULT[task]
    if name not in known:
        raise CallerError(f"metric must be one of {', '.join(known)}, not {name!r}.")
    return METRICS[name]


def probabilities_of(model: Any, x: Any) -> Probabilities | None:
    """Return the probabilities of the classes, if the model can tell them."""
    predict = getattr(model, "predict_proba", None)
    if predict is None:
        return None
    return Probabilities(np.asarray(predict(x)), tuple(map(str, model.classes_)))


def measure(model: Any, x: Any, y: Any, task: str, names: Sequence[str] = ()) -> dict[str, float]:
    """Return the metrics of a fitted model on some rows: all of its task, or those named."""
    true, predicted, probabilities = np.asarray(y), np.asarray(model.predict(x)), None
    if task == CLASSIFICATION:
        true, predicted = true.astype(str), predicted.astype(str)
        probabilities = probabilities_of(model, x)
    return measure_predictions(true, predicted, probabilities, task, names)


def measure_predictions(
    true: Any,
    predicted: Any,
    probabilities: Probabilities | None,
    task: str,
    names: Sequence[str] = (),
) -> dict[str, float]:
    """Return the metrics of predictions."""
    chosen = [metric_named(name, task) for name in names] or [
        metric for metric in METRICS.values() if metric.task == task
    ]
    true = np.asarray(true)
    return {
        metric.name: metric.score(true, predicted, probabilities)
        for metric in chosen
        if probabilities is not None or not metric.needs_probabilities
    }
