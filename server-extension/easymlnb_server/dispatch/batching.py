"""Decide how many calls of a queue run in one batch."""

from collections.abc import Iterable

from easymlnb.contract.spec import Batch
from easymlnb_server.dispatch.call import CallHandle
from easymlnb_server.dispatch.duration_model import DurationModel


def gather(line: Iterable[CallHandle], batch: Batch, fit: DurationModel, now: float) -> int:
    """Return how many of the first calls run as one now; 0 if they rather wait for more.

    ``fit`` tells what a batch of each size lasts: it takes no more calls than let the earliest
    deadline in it hold. A call whose deadline would not hold alone has no say in that.
    """
    shortest = fit.seconds(1)
    left = float("inf")
    size = 0
    ripe = False
    for pending in line:
        if size == batch.max_size:
            return size
        mine = pending.deadline - now
        tightest = min(left, mine) if mine >= shortest else left
        if size and fit.seconds(size + 1) > tightest:
            return size
        left = tightest
        ripe = ripe or pending.batch_ready
        size += 1
    return size if ripe or size == batch.max_size else 0
