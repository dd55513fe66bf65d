"""Plots of a comparison: outcomes as a bar, and latencies of both versions as dots."""

from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from easymlnb_server.comparisons.findings import Outcome
from easymlnb_server.comparisons.models import ItemResult
from easymlnb_server.http.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    WIDTH,
    duration,
    frame,
)

CLASSES: dict[Outcome, str] = {
    "equal": "good",
    "within": "good",
    "different": "warn",
    "failed": "bad",
    "skipped": "stopped",
}
"""Outcome -> the class that colors it."""

BAR_HEIGHT = 26
_BAR = Markup(
    '<svg class="plot strip" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
    'aria-label="{label}">{parts}</svg>'
)
_PART = Markup(
    '<g><title>{title}</title><rect class="{kind}" x="{x:.1f}" y="2" width="{width:.1f}" '
    'height="{height}"/></g>'
)
_DOT = Markup(
    '<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{title}</title></circle>'
)


def outcomes(items: Sequence[ItemResult]) -> Markup:
    """Draw one bar whose parts are the shares of the outcomes."""
    return outcome_bar(Counter(item.outcome for item in items))


def outcome_bar(numbers: Mapping[Outcome, int] | Mapping[str, int]) -> Markup:
    """Draw one bar from the number of each outcome."""
    count: Counter[str] = Counter({str(outcome): number for outcome, number in numbers.items()})
    parts, x, total = [], 0.0, count.total()
    for outcome, kind in CLASSES.items():
        if number := count[outcome]:
            width = WIDTH * number / total
            parts.append(
                _PART.format(
                    title=f"{outcome}: {number}",
                    kind=kind,
                    x=x,
                    width=max(width - 1, 1),
                    height=BAR_HEIGHT - 4,
                )
            )
            x += width
    label = ", ".join(f"{number} {outcome}" for outcome, number in count.most_common())
    return _BAR.format(
        width=WIDTH, height=BAR_HEIGHT, label=f"Outcomes: {label}", parts=Markup().join(parts)
    )


def latencies(items: Sequence[ItemResult]) -> Markup:
    """Draw the seconds of each call: the first version's as the first color, then the second's."""
    pairs = [
        (kind, at, answer.seconds)
        for at, item in enumerate(items)
        for kind, answer in (("first", item.before), ("second", item.after))
        if answer is not None and not answer.code
    ]
    most = max((seconds for _, _, seconds in pairs), default=0.0) or 1.0
    base, height = HEIGHT - BOTTOM, HEIGHT - BOTTOM - 10
    step = (WIDTH - LEFT - 12) / max(11, len(items) - 1)
    drawn = [
        _DOT.format(
            kind=kind,
            x=LEFT + 6 + at * step,
            y=base - height * seconds / most,
            title=f"input {at + 1}, {kind} version: {duration(seconds)}",
        )
        for kind, at, seconds in pairs
    ]
    label = f"Worker time of {len(pairs)} calls of both versions, at most {duration(most)}"
    return frame(label, drawn, duration(most), ("first input", "last input"))
