"""Calls that wait for other calls: detect cycles and deadlocks."""

from easymlnb.contract.errors import CallCycle
from easymlnb_server.dispatch.call import CallHandle, Chain
from easymlnb_server.dispatch.worker_link import WorkerLink

DEPTH = 8
"""Calls that may wait for one another."""


def extend(
    outer: CallHandle | None, link: WorkerLink, service: str, workers: tuple[WorkerLink, ...]
) -> Chain:
    """Return what waits for a call of ``service`` that ``outer``, run by ``link``, makes.

    Raises ``CallCycle`` if the call would wait for itself: for its own service, or for a worker
    that is held by what waits for it. A notebook that is live has threads enough.
    """
    if outer is None:
        return ()
    chain = (*outer.chain, (outer.spec.name or outer.call.service, link))
    names = [name for name, _ in chain]
    held = {one for _, one in chain if isinstance(one, WorkerLink) and not one.hello.live}
    if service in names or len(chain) >= DEPTH or not held.isdisjoint(workers):
        owner = names[-1].rpartition("/")[0]
        raise CallCycle([_shown(name, owner) for name in names] + [service])
    return chain


def _shown(name: str, owner: str) -> str:
    """Return what an owner is told of a service in a chain; whose others are is not theirs."""
    return name if name.rpartition("/")[0] == owner else "another"
