"""Small SVG charts of models: learning curves, and metrics from version to version.

Colors come from the stylesheet by class, so both themes fit.
"""

from collections.abc import Sequence

from markupsafe import Markup

from easymlnb_server.http.charts import BOTTOM, HEIGHT, LEFT, WIDTH, frame

COLORS = ("first", "second", "third", "fourth")
"""Classes of the lines."""

MAX_POINTS = 500
"""Points of one line; longer curves are thinned."""

_LINE = Markup('<path class="series {}" d="M{}"/>')
_DOT = Markup('<circle class="series {}" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}</title></circle>')

Points = Sequence[tuple[int, float]]


def curve(name: str, points: Points) -> Markup:
    """Draw one learning curve."""
    return _chart(f"{name} by step", [points], "step")


def trend(name: str, points: Points) -> Markup:
    """Draw a metric from version to version."""
    return _chart(f"{name} by version", [points], "version")


def overlays(
    versions: Sequence[int], curves: Sequence[Sequence[tuple[str, int, float]]]
) -> dict[str, Markup]:
    """Draw the learning curves of several versions over one another, by name."""
    names = dict.fromkeys(name for one in curves for name, _, _ in one)
    listed = ", ".join(map(str, versions))
    return {
        name: _chart(
            f"{name} by step, of the versions {listed}",
            [[(step, value) for key, step, value in one if key == name] for one in curves],
            "step",
        )
        for name in names
    }


def _chart(label: str, lines: Sequence[Points], unit: str) -> Markup:
    every = [point for line in lines for point in line]
    if not every:
        return Markup()
    steps, values = [step for step, _ in every], [value for _, value in every]
    first, last, least, most = min(steps), max(steps), min(values), max(values)
    width, height = WIDTH - LEFT - 12, HEIGHT - BOTTOM - 12

    def at(step: int, value: float) -> tuple[float, float]:
        x = LEFT + 6 + width * ((step - first) / (last - first) if last > first else 0.5)
        y = 8 + height * ((most - value) / (most - least) if most > least else 0.5)
        return x, y

    drawn = []
    for number, line in enumerate(lines):
        color = COLORS[number % len(COLORS)]
        thinned = line[:: max(1, len(line) // MAX_POINTS)]
        if len(thinned) > 1:
            path = "L".join("{:.1f} {:.1f}".format(*at(*point)) for point in thinned)
            drawn.append(_LINE.format(color, path))
        for step, value in thinned if len(thinned) <= 30 else thinned[-1:]:
            drawn.append(_DOT.format(color, *at(step, value), f"{unit} {step}: {value:.6g}"))
    return frame(
        f"{label}: from {values[0]:.6g} to {values[-1]:.6g}",
        drawn,
        f"{most:.3g}",
        (f"{unit} {first}", f"{unit} {last}" if last > first else ""),
        f"{least:.3g}",
    )
