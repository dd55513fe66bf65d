"""Who goes next when a worker is free: one call, or all calls of a batched service that wait."""

from collections import deque
from itertools import islice

from easymlnb_server.engine.pending import Pending


def take(line: deque[Pending]) -> list[Pending]:
    """Take out of the line what a free worker runs next; nothing if all rather wait for more.

    The first call is next, with those of its service behind it if that is batched. A batch that
    is not full and may wait for more lets others go first.
    """
    if line[0].batch is None:
        return [line.popleft()]
    held: set[str] = set()
    for first in line:
        service = first.call.service
        if service in held:
            continue
        size = 1 if first.batch is None else first.batch.max_size
        chosen = list(islice((p for p in line if p.call.service == service), size))
        if first.ripe or len(chosen) == size:
            _remove(line, chosen)
            return chosen
        held.add(service)
    return []


def _remove(line: deque[Pending], chosen: list[Pending]) -> None:
    ids = {pending.call.id for pending in chosen}
    left = [pending for pending in line if pending.call.id not in ids]
    line.clear()
    line.extend(left)
