"""A comparison in numbers, from its items. Pure functions."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil

from easymlnb_server.comparisons.models import (
    AnswerSummary,
    Flip,
    ItemResult,
    Latency,
    Summary,
)

MAX_FLIPS = 50
"""Pairs of labels that are listed."""


def summarize(items: Sequence[ItemResult], versions: tuple[int, int]) -> Summary:
    """Return the numbers of all items that are done."""
    flips = Counter(
        pair for item in items if item.finding is not None for pair in item.finding.flips
    )
    ious = [iou for item in items if item.finding is not None for iou in item.finding.ious]
    largest = [item.finding.largest for item in items if item.finding and item.finding.largest]
    return Summary(
        outcomes=dict(Counter(item.outcome for item in items)),
        latency=[
            _latency(versions[0], (item.before for item in items)),
            _latency(versions[1], (item.after for item in items)),
        ],
        flips=[
            Flip(before=before, after=after, count=count)
            for (before, after), count in flips.most_common(MAX_FLIPS)
        ],
        largest=max(largest, default=None),
        iou=sum(ious) / len(ious) if ious else None,
        errors=_errors(items),
    )


def _latency(version: int, answers: Iterable[AnswerSummary | None]) -> Latency:
    given = [answer for answer in answers if answer is not None]
    seconds = sorted(answer.seconds for answer in given if not answer.code)
    return Latency(
        version=version,
        calls=len(given),
        errors=len(given) - len(seconds),
        mean=sum(seconds) / len(seconds) if seconds else None,
        p50=_quantile(seconds, 0.5),
        p95=_quantile(seconds, 0.95),
    )


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[ceil(share * len(ordered)) - 1] if ordered else None


def _errors(items: Iterable[ItemResult]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for item in items:
        for side, answer in enumerate((item.before, item.after)):
            if answer is not None and answer.code:
                found.setdefault(answer.code, [0, 0])[side] += 1
    return found
