"""Decide how many queued calls run in one batch."""

from collections.abc import Iterable

from easymlnb.contract.spec import Batch
from easymlnb_server.dispatch.call import CallHandle
from easymlnb_server.dispatch.duration_model import DurationModel


def batch_size(
    queue: Iterable[CallHandle], batch: Batch, durations: DurationModel, now: float
) -> int:
    """Return how many of the first calls run as a batch now; 0 while they wait for more.

    A batch starts when it is full or when one of its calls no longer waits for others
    (``batch_ready``). It grows only while its expected duration still meets the earliest deadline
    among its calls. A deadline that the call could not meet alone is ignored.

    - ``queue``: the calls of one service, in the order in which they run
    - ``batch``: the limits that the author set
    - ``durations``: expected duration of a run by its number of calls
    - ``now``: the current time, ``time.monotonic()``
    """
    shortest = durations.seconds(1)
    time_left = float("inf")
    size = 0
    ready = False
    for handle in queue:
        if size == batch.max_size:
            return size
        own_time_left = handle.deadline - now
        earliest = min(time_left, own_time_left) if own_time_left >= shortest else time_left
        if size and durations.seconds(size + 1) > earliest:
            return size
        time_left = earliest
        ready = ready or handle.batch_ready
        size += 1
    return size if ready or size == batch.max_size else 0
