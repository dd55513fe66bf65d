"""What a comparison of two results found."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

MAX_DIFFERENCES = 20
"""Differences of one pair of results that are stored; all of them are counted."""

MAX_SHOWN = 200
"""Characters of a value in a difference."""

Kind = Literal["number", "label", "text", "table", "array", "image", "file", "missing", "type"]
Outcome = Literal["equal", "within", "different", "failed", "skipped"]

WORSE: dict[str, int] = {"equal": 0, "within": 1, "different": 2}
"""Outcomes of one value, from the best to the worst."""


class Tolerance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far two numbers may be apart: ``absolute + relative * max(|a|, |b|)``."""

    relative: Annotated[float, Meta(ge=0, le=1)] = 1e-6
    absolute: Annotated[float, Meta(ge=0, le=1e300)] = 1e-9

    def covers(self, first: float, second: float) -> bool:
        """Return whether two numbers are equal within this tolerance."""
        try:
            limit = self.absolute + self.relative * max(abs(first), abs(second))
            return abs(second - first) <= limit
        except OverflowError:  # a whole number that is too large for a float
            return first == second


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Two values that differ."""

    path: Annotated[str, Meta(description="Where in the result, such as `scores.0`.")]
    kind: Kind
    before: Annotated[Any, Meta(description="A number, or the start of a text.")] = None
    after: Any = None
    difference: Annotated[
        float | None, Meta(description="The largest difference of two numbers.")
    ] = None
    share: Annotated[
        float | None, Meta(description="Share of cells, elements or pixels that differ.")
    ] = None
    iou: Annotated[
        float | None, Meta(description="Mean intersection over union of the labels of two images.")
    ] = None
    within: Annotated[bool, Meta(description="Whether it is within the tolerance.")] = False
    note: str = ""


class ResultFinding(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The result of comparing two results.

    Attributes
    ----------
    outcome
        The worst outcome of all values.
    count
        The number of values that differ; ``differences`` has the first of them.
    largest
        The largest difference of two numbers, in any place.
    flips
        Pairs of labels of which the first became the second.
    ious
        One for each pair of label images.
    """

    outcome: Outcome = "equal"
    count: int = 0
    differences: list[Difference] = []
    largest: float = 0.0
    flips: list[tuple[str, str]] = []
    ious: list[float] = []

    def add(self, difference: Difference) -> None:
        """Count a difference."""
        outcome: Outcome = "within" if difference.within else "different"
        if WORSE[outcome] > WORSE[self.outcome]:
            self.outcome = outcome
        self.count += 1
        if difference.difference is not None:
            self.largest = max(self.largest, difference.difference)
        if difference.kind == "label" and len(self.flips) < MAX_DIFFERENCES:
            self.flips.append((str(difference.before), str(difference.after)))
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(difference)


def shown(value: Any) -> Any:
    """Return a value as a difference shows it: numbers as they are, all else as a short text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
