"""Which process serves which bundle: rules only. ``leases`` applies them in its transactions."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Lease:
    """Who serves a bundle. ``holder`` is empty when nobody does.

    ``token`` grows with every change of the holder. ``heir`` is who takes over as soon as its own
    workers are ``ready``. ``state`` is what the holder last said of its workers.
    """

    bundle: str
    holder: str = ""
    token: int = 0
    heir: str = ""
    ready: bool = False
    state: str = "starting"


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when somebody decides.

    ``alive`` are the processes whose time has not run out: holder -> whether it is about to leave.
    ``wanted`` are the bundles that must be served: id -> who should, if that matters (``""``: it
    does not). ``starting`` are those of them that serve nothing yet.
    """

    alive: Mapping[str, bool]
    leases: Mapping[str, Lease]
    wanted: Mapping[str, str]
    starting: Collection[str] = ()


def mark_of(holder: str) -> str:
    """Return what stays the same of a process when it joins anew."""
    return holder.partition(".")[0]


def decide(
    me: str,
    now: Situation,
    *,
    ready: Collection[str] = (),
    release: Collection[str] = (),
    settled: bool = True,
) -> dict[str, Lease]:
    """Return all leases as they are from now on, by bundle.

    It is ``me`` that decides: for bundles that nobody serves, and for its own. ``ready`` are those
    whose heir it is and could serve from now on, ``release`` its own that it has stopped to serve
    for the sake of their heirs. Who is not ``settled`` leaves what others had to those: when the
    database was away for long nobody is alive at first, and their workers still run.
    """
    found = {id: now.leases.get(id, Lease(id)) for id in now.wanted}
    for id, lease in found.items():
        heir = lease.heir if lease.heir in now.alive else ""
        prepared = bool(heir) and (lease.ready or (heir == me and id in ready))
        found[id] = lease = replace(lease, heir=heir, ready=prepared)
        gone = lease.holder not in now.alive
        if heir and (gone or (lease.holder == me and id in release)):
            found[id] = _given(lease, heir)
        elif gone:
            found[id] = replace(lease, holder="", heir="", ready=False)
    stayers = sorted(one for one, leaving in now.alive.items() if not leaving)
    if stayers:
        _give_out(me, stayers, now, found, settled)
        _offer(me, stayers, now, found)
    return found


def _given(lease: Lease, holder: str) -> Lease:
    return replace(lease, holder=holder, token=lease.token + 1, heir="", ready=False)


def _loads(stayers: Collection[str], leases: Collection[Lease]) -> Counter[str]:
    """Return how many bundles each will have when all that was offered is handed over.

    What is left to one that joined anew counts as its own.
    """
    now = {mark_of(one): one for one in stayers}
    loads = Counter(dict.fromkeys(stayers, 0))
    loads.update(
        lease.heir or now.get(mark_of(lease.holder), lease.holder)
        for lease in leases
        if lease.holder
    )
    return loads


def _give_out(
    me: str, stayers: list[str], now: Situation, found: dict[str, Lease], settled: bool
) -> None:
    """Give what nobody serves to whom it belongs, else to who has least; to ``me`` among equals."""
    loads = _loads(stayers, found.values())
    for id in sorted(id for id, lease in found.items() if not lease.holder):
        wish = now.wanted[id]
        former = now.leases[id].holder if id in now.leases else ""
        back = [one for one in stayers if former and mark_of(one) == mark_of(former)]
        if wish in stayers:
            chosen = wish
        elif former and not settled and mark_of(former) != mark_of(me):
            found[id] = replace(found[id], holder=former, state="starting")  # known next time, too
            continue
        elif back:
            chosen = back[0]  # the same process, restarted: its workers may still be there
        else:
            chosen = min(stayers, key=lambda one: (loads[one], one != me, one))
        loads[chosen] += 1
        found[id] = replace(_given(found[id], chosen), state="starting")


def _offer(me: str, stayers: list[str], now: Situation, found: dict[str, Lease]) -> None:
    """Offer all of one's own on leaving, else what one has too much."""
    leaving = now.alive.get(me, False)
    others = [one for one in stayers if one != me]
    serving = [lease for id, lease in found.items() if id not in now.starting]
    loads = _loads(stayers, found.values() if leaving else serving)
    own = [
        lease
        for lease in found.values()
        if lease.holder == me and not lease.heir and (leaving or lease.bundle not in now.starting)
    ]
    # What sleeps costs its heir nothing.
    own.sort(key=lambda lease: (lease.state != "asleep", lease.bundle))
    for lease in own:
        if not others:
            return
        heir = min(others, key=lambda one: (loads[one], one))
        if not leaving and loads[heir] + 2 > loads[me]:
            return
        loads[heir] += 1
        loads[me] -= 1
        found[lease.bundle] = replace(lease, heir=heir, ready=False)
