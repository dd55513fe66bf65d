"""Small SVG charts: calls of a service, and a pattern for its card.

Colors come from the stylesheet by class, so both themes fit; every text is escaped.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from math import ceil, cos, pi, sin
from statistics import median

from markupsafe import Markup, escape

from easymlnb_server.calls.log import CallRecord

SHOWN = 60
"""Calls that the plot of times shows."""
BARS = 24
"""Bars of the plot of calls over time."""
WIDTH, HEIGHT, LEFT, BOTTOM = 520, 120, 44, 18
"""Size of a plot and of its margins, in its own units."""
KINDS = {"answered": "good", "stopped": "stopped", "error": "bad"}
"""Outcome of a call -> the class that colors it."""
_STEPS = (60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)


@dataclass(frozen=True, slots=True)
class Bar:
    """Calls between ``start`` and ``end``: all, those with an error, and the stopped ones."""

    start: datetime
    end: datetime
    calls: int
    errors: int
    stopped: int = 0


def bars(entries: Sequence[CallRecord], now: datetime) -> list[Bar]:
    """Return the calls counted in equal steps of time, the last one ending about now."""
    if not entries:
        return []
    times = [datetime.fromisoformat(entry.time) for entry in entries]
    wanted = (now - min(times)).total_seconds() / (BARS - 1)
    step = next((one for one in _STEPS if one >= wanted), _STEPS[-1])
    last = datetime.fromtimestamp(ceil(now.timestamp() / step) * step, UTC)
    found = []
    for number in range(BARS, 0, -1):
        start = last - timedelta(seconds=step * number)
        end = start + timedelta(seconds=step)
        inside = [e for e, time in zip(entries, times, strict=True) if start <= time < end]
        count = Counter(entry.outcome for entry in inside)
        found.append(Bar(start, end, len(inside), count["error"], count["stopped"]))
    return found


def calls(found: Sequence[Bar]) -> Markup:
    """Draw the bars."""
    most = max((bar.calls for bar in found), default=0) or 1
    room, height = (WIDTH - LEFT) / BARS, HEIGHT - BOTTOM - 8
    drawn = []
    for at, bar in enumerate(found):
        if not bar.calls:
            continue
        x, top = LEFT + at * room + 1, float(HEIGHT - BOTTOM)
        errors = f", {bar.errors} failed" if bar.errors else ""
        stopped = f", {bar.stopped} stopped" if bar.stopped else ""
        title = f"{bar.start:%d %b %H:%M} to {bar.end:%H:%M} UTC: {bar.calls} calls"
        answered = bar.calls - bar.errors - bar.stopped
        rects = ""
        for kind, count in (("bad", bar.errors), ("stopped", bar.stopped), ("good", answered)):
            tall = height * count / most
            top -= tall
            rects += (
                f'<rect class="{kind}" x="{x:.1f}" y="{top:.1f}" width="{room - 2:.1f}" '
                f'height="{tall:.1f}"/>'
            )
        drawn.append(f"<g><title>{title}{errors}{stopped}</title>{rects}</g>")
    ends = (f"{found[0].start:%d %b %H:%M}", f"{found[-1].end:%H:%M} UTC") if found else ("", "")
    total = sum(bar.calls for bar in found)
    return _frame(f"Calls over time: {total} in total", "".join(drawn), str(most), ends)


def times(entries: Sequence[CallRecord]) -> Markup:
    """Draw how long each of the last calls took, and their median as a line."""
    shown = entries[-SHOWN:]
    most = max((entry.seconds for entry in shown), default=0.0) or 1.0
    # A few calls are drawn close together on the left, not far apart.
    room, height = (WIDTH - LEFT - 12) / max(11, len(shown) - 1), HEIGHT - BOTTOM - 10
    drawn = []
    for at, entry in enumerate(shown):
        x = LEFT + 6 + at * room
        y = HEIGHT - BOTTOM - height * entry.seconds / most
        kind = KINDS[entry.outcome]
        said = "stopped" if kind == "stopped" else f"status {entry.status}"
        told = escape(f"{entry.seconds:.3f} s, {said}, {entry.time[11:19]} UTC")
        drawn.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{told}</title></circle>'
        )
    middle = median(entry.seconds for entry in shown) if shown else 0.0
    y = HEIGHT - BOTTOM - height * middle / most
    line = f'<path class="line" d="M{LEFT} {y:.1f}H{WIDTH}"/>'
    label = (
        f"Time of the last {len(shown)} calls: median {duration(middle)}, maximum {duration(most)}"
    )
    return _frame(label, line + "".join(drawn), duration(most), ("earlier", "later"))


def duration(seconds: float) -> str:
    """Return a duration with three significant digits, in ms or s."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 99.5 else f"{seconds:,.0f} s"


def _frame(label: str, inside: str, most: str, ends: tuple[str, str]) -> Markup:
    base = HEIGHT - BOTTOM
    return Markup(
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f'<path class="axis" d="M{LEFT} 8V{base}H{WIDTH}"/>'
        f'<text x="{LEFT - 6}" y="14" text-anchor="end">{escape(most)}</text>'
        f'<text x="{LEFT - 6}" y="{base}" text-anchor="end">0</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 4}">{escape(ends[0])}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">{escape(ends[1])}</text>'
        f"{inside}</svg>"
    )


# what a card shows that has no picture


def pattern(name: str, kinds: Sequence[str]) -> Markup:
    """Draw a calm pattern that belongs to a name, in the manner of what the service takes."""
    return _pattern(name, tuple(kinds))


@lru_cache(maxsize=1000)
def _pattern(name: str, kinds: tuple[str, ...]) -> Markup:
    seed = sha256(name.encode()).digest()
    draw = next((_PATTERNS[kind] for kind in kinds if kind in _PATTERNS), _rings)
    return Markup(
        '<svg class="picture" viewBox="0 0 300 110" preserveAspectRatio="xMidYMid slice" '
        f'aria-hidden="true">{draw(seed)}</svg>'
    )


def _cells(seed: bytes) -> str:
    drawn = []
    for at, (a, b, c, d) in enumerate(zip(seed[:6], seed[6:], seed[12:], seed[18:], strict=False)):
        place = f'cx="{30 + at * 48 + a % 20}" cy="{25 + b % 60}"'
        size = f'rx="{12 + c % 12}" ry="{10 + d % 10}"'
        drawn.append(f'<ellipse class="{"ab"[a % 5 == 0]}" {place} {size}/>')
    return "".join(drawn)


def _waves(seed: bytes) -> str:
    def wave(size: float, shift: float, turns: float) -> str:
        points = [
            (x, 55 + size * sin(turns * pi * x / 150 + shift) + 8 * cos(x / 19 + shift))
            for x in range(0, 301, 12)
        ]
        return "M" + "L".join(f"{x} {y:.0f}" for x, y in points)

    turns = 2 + seed[0] % 3
    return (
        f'<path class="line a" d="{wave(24, seed[1] / 40, turns)}"/>'
        f'<path class="line b" d="{wave(20, seed[1] / 40 + 0.5, turns)}"/>'
    )


def _grid(seed: bytes) -> str:
    return "".join(
        f'<rect class="{"ab"[at == seed[0] % 15]}" x="{24 + at % 5 * 52}" y="{16 + at // 5 * 27}" '
        f'width="{16 + seed[at] % 28}" height="14" rx="4"/>'
        for at in range(15)
    )


def _rings(seed: bytes) -> str:
    x, y = 60 + seed[0] % 180, 30 + seed[1] % 50
    rings = "".join(
        f'<circle class="line a" cx="{x}" cy="{y}" r="{12 + at * (14 + seed[2] % 8)}"/>'
        for at in range(6)
    )
    return f'{rings}<circle class="b" cx="{x}" cy="{y}" r="5"/>'


_PATTERNS = {"image": _cells, "time series": _waves, "audio": _waves, "table": _grid}
