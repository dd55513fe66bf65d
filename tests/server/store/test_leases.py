"""Which process serves what: rows, rules, and what holds whatever happens to processes."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.store import Store
from easymlnb_server.store import leases as module
from easymlnb_server.store.leases import Hold, LeaseLost, View, check
from easymlnb_server.store.sharing import Lease, Situation, decide

SECONDS = 10.0


def add(store: Store, id: str, *names: str) -> None:
    store.bundles.add(id, owner="a", manifest={}, file="f" * 64, names=names)


def publish(store: Store, id: str, *names: str, hold: Hold | None = None) -> None:
    specs = [ServiceSpec(name=name, title=name, input={}, output={}) for name in names]
    store.services.publish(id, specs, owner="a", hold=hold)


def serve(store: Store, id: str, *names: str) -> None:
    add(store, id, *names)
    publish(store, id, *names)


def held(view: View) -> set[str]:
    return {id for id in view.leases if view.hold(id)}


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    made = Store.open(database_url, tmp_path)
    yield made
    made.close()


@contextmanager
def clock() -> Iterator[list[float]]:
    """Let the database's clock, and that of the processes, be a number that the test turns."""
    now = [1000.0]
    mine, theirs = module._clock, module.time
    module._clock = lambda connection: now[0]  # type: ignore[assignment]
    module.time = type("", (), {"monotonic": staticmethod(lambda: now[0])})  # type: ignore[assignment]
    try:
        yield now
    finally:
        module._clock, module.time = mine, theirs


def test_one_process_holds_all_and_the_next_is_given_half(store: Store) -> None:
    for number in range(4):
        serve(store, f"b{number}", f"s{number}")
    one = store.leases.join("one", "http://one", SECONDS)
    assert held(store.leases.turn(one, SECONDS)) == {"b0", "b1", "b2", "b3"}
    two = store.leases.join("two", "http://two", SECONDS)
    offered = [one.bundle for one in store.leases.turn(one, SECONDS).leases.values() if one.heir]
    assert len(offered) == 2
    # Nothing changes hands before its heir is ready, and its holder has let go.
    assert held(store.leases.turn(two, SECONDS)) == set()
    assert held(store.leases.turn(two, SECONDS, ready=offered)) == set()
    assert len(held(store.leases.turn(one, SECONDS))) == 4
    assert len(held(store.leases.turn(one, SECONDS, release=offered))) == 2
    view = store.leases.turn(two, SECONDS)
    assert held(view) == set(offered)
    assert view.processes[one].address == "http://one"
    assert {view.leases[id].token for id in offered} == {2}


def test_who_leaves_offers_everything_and_what_is_left_is_free(store: Store) -> None:
    serve(store, "b1", "s1")
    serve(store, "b2", "s2")
    one = store.leases.join("one", "http://one", SECONDS)
    store.leases.turn(one, SECONDS)
    two = store.leases.join("two", "http://two", SECONDS)
    view = store.leases.turn(one, SECONDS, leaving=True)
    assert {lease.heir for lease in view.leases.values()} == {two}
    store.leases.turn(two, SECONDS, ready=["b1"])
    store.leases.turn(one, SECONDS, leaving=True, release=["b1"])
    store.leases.leave(one)
    assert held(store.leases.turn(two, SECONDS)) == {"b1", "b2"}
    with pytest.raises(LeaseLost):
        store.leases.turn(one, SECONDS)


def test_a_new_version_goes_where_its_service_is(store: Store) -> None:
    for number in range(2):
        serve(store, f"b{number}", f"s{number}")
    one = store.leases.join("one", "http://one", SECONDS)
    two = store.leases.join("two", "http://two", SECONDS)
    store.leases.turn(one, SECONDS)
    (mine,) = held(store.leases.turn(two, SECONDS))
    add(store, "b3", mine.replace("b", "s"))
    assert store.leases.turn(one, SECONDS).leases["b3"].holder == two


def test_writes_of_who_lost_the_bundle_are_refused(store: Store) -> None:
    with clock() as now:
        one = store.leases.join("one", "http://one", SECONDS)
        add(store, "b1", "s1")
        hold = store.leases.turn(one, SECONDS).hold("b1")
        now[0] += SECONDS + 1
        two = store.leases.join("two", "http://two", SECONDS)
        with pytest.raises(LeaseLost):  # as soon as its time is over, taken or not
            publish(store, "b1", "s1", hold=hold)
        taken = store.leases.turn(two, SECONDS).hold("b1")
        with pytest.raises(LeaseLost):
            store.bundles.set_failed("b1", {}, hold=hold)
        assert store.bundles.get("b1").state == "starting"
        assert store.services.serving() == {}
        publish(store, "b1", "s1", hold=taken)
        assert list(store.services.serving()) == ["b1"]


def test_a_process_that_joins_again_takes_up_what_it_had(store: Store) -> None:
    for number in range(4):
        serve(store, f"b{number}", f"s{number}")
    one = store.leases.join("one", "http://one", SECONDS)
    two = store.leases.join("two", "http://two", SECONDS)
    store.leases.turn(one, SECONDS)
    before = held(store.leases.turn(two, SECONDS))
    again = store.leases.join("two", "http://two:2", SECONDS)
    view = store.leases.turn(one, SECONDS)  # whoever sees it first
    assert held(view) | before == {"b0", "b1", "b2", "b3"}
    assert held(store.leases.turn(again, SECONDS)) == before
    assert two not in view.processes


def test_a_deleted_service_has_no_holder(store: Store) -> None:
    serve(store, "b1", "s1")
    one = store.leases.join("one", "http://one", SECONDS)
    first = store.leases.turn(one, SECONDS)
    store.services.delete("s1")
    second = store.leases.turn(one, SECONDS)
    assert (set(first.leases), set(second.leases)) == ({"b1"}, set())
    assert first.stamp != second.stamp


@pytest.mark.parametrize(
    ("bundles", "processes"), [(0, 1), (1, 3), (5, 2), (7, 3), (12, 5), (3, 4)]
)
def test_what_is_free_is_shared_out_evenly(bundles: int, processes: int) -> None:
    alive = {f"p{number}.1": False for number in range(processes)}
    wanted = {f"b{number}": "" for number in range(bundles)}
    found = decide("p0.1", Situation(alive, {}, wanted))
    loads = [sum(one.holder == name for one in found.values()) for name in alive]
    assert max(loads) - min(loads) <= 1
    assert sum(loads) == bundles


def test_a_bundle_without_processes_that_stay_waits() -> None:
    found = decide("p.1", Situation({"p.1": True}, {}, {"b": ""}))
    assert found == {"b": Lease("b")}


def test_what_others_left_waits_for_them_until_one_is_settled() -> None:
    left = Lease("b", holder="p.1", token=3, state="ready")
    alive = {"q.1": False}
    for _ in range(3):  # turn by turn
        left = decide("q.1", Situation(alive, {"b": left}, {"b": ""}), settled=False)["b"]
        assert (left.holder, left.token, left.state) == ("p.1", 3, "starting")
    back = {**alive, "p.2": False}
    found = decide("p.2", Situation(back, {"b": left}, {"b": ""}), settled=False)["b"]
    assert (found.holder, found.token) == ("p.2", 4)
    found = decide("q.1", Situation(alive, {"b": left}, {"b": ""}))["b"]
    assert (found.holder, found.token) == ("q.1", 4)


def test_those_who_join_anew_together_have_what_they_had() -> None:
    before = {f"b{n}": Lease(f"b{n}", holder="pq"[n % 2] + ".1", state="ready") for n in range(4)}
    alive, wanted = {"p.2": False, "q.2": False}, dict.fromkeys(before, "")
    for me in ("p.2", "q.2", "p.2"):
        before = decide(me, Situation(alive, before, wanted), settled=False)
    assert [one.holder for one in before.values()] == ["p.2", "q.2", "p.2", "q.2"]
    assert not any(one.heir for one in before.values())


class Simulated:
    """A process as ``cluster`` runs it: it serves what it holds until its own clock says stop."""

    def __init__(self, store: Store, mark: str) -> None:
        self.leases, self.mark = store.leases, mark
        self.holder = self.leases.join(mark, mark, SECONDS)
        self.view: View | None = None
        self.released: set[str] = set()
        self.leaving = self.paused = False

    def turn(self) -> None:
        heir = [id for id, one in self.seen.items() if one.heir == self.holder]
        try:
            self.view = self.leases.turn(
                self.holder, SECONDS, ready=heir, release=self.released, leaving=self.leaving
            )
        except LeaseLost:
            self.view, self.released = None, set()
            self.holder = self.leases.join(self.mark, self.mark, SECONDS)
            return
        self.released = {
            id for id, one in self.view.leases.items() if one.ready and self.view.hold(id)
        }

    @property
    def seen(self) -> dict[str, Lease]:
        return dict(self.view.leases) if self.view else {}

    def serves(self, now: float) -> dict[str, int]:
        if self.view is None or now >= self.view.since + SECONDS:
            return {}
        return {id: self.seen[id].token for id in held(self.view) - self.released}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("turn", "turn", "turn", "wait", "join", "kill", "pause", "leave", "new")),
        st.integers(0, 5),
    ),
    max_size=40,
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_whatever_happens_nobody_serves_what_another_holds(steps: list[tuple[str, int]]) -> None:
    folder = Path(tempfile.mkdtemp())
    store = Store.open("", folder)
    try:
        with clock() as now:
            _simulate(store, steps, now)
    finally:
        store.close()
        shutil.rmtree(folder)


def _simulate(store: Store, steps: list[tuple[str, int]], now: list[float]) -> None:
    there = [Simulated(store, "p0")]
    made = 0
    for step, number in steps:
        one = there[number % len(there)] if there else None
        if step == "wait":
            now[0] += number
        elif step == "join" and len(there) < 4:
            # Of one mark there is one process at a time: it locks its folder.
            if (mark := f"p{made + number}") not in {other.mark for other in there}:
                there.append(Simulated(store, mark))
        elif step == "new":
            made += 1
            serve(store, f"b{made}", f"s{made}")
        elif one is not None and step == "kill":
            there.remove(one)
        elif one is not None and step == "pause":
            one.paused = not one.paused
        elif one is not None and step == "leave" and not one.paused:
            one.leaving = True
        elif one is not None and step == "turn" and not one.paused:
            one.turn()
        _nobody_twice(store, there, now[0])
    # A while later: those that are left, and one more, hold everything, evenly.
    there = [one for one in there if not one.leaving] + [Simulated(store, "last")]
    for _ in range(2 * made + 10):
        now[0] += 2
        for one in there:
            one.turn()
            _nobody_twice(store, there, now[0])
    loads = [len(one.serves(now[0])) for one in there]
    assert sum(loads) == made
    assert max(loads) - min(loads) <= 1


def _nobody_twice(store: Store, there: list[Simulated], now: float) -> None:
    serving: list[tuple[str, int, Any]] = [
        (id, token, one) for one in there for id, token in one.serves(now).items()
    ]
    assert len({id for id, _, _ in serving}) == len(serving)
    for id, token, one in serving:
        hold = Hold(id, one.holder, token)
        store._database.read(partial(check, hold=hold))
