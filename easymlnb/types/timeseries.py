"""Time series: tables whose index is time, always in UTC unless another zone is asked for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from easymlnb.types import inline_bytes, table, table_encoding
from easymlnb.types.base import KEY
from easymlnb.types.columns import convert, require

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("time", "timestamp", "datetime", "date", "utc_timestamp", "index", "ds", "t")
"""Names of columns that are checked for times first."""

MAX_POINTS = 5000
"""Points of a line that are drawn; longer series are thinned evenly."""


class TimeSeries(table.Table):
    """A table with a sorted ``DatetimeIndex``, as ``pandas.DataFrame``.

    No time may be missing or occur twice.

    Parameters
    ----------
    time : str, optional
        Column of times (ISO 8601). Default: the first with a name like time, else the first that
        contains only times.
    values : str or sequence of str, optional
        Columns to keep, all numbers. Default: all others, unchanged.
    zone : str, default "UTC"
        Times with an offset are converted to this zone; times without one are taken as in it.
    separator, decimal, max_rows, max_bytes
        As in ``Table``.
    """

    natives = ()
    widget = "timeseries"

    def __init__(
        self,
        time: str | None = None,
        values: str | Sequence[str] | None = None,
        *,
        zone: str = "UTC",
        separator: str = "",
        decimal: str = "",
        max_rows: int = table.MAX_ROWS,
        max_bytes: int = inline_bytes.MAX_BYTES,
    ) -> None:
        self.time = time
        self.values = [values] if isinstance(values, str) else list(values or ())
        self.zone = _check_zone(zone)
        super().__init__(
            separator=separator, decimal=decimal, max_rows=max_rows, max_bytes=max_bytes
        )

    def json_schema(self) -> dict[str, Any]:
        schema = super().json_schema()
        return {**schema, KEY: {**schema[KEY], "time": self.time, "values": self.values or None}}

    def kinds(self) -> Mapping[str, str]:
        # Times stay text here, because those without an offset are in the zone.
        times = {} if self.time is None else {self.time: "str"}
        return dict.fromkeys(self.values, "float") | times

    def prepare(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        import pandas as pd

        self.limit(len(frame))
        if isinstance(frame.index, pd.DatetimeIndex):
            frame = frame.rename_axis(self.time or str(frame.index.name or "time")).reset_index()
        if frame.empty and not len(frame.columns):
            raise ValueError("The time series is empty.")
        name = self._time_column(frame)
        require(frame, self.values)
        times = self._times(frame[name])
        columns = self.values or [column for column in frame.columns if column != name]
        values = frame[columns].assign(
            **{column: convert(frame[column], "float") for column in self.values}
        )
        values.index = pd.DatetimeIndex(times, name=name)
        return values.sort_index()

    def _time_column(self, frame: "pd.DataFrame") -> Any:
        if self.time is not None:
            require(frame, [self.time])
            return self.time
        by_name = {str(column).strip().lower(): column for column in reversed(list(frame.columns))}
        named = [by_name[name] for name in NAMES if name in by_name]
        for column in dict.fromkeys([*named, *frame.columns]):
            if column not in self.values and _is_time(frame[column]):
                return column
        raise ValueError("No column contains times. Write times as 2025-01-31T12:00:00Z.")

    def _times(self, column: "pd.Series[Any]") -> "pd.Series[Any]":
        times: pd.Series[Any] = convert(column, "datetime", zone=self.zone)
        if times.isna().any():
            row = int(times.isna().to_numpy().argmax())
            raise ValueError(f"Column {column.name!r} has no time in row {row + 1}.")
        twice = times.duplicated().to_numpy()
        if twice.any():
            raise ValueError(
                f"The time {times.iloc[int(twice.argmax())].isoformat()} occurs twice."
            )
        return times

    def as_result(self, value: Any) -> "pd.DataFrame":
        import pandas as pd

        frame = table_encoding.as_frame(value)
        if isinstance(frame.index, pd.DatetimeIndex) and frame.index.name is None:
            frame = frame.rename_axis(self.time or "time")
        return table_encoding.flatten(frame)

    def parts(self, value: Any, title: str) -> list[dict[str, Any]] | None:
        tables = super().parts(value, title) or []
        lines = _lines(table_encoding.as_frame(value))
        if not lines:
            return tables
        layout = {"title": {"text": title}} if title else {}
        figure = {"data": lines, "layout": layout}
        return [{"kind": "plotly", "title": title, "data": figure}, *tables]


def _check_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        if zone != "UTC":
            raise ValueError(
                f"Unknown zone={zone!r}. Use a name such as 'Europe/Berlin'."
            ) from None
    return zone


def _is_time(column: "pd.Series[Any]") -> bool:
    try:
        # In UTC no time is ambiguous; the zone is applied later.
        return len(column) > 0 and bool(convert(column, "datetime", zone="UTC").notna().all())
    except ValueError:
        return False


def _lines(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return a plotly trace for each column of numbers."""
    import pandas as pd

    if not isinstance(frame.index, pd.DatetimeIndex) or frame.empty:
        return []
    drawn = frame.iloc[:: max(1, -(-len(frame) // MAX_POINTS))].select_dtypes("number")
    names, columns = table_encoding.to_columns(drawn)
    times = [time.isoformat() for time in drawn.index]
    return [
        {"type": "scatter", "mode": "lines", "name": name, "x": times, "y": column}
        for name, column in zip(names, columns, strict=True)
    ]
