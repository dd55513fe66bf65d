"""Plots of trained models, as figures of plotly.

Functions import scikit-learn and plotly.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from easymlnb.contract import installation

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAX_POINTS = 2000
"""Points of a plot; more are thinned out evenly."""

MAX_CLASSES = 30
"""Classes up to which each one has a row or a curve."""

IMPORTANCE_ROWS = 1000


def learning_curve(
    metrics: Mapping[str, Sequence[float] | Mapping[int, float]], *, title: str = "Learning curve"
) -> "Figure":
    """Return a line for each metric over its steps.

    Parameters
    ----------
    metrics : dict
        For each name, values by step: a list, or a dict with the steps as keys.
    title : str, optional
    """
    figure = _figure(title, "step", "")
    for name, values in metrics.items():
        points = dict(values) if isinstance(values, Mapping) else dict(enumerate(values))
        steps = _thinned(sorted(points))
        figure.add_scatter(x=steps, y=[float(points[step]) for step in steps], name=str(name))
    return figure


def confusion(true: Any, predicted: Any, *, title: str = "Confusion") -> "Figure":
    """Return what was predicted for the rows of each class, in percent of the class."""
    installation.require("ml.plots.confusion", "sklearn")
    import numpy as np
    from sklearn.metrics import confusion_matrix

    true, predicted = np.asarray(true).astype(str), np.asarray(predicted).astype(str)
    labels = sorted({*true, *predicted})
    percent = 100 * confusion_matrix(true, predicted, labels=labels, normalize="true")
    figure = _figure(title, "predicted", "true")
    texts = np.round(percent).astype(int).astype(str) if len(labels) <= MAX_CLASSES else None
    figure.add_heatmap(
        x=labels,
        y=labels,
        z=np.round(percent, 1),
        text=texts,
        texttemplate="%{text}" if texts is not None else None,
        colorscale="Blues",
        zmin=0,
        zmax=100,
        colorbar={"title": "%"},
    )
    figure.update_xaxes(type="category")
    return figure.update_yaxes(autorange="reversed", type="category")


def roc(
    true: Any, probabilities: Any, classes: Sequence[str], *, title: str = "ROC curve"
) -> "Figure":
    """Return the share of found rows of each class over that of false alarms.

    Parameters
    ----------
    true : array-like
        The class of each row.
    probabilities : array-like
        The probability of each class in each row.
    classes : sequence of str
        The classes in the order of the columns.
    title : str, optional
    """
    installation.require("ml.plots.roc", "sklearn")
    import numpy as np
    from sklearn.metrics import roc_curve

    true, probabilities = np.asarray(true).astype(str), np.asarray(probabilities)
    figure = _figure(title, "false alarms", "found")
    names = [str(name) for name in classes]
    shown = names[1:] if len(names) == 2 else names[:MAX_CLASSES]
    for name in shown:
        if 0 < (true == name).mean() < 1:
            wrong, right, _ = roc_curve(true == name, probabilities[:, names.index(name)])
            kept = _thinned(range(len(wrong)))
            figure.add_scatter(x=wrong[kept], y=right[kept], name=name)
    figure.add_scatter(x=[0, 1], y=[0, 1], name="chance", line={"dash": "dot", "color": "gray"})
    return figure


def calibration(
    true: Any, probability: Any, *, bins: int = 10, title: str = "Calibration"
) -> "Figure":
    """Return how often a class occurred over the probability that was predicted for it.

    Parameters
    ----------
    true : array-like of bool
        Whether each row is of the class.
    probability : array-like
    bins : int, default 10
    title : str, optional
    """
    installation.require("ml.plots.calibration", "sklearn")
    from sklearn.calibration import calibration_curve

    share, mean = calibration_curve(true, probability, n_bins=bins)
    figure = _figure(title, "predicted probability", "share that occurred")
    figure.add_scatter(x=mean, y=share, name="model", mode="lines+markers")
    return figure.add_scatter(
        x=[0, 1], y=[0, 1], name="perfect", line={"dash": "dot", "color": "gray"}
    )


def predictions(true: Any, predicted: Any, *, title: str = "Predicted and true") -> "Figure":
    """Return a point for each row, with the true value and the predicted one."""
    import numpy as np

    true, predicted = np.asarray(true, dtype=float), np.asarray(predicted, dtype=float)
    kept = _thinned(range(len(true)))
    figure = _figure(title, "true", "predicted")
    figure.add_scatter(x=true[kept], y=predicted[kept], mode="markers", name="rows")
    ends = [float(np.min(true)), float(np.max(true))]
    return figure.add_scatter(x=ends, y=ends, name="equal", line={"dash": "dot", "color": "gray"})


def residuals(true: Any, predicted: Any, *, title: str = "Residuals") -> "Figure":
    """Return a point for each row, with the predicted value and the error."""
    import numpy as np

    true, predicted = np.asarray(true, dtype=float), np.asarray(predicted, dtype=float)
    kept = _thinned(range(len(true)))
    figure = _figure(title, "predicted", "true minus predicted")
    figure.add_scatter(x=predicted[kept], y=(true - predicted)[kept], mode="markers", name="rows")
    return figure.add_hline(y=0, line_dash="dot", line_color="gray")


def importance(
    model: Any, x: Any, y: Any, *, seed: int = 0, title: str = "Permutation importance"
) -> "Figure":
    """Return how much the score falls when the values of a column are shuffled.

    Parameters
    ----------
    model : estimator
        A fitted estimator of scikit-learn.
    x : pandas.DataFrame
        Rows that it was not trained on; 1000 are used at most.
    y : array-like
    seed : int, default 0
    title : str, optional
    """
    installation.require("ml.plots.importance", "sklearn")
    import numpy as np
    from sklearn.inspection import permutation_importance

    chance = np.random.default_rng(seed)
    rows = np.arange(len(x))
    if len(rows) > IMPORTANCE_ROWS:
        rows = chance.choice(rows, IMPORTANCE_ROWS, replace=False)
    found = permutation_importance(
        model, x.iloc[rows], np.asarray(y)[rows], n_repeats=3, random_state=seed
    )
    order = np.argsort(found.importances_mean)[-MAX_CLASSES:]
    figure = _figure(title, "loss of score", "")
    figure.add_bar(
        x=found.importances_mean[order],
        y=[str(x.columns[column]) for column in order],
        error_x={"array": found.importances_std[order]},
        orientation="h",
    )
    return figure.update_layout(showlegend=False)


def forecast(
    times: Any,
    predicted: Any,
    *,
    true: Any = None,
    low: Any = None,
    high: Any = None,
    title: str = "Forecast",
) -> "Figure":
    """Return a forecast over time, with the true values and an interval if they are given."""
    figure = _figure(title, "", "")
    if low is not None and high is not None:
        figure.add_scatter(x=times, y=low, line={"width": 0}, showlegend=False, hoverinfo="skip")
        figure.add_scatter(
            x=times, y=high, line={"width": 0}, fill="tonexty", name="interval", hoverinfo="skip"
        )
    if true is not None:
        figure.add_scatter(x=times, y=true, name="true", line={"color": "gray"})
    figure.add_scatter(x=times, y=predicted, name="forecast")
    return figure.update_layout(hovermode="x unified")


def evaluation(model: Any, x: Any, y: Any, task: str) -> dict[str, "Figure"]:
    """Return the plots that suit a fitted estimator, on rows that it was not trained on."""
    import numpy as np

    from easymlnb.training.metrics import probabilities_of

    true, predicted = np.asarray(y), np.asarray(model.predict(x))
    made: dict[str, Figure] = {}
    if task == "classification":
        made["Confusion"] = confusion(true, predicted)
        probabilities = probabilities_of(model, x)
        if probabilities is not None:
            made["ROC curve"] = roc(true, probabilities.values, probabilities.classes)
    else:
        made["Predicted and true"] = predictions(true, predicted)
        made["Residuals"] = residuals(true, predicted)
    if hasattr(x, "columns") and hasattr(model, "score") and 1 < len(x.columns) <= 100:
        made["Permutation importance"] = importance(model, x, true)
    return made


def _figure(title: str, x: str, y: str) -> "Figure":
    installation.require("ml.plots", "plotly")
    from plotly.graph_objects import Figure

    return Figure(layout={"title": title, "xaxis": {"title": x}, "yaxis": {"title": y}})


def _thinned(positions: Sequence[int]) -> list[int]:
    """Return at most ``MAX_POINTS`` of the positions, with the first and the last one."""
    found = list(positions)
    if len(found) <= MAX_POINTS:
        return found
    return [found[round(at * (len(found) - 1) / (MAX_POINTS - 1))] for at in range(MAX_POINTS)]
