"""Small SVG charts of the versions of a service: their traffic, latency and errors over time.

Colors come from the stylesheet by class, so both themes fit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from easymlnb_server.http.charts import BOTTOM, HEIGHT, LEFT, WIDTH, duration, frame
from easymlnb_server.observability.version_history import Point

COLORS = ("first", "second", "third", "fourth")
"""Classes of the lines, from the version with most traffic."""

_PART = Markup(
    '<g><title>{}</title><rect class="series {}" x="{:.1f}" y="0" width="{:.1f}" height="12"/></g>'
)
_BAR = Markup(
    '<svg class="plot strip" viewBox="0 0 {} 12" preserveAspectRatio="none" role="img" '
    'aria-label="Traffic: {}">{}</svg>'
)
_LINE = Markup('<path class="series {}" d="M{}"/>')
_DOT = Markup(
    '<circle class="series {}" cx="{:.1f}" cy="{:.1f}" r="2.5"><title>{}</title></circle>'
)


@dataclass(frozen=True, slots=True)
class _Measure:
    """What a chart shows of a point: its value, and the value in words."""

    value: Callable[[Point], float | None]
    text: Callable[[float], str]
    label: str


LATENCY = _Measure(lambda point: point.p95, duration, "95th percentile of the duration")
ERRORS = _Measure(
    lambda point: point.errors / point.calls, lambda rate: f"{rate:.1%}", "Share of failed calls"
)


def color_of(version: str, order: Sequence[str]) -> str:
    """Return the class that colors a version."""
    return COLORS[order.index(version) % len(COLORS)] if version in order else COLORS[-1]


def traffic_bar(weights: Mapping[str, float]) -> Markup:
    """Draw the shares of the versions as one bar."""
    order, parts, left = list(weights), [], 0.0
    for version, weight in weights.items():
        width = WIDTH * weight / 100
        text = f"version {version}: {weight:g} %"
        color = color_of(version, order)
        parts.append(_PART.format(text, color, left, max(1.0, width - 2)))
        left += width
    label = ", ".join(f"version {version} {weight:g} %" for version, weight in weights.items())
    return _BAR.format(WIDTH, label, Markup().join(parts))


def over_time(
    measure: _Measure, history: Mapping[str, Sequence[Point]], order: Sequence[str]
) -> Markup:
    """Draw one line for each version; empty without values."""
    shown = {version: _values(measure, points) for version, points in history.items()}
    shown = {version: values for version, values in shown.items() if values}
    if not shown:
        return Markup()
    times = [time for values in shown.values() for time, _ in values]
    start, end = min(times), max(times)
    most = max(value for values in shown.values() for _, value in values)
    drawn = [
        mark
        for version, values in sorted(shown.items())
        for mark in _line(version, color_of(version, order), values, start, end, most, measure)
    ]
    label = f"{measure.label} of versions {', '.join(sorted(shown))}: maximum {measure.text(most)}"
    ends = (f"{_moment(start):%H:%M}", f"{_moment(end):%H:%M} UTC")
    return frame(label, drawn, measure.text(most), ends)


def _values(measure: _Measure, points: Iterable[Point]) -> list[tuple[float, float]]:
    values = ((point.time, measure.value(point)) for point in points)
    return [(time, value) for time, value in values if value is not None]


def _line(
    version: str,
    color: str,
    values: Sequence[tuple[float, float]],
    start: float,
    end: float,
    most: float,
    measure: _Measure,
) -> Iterable[Markup]:
    width, height = WIDTH - LEFT - 12, HEIGHT - BOTTOM - 12
    marks = [
        (
            LEFT + 6 + width * (time - start) / ((end - start) or 1.0),
            HEIGHT - BOTTOM - height * value / (most or 1.0),
            f"version {version}, {_moment(time):%H:%M:%S} UTC: {measure.text(value)}",
        )
        for time, value in values
    ]
    yield _LINE.format(color, " L".join(f"{x:.1f} {y:.1f}" for x, y, _ in marks))
    for x, y, title in marks:
        yield _DOT.format(color, x, y, title)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
