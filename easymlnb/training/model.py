"""``ml.Model``: what a training returns, and how it is shown."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.options import named_options
from easymlnb.types.base import KEY, Type, is_a

MAX_METRICS = 200

Score = Callable[[Any, Any, Any], Mapping[str, float]]
"""Returns the metrics of a model on rows: ``score(obj, x, y)``."""


@named_options
class Model:
    """A trained model with what was learned about it; the result of ``@ml.train``.

    Parameters
    ----------
    obj : object
        The model: an estimator of scikit-learn, a module of torch, an ONNX model, or the path of
        its file.
    metrics : dict, optional
        Its quality: a number for each name. Default: those that ``test`` gives.
    plots : dict, optional
        Figures of plotly or matplotlib by title. Default: those that suit ``test``.
    example : optional
        Some input, such as ``table.head(3)``, from which callers see what it takes.
    params : dict, optional
        Parameters in addition to those of the function.
    test : tuple, optional
        Rows that it was not trained on, as ``(x, y)``. On them, it is measured and compared with
        the version that has the alias ``production``.
    score : callable, optional
        Returns the metrics on the test rows: ``score(obj, x, y)``. Default: metrics of
        scikit-learn that suit ``y``.
    format : str, optional
        How it is stored: ``"skops"``, ``"safetensors"``, ``"onnx"``, ``"joblib"``, ``"pickle"`` or
        ``"files"``. Default: by its class.
    build : callable, optional
        Makes the torch module for the weights of the version to compare with.
    config : dict, optional
        What ``build`` gets when the model is loaded.
    trusted : sequence of str, optional
        Classes of your own in a model of scikit-learn.
    note : str, default ""
        What the author says of it.
    tags : dict, optional
        Texts by name.

    Attributes
    ----------
    obj, metrics, plots, example, params, test, note, tags
        As given, or found with ``test``.
    production : dict or None
        ``version`` and ``metrics`` of the version that has the alias ``production``, on the same
        test rows; only in a job.

    Raises
    ------
    DefinitionError
        A metric is no number.
    """

    def __init__(
        self,
        obj: Any,
        *,
        metrics: Mapping[str, float] | None = None,
        plots: Mapping[str, Any] | None = None,
        example: Any = None,
        params: Mapping[str, Any] | None = None,
        test: tuple[Any, Any] | None = None,
        score: Score | None = None,
        format: str = "",
        build: Callable[..., Any] | None = None,
        config: Mapping[str, Any] | None = None,
        trusted: Sequence[str] = (),
        note: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> None:
        if test is not None and (not isinstance(test, tuple) or len(test) != 2):
            raise DefinitionError("test must be a pair: ml.Model(model, test=(x, y)).")
        self.obj = obj
        self.example = example
        self.params = dict(params or {})
        self.test = test
        self.score = score
        self.format = format
        self.build = build
        self.config = dict(config or {})
        self.trusted = tuple(trusted)
        self.note = note
        self.tags = dict(tags or {})
        self.production: dict[str, Any] | None = None
        self.saved: dict[str, Any] | None = None
        self._metrics = None if metrics is None else check_metrics(metrics)
        self._plots = None if plots is None else dict(plots)

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics by name; measured on the test rows when they are first read."""
        if self._metrics is None:
            self._metrics = {} if self.test is None else self.measure(self.obj)
        return self._metrics

    @property
    def plots(self) -> dict[str, Any]:
        """The figures by title; drawn when they are first read."""
        if self._plots is None:
            self._plots = self._draw()
        return self._plots

    def predict(self, x: Any) -> Any:
        """Return what the model predicts for ``x``."""
        return self.obj.predict(x)

    def measure(self, obj: Any) -> dict[str, float]:
        """Return the metrics of another model on the test rows."""
        assert self.test is not None
        if self.score is not None:
            return check_metrics(self.score(obj, *self.test))
        from easymlnb.training.metrics import measure

        x, y = self.test
        return check_metrics(measure(obj, x, y, self._task()))

    def _draw(self) -> dict[str, Any]:
        if self.test is None or self.score is not None or not hasattr(self.obj, "predict"):
            return {}
        from easymlnb.training import plots

        x, y = self.test
        try:
            return plots.evaluation(self.obj, x, y, self._task())
        except ImportError:  # without plotly there are metrics only
            return {}

    def _task(self) -> str:
        """Return whether the model predicts classes or numbers."""
        import numpy as np

        assert self.test is not None
        is_number = np.asarray(self.test[1]).dtype.kind in "iuf"
        return "regression" if is_number and not hasattr(self.obj, "classes_") else "classification"

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value:.4g}" for name, value in self.metrics.items())
        return f"Model({type(self.obj).__name__}, {shown})"

    def _repr_html_(self) -> str:
        return str(metrics_table(self).to_html()) if self.metrics else repr(self)


class ModelResult(Type):
    """A trained model as a result: its metrics and parameters, and where its files are."""

    natives: ClassVar[tuple[str, ...]] = ("easymlnb.training.model.Model",)
    result_only: ClassVar[bool] = True

    def json_schema(self) -> dict[str, Any]:
        numbers = {"type": "object", "additionalProperties": {"type": ["number", "null"]}}
        return {
            "type": "object",
            "title": "Model",
            "properties": {
                "model": {"type": "string"},
                "format": {"type": "string"},
                "metrics": numbers,
                "params": {"type": "object"},
                "production": {
                    "type": ["object", "null"],
                    "properties": {"version": {"type": "integer"}, "metrics": numbers},
                },
            },
            KEY: {"widget": "model"},
        }

    def decode(self, value: Any, source: Any) -> Any:
        if is_a(type(value), *self.natives):
            return value
        raise ValueError("The value must be an ml.Model.")

    def encode(self, value: Model) -> Any:
        return {
            "model": "",
            "format": "",
            **(value.saved or {}),
            "metrics": _numbers(value.metrics),
            "params": plain(value.params),
            "production": value.production
            and {**value.production, "metrics": _numbers(value.production["metrics"])},
        }

    def parts(self, value: Model, title: str) -> list[dict[str, Any]] | None:
        from easymlnb.services.presentation import to_parts

        shown: dict[str, Any] = {}
        if value.metrics:
            shown["Metrics"] = metrics_table(value)
        return to_parts(shown | value.plots) if shown or value.plots else None


def metrics_table(model: Model) -> Any:
    """Return the metrics as a table, next to those of the version in production."""
    import pandas as pd

    columns = {"metric": list(model.metrics), "this model": list(model.metrics.values())}
    if model.production is not None:
        others = model.production["metrics"]
        title = f"production (version {model.production['version']})"
        columns[title] = [others.get(name, math.nan) for name in model.metrics]
    return pd.DataFrame(columns)


def check_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics as floats; raises ``DefinitionError`` for anything else."""
    if not isinstance(metrics, Mapping) or len(metrics) > MAX_METRICS:
        raise DefinitionError(
            f"metrics must be a dict of at most {MAX_METRICS} numbers, such as {{'mae': 1.6}}."
        )
    made = {}
    for name, value in metrics.items():
        try:
            made[str(name)] = float(value)
        except (TypeError, ValueError) as error:
            raise DefinitionError(
                f"The metric {name!r} must be a number, not {value!r:.80}."
            ) from error
    return made


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values that are plain: numbers, texts, and lists of them."""
    return {name: value for name, value in values.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= 100 and all(isinstance(each, str | int | float) for each in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, str | int) and len(str(value)) <= 1000)


def _numbers(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}
