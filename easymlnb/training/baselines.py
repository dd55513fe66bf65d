"""Models without learning, which every other model must beat.

This module imports pandas and scikit-learn.
"""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin

from easymlnb.training.columns import as_dates, as_numbers

HOUR, DAY = 3600.0, 86400.0

SEASONS = (
    (0.6 * HOUR, 1.4 * HOUR, 24),
    (0.9 * DAY, 1.1 * DAY, 7),
    (6 * DAY, 8 * DAY, 52),
    (27 * DAY, 32 * DAY, 12),
    (88 * DAY, 93 * DAY, 4),
)
"""The steps of a season by the seconds of a step: the day of hours, the week of days, and so on."""


def season_of(times: pd.Series) -> int:
    """Return the steps of a season for these times: 24 for hours, 7 for days, 12 for months."""
    step = step_of(times).total_seconds()
    for least, most, season in SEASONS:
        if least <= step <= most:
            return season
    return max(1, round(DAY / step)) if 0 < step < 0.6 * HOUR else 1


def step_of(times: pd.Series) -> pd.Timedelta:
    """Return the usual time between two times."""
    steps = as_dates(times).drop_duplicates().sort_values().diff().dropna()
    return pd.Timedelta(steps.median()) if len(steps) else pd.Timedelta(0)


class SeasonalNaive(RegressorMixin, BaseEstimator):  # type: ignore[misc] # untyped
    """Predict the last known value of the same time of the season, such as the same hour.

    Parameters
    ----------
    time : str
        The column of times.
    season : int, default 0
        Steps of a season; 0 to find it from the times.
    """

    def __init__(self, time: str, season: int = 0) -> None:
        self.time = time
        self.season = season

    def fit(self, x: pd.DataFrame, y: Any) -> "SeasonalNaive":
        """Keep the last season, as the mean of each time of it."""
        times = as_dates(x[self.time])
        self.step_ = step_of(times).total_seconds() or DAY
        self.season_ = self.season or season_of(times)
        self.start_ = _seconds(times.max())
        known = pd.Series(as_numbers(pd.Series(np.asarray(y))).to_numpy(), index=self._place(times))
        last = known.groupby(level=0).last()
        self.values_ = last.reindex(range(self.season_)).fillna(float(known.mean())).to_numpy()
        return self

    def predict(self, x: pd.DataFrame) -> np.ndarray:
        """Return the value of the same place in the season for each row."""
        return np.asarray(self.values_[self._place(as_dates(x[self.time]))])

    def _place(self, times: pd.Series) -> np.ndarray:
        """Return the place of each time in its season."""
        seconds = (times - pd.Timestamp(0)).dt.total_seconds().to_numpy()
        steps = np.rint((seconds - self.start_) / self.step_).astype(int)
        return np.asarray(steps % self.season_)


def _seconds(time: pd.Timestamp) -> float:
    return float((time - pd.Timestamp(0)).total_seconds())
