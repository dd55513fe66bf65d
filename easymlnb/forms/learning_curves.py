"""Learning curves of a running job, as small pictures that need no script."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

from easymlnb.forms.markup import Markup, element, join

MAX_CURVES = 6
MAX_POINTS = 300
WIDTH, HEIGHT = 320, 64


@dataclass(frozen=True, slots=True)
class Curve:
    """The values of one metric by step."""

    name: str
    points: tuple[tuple[int, float], ...]


def read_curves(metrics: Iterable[Mapping[str, object]]) -> tuple[Curve, ...]:
    """Return the curves of a job's metrics, which are ordered by name and step."""
    found: dict[str, list[tuple[int, float]]] = {}
    for metric in metrics:
        step, value = metric.get("step"), metric.get("value")
        if isinstance(step, int) and isinstance(value, int | float) and isfinite(value):
            found.setdefault(str(metric.get("name")), []).append((step, float(value)))
    return tuple(
        Curve(name, tuple(_thinned(points))) for name, points in list(found.items())[:MAX_CURVES]
    )


def curves(shown: Iterable[Curve]) -> Markup | None:
    """Return a picture for each curve, with its last value; ``None`` without curves."""
    pictures = [_picture(curve) for curve in shown]
    return element("div.em-curves", join(pictures)) if pictures else None


def _picture(curve: Curve) -> Markup:
    step, value = curve.points[-1]
    text = f"{curve.name} {value:.4g} at step {step}"
    drawn = element(
        "svg",
        element("polyline", points=_line(curve.points)),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"Curve of {text}",
    )
    return element("figure.em-curve", element("figcaption", text), drawn)


def _line(points: tuple[tuple[int, float], ...]) -> str:
    """Return the points in pixels; the scale fits the values."""
    steps, values = [step for step, _ in points], [value for _, value in points]
    width = max(steps) - min(steps) or 1
    height = max(values) - min(values) or 1.0
    place = [
        (
            (step - min(steps)) / width * (WIDTH - 4) + 2,
            HEIGHT - 3 - (value - min(values)) / height * (HEIGHT - 6),
        )
        for step, value in points
    ]
    if len(place) == 1:
        place.append((WIDTH - 2.0, place[0][1]))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in place)


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    if len(points) <= MAX_POINTS:
        return points
    last = len(points) - 1
    return [points[round(at * last / (MAX_POINTS - 1))] for at in range(MAX_POINTS)]
