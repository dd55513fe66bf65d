"""The template ``forecast``: continue a series of values in time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from easymlnb.contract.errors import CallerError
from easymlnb.templates import column_kinds, drawings, learning, profile, proposals, series
from easymlnb.templates.config import Config
from easymlnb.templates.learning import Learned, Progress
from easymlnb.templates.reading import Reading, read_table
from easymlnb.types.uploaded_files import Data

if TYPE_CHECKING:
    import pandas as pd

NAME = "forecast"


def look(data: Data, config: Config, name: str = "") -> dict[str, Any]:
    """Describe a table; with a target, also what to know before a forecast is trained."""
    frame, reading = read_table(data, config.reading, name)
    about = profile.profile(frame, reading)
    about["question"] = "forecast"
    about["ambiguous_dates"] = []
    if not config.target:
        numbers = [one for one in about["columns"] if one["kind"] == "number"]
        about["target"] = proposals.target(numbers)
        return about
    found = Reading(**about["reading"])
    try:
        _, made, time = _series(frame, config, found)
    except CallerError as error:
        about["findings"] = [_finding("error", "series", error.message)]
        return about
    about["time"], about["findings"] = time, list(_findings(frame, config, made, time))
    return about


def _finding(level: str, code: str, message: str, column: str = "") -> dict[str, Any]:
    return {"code": code, "message": message, "column": column, "level": level, "action": ""}


def _findings(frame: "pd.DataFrame", config: Config, made: series.Series, time: str) -> Any:
    yield _finding(
        "warning",
        "step",
        f"{time!r} has a value each {made.step}; the pattern is taken to repeat after "
        f"{made.season} of them.",
        time,
    )
    if made.filled:
        message = (
            f"{made.filled:,} of {len(made.values):,} steps have no value; they are filled in."
        )
        yield _finding("warning", "gaps", message, config.target)
    if made.repeated:
        message = (
            f"{made.repeated:,} rows repeat the time of another row, such as the hour at the end "
            "of summer time; the mean of their values counts."
        )
        yield _finding("warning", "repeated_times", message, time)
    others = [str(name) for name in frame.columns if name not in (time, config.target)]
    if others:
        message = f"A forecast uses the times and the target only, not {', '.join(others[:5])}."
        yield _finding("warning", "unused", message)


def _series(
    frame: "pd.DataFrame", config: Config, reading: Reading
) -> tuple[int, series.Series, str]:
    """Return the horizon, the regular series, and its column of times; raises ``CallerError``."""
    for name in filter(None, (config.target, config.time)):
        if name not in frame.columns:
            names = ", ".join(map(str, frame.columns[:20]))
            raise CallerError(f"The table has no column {name!r}. Columns: {names}.")
    time = config.time or next(
        (
            str(name)
            for name in frame.columns
            if name != config.target and column_kinds.infer(frame[name], reading.dates) == "date"
        ),
        "",
    )
    if not time:
        raise CallerError(
            "A forecast needs a column of times, and the table has none. Use dates such as "
            "2025-03-31 or 31.03.2025 14:00, or use the template 'tabular'."
        )
    times = column_kinds.to_dates(frame[time], reading.dates)
    values = column_kinds.to_numbers(frame[config.target], reading.decimal or ".")
    if values.notna().sum() == 0:
        raise CallerError(f"The target {config.target!r} has no numbers. Choose another column.")
    made = series.regular(times, values)
    horizon = config.horizon or made.season
    if series.needed(made.season, horizon) > 0.6 * len(made.values):
        horizon = config.horizon or max(1, len(made.values) // 10)
    if series.needed(made.season, horizon) > 0.8 * len(made.values):
        raise CallerError(
            f"{len(made.values)} values are too few to look {horizon} steps ahead with a "
            f"pattern of {made.season}. Send more data, or set a shorter horizon."
        )
    return horizon, made, time


def train(data: Data, config: Config, progress: Progress, name: str = "") -> Learned:
    """Train a forecast; raises ``CallerError`` if that is not possible."""
    learning.require_target(config)
    progress(0.0, "Reading the table")
    frame, reading = read_table(data, config.reading, name)
    reading = Reading(**profile.profile(frame, reading)["reading"])
    horizon, made, time = _series(frame, config, reading)
    dataset = _dataset(made, horizon, config.target)
    chosen = learning.choose(dataset, config, progress)
    evaluation = chosen.evaluation
    low, high = series.errors_of(evaluation.true, evaluation.predicted)
    kept = made.values.iloc[-2 * series.needed(made.season, horizon) :]
    signature = {
        "template": NAME,
        "question": "forecast",
        "inputs": [
            {"name": time, "type": "datetime", "kind": "date", "required": True},
            {"name": config.target, "type": "double", "kind": "number", "required": True},
        ],
        "outputs": [{"name": config.target, "type": "double"}],
        "reading": reading.to_dict(),
        "horizon": horizon,
        "season": made.season,
        "step": made.step,
        "interval": [low, high],
        "history": {
            "first": kept.index[0].isoformat(),
            "values": [float(value) for value in kept.tolist()],
        },
    }
    chosen.report["plots"].insert(0, drawings.line(evaluation.true, evaluation.predicted))
    report = {**chosen.report, "question": "forecast", "target": config.target, "horizon": horizon}
    report["plots"] = _once(report["plots"])
    return Learned(
        evaluation.model,
        evaluation.metrics,
        signature,
        report,
    )


def _once(plots: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({plot["title"]: plot for plot in plots}.values())


def _dataset(made: series.Series, horizon: int, target: str) -> Any:
    import pandas as pd

    from easymlnb.training.datasets import dataset

    table = series.features(made.values, made.season, horizon)
    table = table.iloc[series.needed(made.season, horizon) :]
    if pd.DatetimeIndex(table.index).year.nunique() == 1:
        # See ``turning_parts``: one year has each month once.
        table = table.drop(columns="month")
    table["time"] = table.index
    table[target if target != "time" else "value"] = made.values.loc[table.index]
    name = target if target != "time" else "value"
    return dataset(
        table.reset_index(drop=True), name, task="regression", time="time", horizon=horizon
    )


class ForecastPredictor:
    """Continues a series from its history, and from newer values that a call has."""

    def __init__(self, model: Any, signature: dict[str, Any]) -> None:
        import pandas as pd

        self._model = model
        self.signature = signature
        self._reading = Reading(**signature.get("reading", {}))
        history = signature["history"]
        times = pd.date_range(
            history["first"], periods=len(history["values"]), freq=signature["step"]
        )
        self._history = pd.Series(history["values"], index=times)

    def predict(self, rows: Sequence[Any]) -> dict[str, Any]:
        """Return the next values after the newest row; without rows, after the training data."""
        import numpy as np

        step, season = self.signature["step"], self.signature["season"]
        horizon = self.signature["horizon"]
        values = self._history
        if rows:
            values = series.continued(values, self._newer(rows), step)
        times = series.following(values.index[-1], step, horizon)
        whole = values.reindex(values.index.append(times))
        table = series.features(whole, season, horizon).loc[times]
        table["time"] = table.index
        predicted = np.asarray(self._model.predict(table.reset_index(drop=True)), dtype="float64")
        low, high = self.signature["interval"]
        return {
            "predictions": learning.tidy(predicted),
            "times": [time.isoformat() for time in times],
            "low": learning.tidy(predicted + low),
            "high": learning.tidy(predicted + high),
        }

    def _newer(self, rows: Sequence[Any]) -> "pd.Series[Any]":
        from easymlnb.templates import signatures

        decimal, dates = self._reading.decimal or ".", self._reading.dates
        frame, _ = signatures.prepare(rows, self.signature, decimal, dates)
        time, target = (column["name"] for column in self.signature["inputs"])
        found: pd.Series[Any] = frame.dropna().groupby(time)[target].mean().sort_index()
        if found.empty:
            raise CallerError("No row has both a time and a value.")
        if found.index[0] > series.following(self._history.index[-1], self.signature["step"], 1)[0]:
            gap = self._history.index[-1].isoformat()
            short = len(found) < series.needed(self.signature["season"], self.signature["horizon"])
            if short:
                raise CallerError(
                    f"The rows begin at {found.index[0].isoformat()}, and the model knows values "
                    f"up to {gap}. Send the values in between, too."
                )
        return found
