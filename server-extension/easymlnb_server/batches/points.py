"""The points of a sweep: the parameters of each trial. Pure functions."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.jsonschema import properties, required
from easymlnb.contract.spec import ServiceSpec

MAX_TRIALS = 1000
"""Maximum number of trials of a sweep."""

Point = dict[str, Any]


class SweepRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sweep: all combinations of a ``grid``, or ``points``; all trials have the ``values``."""

    grid: Annotated[
        dict[str, list[Any]], Meta(description="A list of values for each parameter.")
    ] = {}
    points: Annotated[list[dict[str, Any]], Meta(description="The parameters of each trial.")] = []
    values: Annotated[
        dict[str, Any], Meta(description="Parameters that are the same for all trials.")
    ] = {}
    attempts: Annotated[int, Meta(ge=1, le=20)] = 1
    lane: str = ""


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a sweep: its points, and the values of all trials.

    ``parameters`` are the names that differ, in their order.
    """

    parameters: list[str]
    points: list[Point]
    values: dict[str, Any]
    attempts: int = 1
    lane: str = ""

    def body(self, item: int) -> bytes:
        """Return the body of the call of a trial."""
        return msgspec.json.encode({**self.values, **self.points[item]})


def expand(request: SweepRequest, spec: ServiceSpec) -> Sweep:
    """Return the points of a sweep; raises ``BadRequest``.

    The number of points is checked before any is made.
    """
    if bool(request.grid) == bool(request.points):
        raise BadRequest(
            'Send either a grid such as {"grid": {"trees": [10, 50]}}, or a list of points.'
        )
    count = len(request.points) or math.prod(map(len, request.grid.values()))
    if not count:
        empty = next(name for name, values in request.grid.items() if not values)
        raise BadRequest(f"The grid has no values for {empty!r}.")
    if count > MAX_TRIALS:
        raise BadRequest(
            f"The sweep has {count:,} trials; at most {MAX_TRIALS:,} are allowed. Use fewer values."
        )
    if request.grid:
        names = list(request.grid)
        combined = itertools.product(*request.grid.values())
        points = [dict(zip(names, values, strict=True)) for values in combined]
    else:
        points = request.points
        names = list(dict.fromkeys(name for point in points for name in point))
    _check_names(names, points, request.values, spec)
    return Sweep(
        parameters=names,
        points=points,
        values=request.values,
        attempts=request.attempts,
        lane=request.lane,
    )


def _check_names(
    names: Sequence[str], points: list[Point], values: Mapping[str, Any], spec: ServiceSpec
) -> None:
    known = list(properties(spec.input))
    for name in (*names, *values):
        if name not in known:
            raise BadRequest(
                f"{name[:60]!r} is no parameter of {spec.name!r}. It has: "
                f"{', '.join(map(repr, known)) or 'none'}."
            )
    if both := next((name for name in names if name in values), ""):
        raise BadRequest(f"{both!r} is swept and also has a value for all trials. Remove one.")
    for name in required(spec.input):
        missing = next((at for at, point in enumerate(points) if name not in point), None)
        if missing is not None and name not in values:
            where = f"Trial {missing + 1}" if name in names else "The sweep"
            raise BadRequest(f'{where} has no value for {name!r}. Add it to "values".')
