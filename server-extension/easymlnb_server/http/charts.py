"""Small SVG charts of a service's calls.

Colors come from the stylesheet by class, so both themes fit.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from statistics import median

from markupsafe import Markup

from easymlnb_server.calls.log import CallRecord

SHOWN = 60
"""Maximum number of calls in the chart of durations."""
BARS = 24
"""Bars in the chart of calls over time."""
WIDTH, HEIGHT, LEFT, BOTTOM = 520, 120, 44, 18
"""Size of a chart and of its margins, in SVG units."""
KINDS = {"answered": "good", "stopped": "stopped", "error": "bad"}
"""Outcome of a call -> the class that colors it."""
_STEPS = (60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)
_FRAME = Markup("""\
<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">
<path class="axis" d="M{left} 8V{base}H{width}"/>
<text x="{end}" y="14" text-anchor="end">{most}</text>
<text x="{end}" y="{base}" text-anchor="end">{least}</text>
<text x="{left}" y="{below}">{first}</text>
<text x="{width}" y="{below}" text-anchor="end">{last}</text>
{drawn}</svg>""")
_BAR = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
_TITLED = Markup("<g><title>{}</title>{}</g>")
_DOT = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}</title></circle>')
_MEDIAN = Markup('<path class="line" d="M{} {:.1f}H{}"/>')


@dataclass(frozen=True, slots=True)
class Bar:
    """Calls between ``start`` and ``end``: all, those with an error, and the stopped ones."""

    start: datetime
    end: datetime
    calls: int
    errors: int
    stopped: int = 0


def bars(entries: Sequence[CallRecord], now: datetime) -> list[Bar]:
    """Count the calls in equal steps of time; the last step ends shortly after ``now``."""
    if not entries:
        return []
    times = [datetime.fromisoformat(entry.time) for entry in entries]
    wanted = (now - min(times)).total_seconds() / (BARS - 1)
    step = next((step for step in _STEPS if step >= wanted), _STEPS[-1])
    last = datetime.fromtimestamp(ceil(now.timestamp() / step) * step, UTC)
    counted = []
    for number in range(BARS, 0, -1):
        start = last - timedelta(seconds=step * number)
        end = start + timedelta(seconds=step)
        inside = [e for e, time in zip(entries, times, strict=True) if start <= time < end]
        count = Counter(entry.outcome for entry in inside)
        counted.append(Bar(start, end, len(inside), count["error"], count["stopped"]))
    return counted


def calls(counted: Sequence[Bar]) -> Markup:
    """Draw the bars."""
    most = max((bar.calls for bar in counted), default=0) or 1
    width, height = (WIDTH - LEFT) / BARS, HEIGHT - BOTTOM - 8
    drawn = []
    for at, bar in enumerate(counted):
        top, parts = float(HEIGHT - BOTTOM), []
        answered = bar.calls - bar.errors - bar.stopped
        for kind, count in (("bad", bar.errors), ("stopped", bar.stopped), ("good", answered)):
            tall = height * count / most
            top -= tall
            parts.append(_BAR.format(kind, LEFT + at * width + 1, top, width - 2, tall))
        if bar.calls:
            drawn.append(_TITLED.format(_bar_title(bar), Markup().join(parts)))
    ends = (f"{counted[0].start:%d %b %H:%M}", f"{counted[-1].end:%H:%M} UTC") if counted else None
    total = sum(bar.calls for bar in counted)
    return frame(f"Calls over time: {total} in total", drawn, str(most), ends or ("", ""))


def days(label: str, values: Sequence[tuple[str, float, float]], most: str) -> Markup:
    """Draw a bar for each day: its name, its total, and the part of it that failed.

    ``most`` is the highest total as text.
    """
    highest = max((total for _, total, _ in values), default=0.0) or 1.0
    width, height = (WIDTH - LEFT) / max(1, len(values)), HEIGHT - BOTTOM - 8
    drawn = []
    for at, (day, total, failed) in enumerate(values):
        top, parts = float(HEIGHT - BOTTOM), []
        for kind, part in (("bad", failed), ("good", total - failed)):
            tall = height * part / highest
            top -= tall
            parts.append(_BAR.format(kind, LEFT + at * width + 1, top, max(width - 2, 1), tall))
        if total:
            drawn.append(_TITLED.format(f"{day}: {total:,.4g}", Markup().join(parts)))
    ends = (values[0][0], values[-1][0]) if values else ("", "")
    return frame(label, drawn, most, ends)


def _bar_title(bar: Bar) -> str:
    errors = f", {bar.errors} failed" if bar.errors else ""
    stopped = f", {bar.stopped} stopped" if bar.stopped else ""
    return f"{bar.start:%d %b %H:%M} to {bar.end:%H:%M} UTC: {bar.calls} calls{errors}{stopped}"


def times(entries: Sequence[CallRecord]) -> Markup:
    """Draw the duration of each of the last calls, and their median as a line."""
    shown = entries[-SHOWN:]
    most = max((entry.seconds for entry in shown), default=0.0) or 1.0
    middle = median(entry.seconds for entry in shown) if shown else 0.0
    base, height = HEIGHT - BOTTOM, HEIGHT - BOTTOM - 10
    # A few calls are drawn close together on the left, not far apart.
    step = (WIDTH - LEFT - 12) / max(11, len(shown) - 1)
    drawn = [_MEDIAN.format(LEFT, base - height * middle / most, WIDTH)]
    for at, entry in enumerate(shown):
        kind = KINDS[entry.outcome]
        status = "stopped" if kind == "stopped" else f"status {entry.status}"
        title = f"{entry.seconds:.3f} s, {status}, {entry.time[11:19]} UTC"
        y = base - height * entry.seconds / most
        drawn.append(_DOT.format(kind, LEFT + 6 + at * step, y, title))
    label = (
        f"Time of the last {len(shown)} calls: median {duration(middle)}, maximum {duration(most)}"
    )
    return frame(label, drawn, duration(most), ("earlier", "later"))


def duration(seconds: float) -> str:
    """Return a duration with three significant digits, in ms or s."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 99.5 else f"{seconds:,.0f} s"


def frame(
    label: str, drawn: Iterable[Markup], most: str, ends: tuple[str, str], least: str = "0"
) -> Markup:
    """Return a chart with its axes, from ``least`` up to ``most``; ``ends`` are below."""
    return _FRAME.format(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        base=HEIGHT - BOTTOM,
        end=LEFT - 6,
        below=HEIGHT - 4,
        label=label,
        most=most,
        least=least,
        first=ends[0],
        last=ends[1],
        drawn=Markup().join(drawn),
    )
