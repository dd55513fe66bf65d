"""Calls that wait for other calls: detect cycles and deadlocks."""

from easymlnb.contract.errors import CallCycle
from easymlnb_server.dispatch.call import CallHandle, Chain
from easymlnb_server.dispatch.worker_link import WorkerLink

DEPTH = 8
"""Maximum number of calls that wait for one another."""


def extend(
    outer: CallHandle | None, link: WorkerLink, service: str, workers: tuple[WorkerLink, ...]
) -> Chain:
    """Return the chain of a call of ``service`` that ``outer`` makes while ``link`` runs it.

    Raises ``CallCycle`` if the call would wait for itself: for its own service, or for a worker
    that a call in its chain occupies. A live notebook has enough threads and is never occupied.
    """
    if outer is None:
        return ()
    chain = (*outer.chain, (outer.spec.name or outer.call.service, link))
    names = [name for name, _ in chain]
    occupied = {one for _, one in chain if isinstance(one, WorkerLink) and not one.hello.live}
    if service in names or len(chain) >= DEPTH or not occupied.isdisjoint(workers):
        owner = names[-1].rpartition("/")[0]
        # The names of other owners' services are not shown.
        shown = [name if name.rpartition("/")[0] == owner else "another" for name in names]
        raise CallCycle([*shown, service])
    return chain
