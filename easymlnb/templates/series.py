"""A series of times and values: its step, its gaps, and what is known when a value is predicted.

A value is predicted ``horizon`` steps ahead, from values at least that old and from the calendar.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from easymlnb.contract.errors import CallerError

if TYPE_CHECKING:
    import pandas as pd

MIN_STEPS = 30
MAX_HORIZON = 1000
MAX_GAPS = 0.3
"""Share of the steps that may lack a value; they are interpolated."""

HOUR, DAY = 3600, 86400

_CALENDAR = ((31, 28, "M"), (92, 89, "Q"), (366, 365, "Y"))
"""Days of a month, a quarter and a year, most and least, and their units in pandas."""

_SEASONS = ((60, 60), (HOUR, 24), (DAY, 7), (7 * DAY, 52), (28 * DAY, 12), (360 * DAY, 1))
"""Seconds of a step from which on a season has as many steps, if nothing else fits better."""


@dataclass(frozen=True, slots=True)
class Series:
    """A regular series.

    - ``values``: by time, without gaps
    - ``step``: an offset of pandas, such as ``h``
    - ``season``: steps after which the pattern repeats
    - ``filled``: steps without a value, which were interpolated
    - ``repeated``: rows whose time another row has; the mean of their values counts
    """

    values: "pd.Series[Any]"
    step: str
    season: int
    filled: int
    repeated: int


def regular(times: "pd.Series[Any]", values: "pd.Series[Any]") -> Series:
    """Return a regular series of times and values in any order; raises ``CallerError``."""
    import pandas as pd

    known = pd.DataFrame({"time": times, "value": values}).dropna()
    if known.empty:
        raise CallerError("No row has both a time and a value.")
    found = known.groupby("time")["value"].mean().sort_index()
    if len(found) < MIN_STEPS:
        raise CallerError(
            f"The series has {_different(len(found))}; {MIN_STEPS} are needed at least."
        )
    if found.nunique() == 1:
        raise CallerError(f"The series is constant ({found.iloc[0]:g}): there is nothing to learn.")
    times_found: Any = found.index
    step = find_step(times_found)
    if _is_fixed(step):
        # First, because the steps to a mistyped year may need more memory than there is.
        seconds = times_found[-1].timestamp() - times_found[0].timestamp()
        steps = int(seconds / _seconds(step)) + 1
        _check_gaps(steps - len(found), steps, step)
    grid = found.resample(step).mean() if _is_fixed(step) else found.asfreq(step)
    filled = int(grid.isna().sum())
    _check_gaps(filled, len(grid), step)
    values = grid.interpolate().ffill().bfill()
    return Series(values, step, season_of(step), filled, len(known) - len(found))


def _check_gaps(gaps: int, steps: int, step: str) -> None:
    if gaps > MAX_GAPS * steps:
        raise CallerError(
            f"{gaps:,} of {steps:,} steps of {step} have no value, so the series is too "
            "irregular. Use a table with one row per step."
        )


def _seconds(step: str) -> float:
    """Return the length of a step that always has the same."""
    import pandas as pd

    offset = pd.tseries.frequencies.to_offset(step)
    return float(pd.Timedelta(cast("Any", offset)).total_seconds())


def _different(times: int) -> str:
    return "1 different time" if times == 1 else f"{times} different times"


def find_step(times: Any) -> str:
    """Return the usual distance of times as an offset of pandas."""
    import pandas as pd

    seconds = int(pd.Series(times).diff().dropna().dt.total_seconds().median())
    for longest, shortest, unit in _CALENDAR:
        if shortest * DAY <= seconds <= longest * DAY:
            if (times.day == 1).all():
                return f"{unit}S"
            if times.is_month_end.all():
                return f"{unit}E"
    if seconds < 1:
        raise CallerError("Times less than a second apart are not supported.")
    for unit, size in (("D", DAY), ("h", HOUR), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _is_fixed(step: str) -> bool:
    """Return whether a step always has the same length, unlike a month."""
    import pandas as pd

    try:
        pd.Timedelta(cast("Any", pd.tseries.frequencies.to_offset(step)))
    except (ValueError, TypeError):
        return False
    return True


def season_of(step: str) -> int:
    """Return after how many steps a pattern usually repeats."""
    if not _is_fixed(step):
        return 4 if step.startswith(("Q", "BQ")) else 1 if step.startswith(("Y", "BY")) else 12
    seconds = _seconds(step)
    if HOUR >= seconds >= 60 and DAY % seconds == 0:
        return int(DAY // seconds)
    return next((season for size, season in reversed(_SEASONS) if seconds >= size), 60)


def lags(season: int, horizon: int) -> list[int]:
    """Return how many steps back a model looks: at least ``horizon``, and whole seasons."""
    first = -(-horizon // season) * season
    found = {horizon, first, first + season, 2 * first + season}
    if season == 24:
        found.add(-(-horizon // 168) * 168)
    return sorted(found)


def needed(season: int, horizon: int) -> int:
    """Return how many values must be known before the first prediction."""
    return max(*lags(season, horizon), horizon + season)


def features(values: "pd.Series[Any]", season: int, horizon: int) -> "pd.DataFrame":
    """Return what is known about each time ``horizon`` steps before it."""
    import pandas as pd

    table = {f"{back} steps before": values.shift(back) for back in lags(season, horizon)}
    known = values.shift(horizon)
    table[f"mean of {season} steps"] = known.rolling(season, min_periods=1).mean()
    made = pd.DataFrame(table, index=values.index)
    return made.join(calendar(values.index))


def calendar(times: Any) -> "pd.DataFrame":
    """Return the hour, weekday and month of times, as categories."""
    import pandas as pd

    made = {"month": [f"{month:02d}" for month in times.month]}
    if len(times) < 2 or times[1] - times[0] <= pd.Timedelta(days=1):
        made["weekday"] = list(times.day_name())
    if len(times) < 2 or times[1] - times[0] < pd.Timedelta(days=1):
        made["hour"] = [f"{hour:02d}" for hour in times.hour]
    return pd.DataFrame(made, index=times)


def following(last: Any, step: str, count: int) -> Any:
    """Return the times after ``last``."""
    import pandas as pd

    return pd.date_range(last, periods=count + 1, freq=step)[1:]


def continued(history: "pd.Series[Any]", more: "pd.Series[Any]", step: str) -> "pd.Series[Any]":
    """Return a history with newer values, as a regular series again; raises ``CallerError``."""
    import pandas as pd

    joined = pd.concat([history[~history.index.isin(more.index)], more]).sort_index()
    grid = joined.resample(step).mean() if _is_fixed(step) else joined.asfreq(step)
    gaps = int(grid.isna().sum())
    if gaps > MAX_GAPS * max(1, len(grid)):
        raise CallerError(
            f"Between the training data and the rows that were sent, {gaps:,} steps of {step} have "
            "no value. Send the values since the end of the training data."
        )
    filled: pd.Series[Any] = grid.interpolate().ffill()
    return filled


def errors_of(actual: Any, predicted: Any) -> tuple[float, float]:
    """Return what to add to a prediction for an interval that holds 90 % of the values."""
    import numpy as np

    differences = np.asarray(actual) - np.asarray(predicted)
    low, high = np.quantile(differences, (0.05, 0.95))
    return float(low), float(high)
