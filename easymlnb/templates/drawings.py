"""Plots of a model as plain data, which pages draw without a plotting library."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from easymlnb.training.datasets import Dataset

POINTS = 300
"""Points of a scatter plot, and of a line."""

BINS = 20
CLASSES = 12
"""Classes that a confusion matrix shows."""


def outcome(true: "np.ndarray", predicted: "np.ndarray", data: "Dataset") -> list[dict[str, Any]]:
    """Return the plots of predictions of the test part."""
    if data.task == "classification":
        return [confusion(true, predicted)]
    if data.times is not None:
        return [line(true, predicted), residuals(true, predicted)]
    return [scatter(true, predicted), residuals(true, predicted)]


def confusion(true: "np.ndarray", predicted: "np.ndarray") -> dict[str, Any]:
    """Return how often each class was predicted as each class."""
    from collections import Counter

    most = [name for name, _ in Counter(map(str, true)).most_common(CLASSES)]
    names = sorted(most)
    counts = Counter(zip(map(str, true), map(str, predicted), strict=True))
    return {
        "kind": "confusion",
        "title": "Predicted and true classes of the test part",
        "names": names,
        "counts": [[counts[row, column] for column in names] for row in names],
        "left_out": len({*map(str, true)}) - len(names),
    }


def scatter(true: "np.ndarray", predicted: "np.ndarray") -> dict[str, Any]:
    """Return predicted over true values."""
    rows = _some(len(true))
    return {
        "kind": "scatter",
        "title": "Predicted and true values of the test part",
        "x": [float(value) for value in true[rows]],
        "y": [float(value) for value in predicted[rows]],
        "labels": ["true", "predicted"],
    }


def line(true: "np.ndarray", predicted: "np.ndarray") -> dict[str, Any]:
    """Return the end of a series with its predictions."""
    return {
        "kind": "lines",
        "title": "The end of the test part",
        "lines": [
            ["true", [float(value) for value in true[-POINTS:]]],
            ["predicted", [float(value) for value in predicted[-POINTS:]]],
        ],
    }


def residuals(true: "np.ndarray", predicted: "np.ndarray") -> dict[str, Any]:
    """Return how the errors are distributed."""
    import numpy as np

    counts, edges = np.histogram(predicted - true, bins=BINS)
    return {
        "kind": "histogram",
        "title": "Errors (predicted - true)",
        "counts": counts.tolist(),
        "edges": [float(edge) for edge in edges],
    }


def bars(title: str, pairs: list[list[Any]]) -> dict[str, Any]:
    """Return named values."""
    return {"kind": "bars", "title": title, "bars": pairs}


def _some(count: int) -> "np.ndarray":
    import numpy as np

    if count <= POINTS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, POINTS, replace=False))
