"""Replace a model between two calls: what a call sees, and what happens to a broken version."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from easymlnb.contract.model_protocol import ModelLoaded, ModelMoved, ModelReady, ModelSwap
from easymlnb.contract.worker_protocol import Call, Message
from easymlnb.runtime.context import Context, call_context
from easymlnb.runtime.model_pins import ServedVersion
from easymlnb.runtime.served_models import ModelSlot, ServedModels


def nothing(message: Message, body: bytes) -> None:
    pass


class Loader:
    """Loads versions from memory; one of them is broken."""

    def __init__(self) -> None:
        self.alive: list[int] = []
        self.most = 0

    def __call__(self, number: int, token: str) -> ServedVersion:
        if number == 66:
            raise ValueError("cut off")
        return ServedVersion("ann/forest", number, f"forest {number}")


class Peer:
    """What a worker reports, and when its main thread is woken."""

    def __init__(self, models: ServedModels, slot: ModelSlot) -> None:
        self.models = models
        self.slot = slot
        self.told: list[ModelLoaded] = []
        self.ready: list[int] = []
        self.awake = threading.Event()

    def report(self, message: Message, body: bytes) -> None:
        if isinstance(message, ModelReady):
            self.ready.append(message.version)
        else:
            assert isinstance(message, ModelLoaded)
            self.told.append(message)
        self.awake.set()

    def move(self, number: int) -> None:
        """Let a version be loaded, until the worker has answered."""
        self.awake.clear()
        moved = ModelMoved(model="ann/forest", ref="production", version=number, token="t")
        self.models.move(moved, self.report)
        assert self.awake.wait(10)

    def swap(self, trial: Callable[[set[str]], str] = lambda names: "") -> None:
        """Use what is ready, as the server asks for it."""
        while self.ready:
            message = ModelSwap(model="ann/forest", ref="production", version=self.ready.pop())
            self.models.begin_swap(message, lambda: None)
            assert self.models.waiting
            self.ready.clear()
        self.models.swap(trial, self.report)


@pytest.fixture(params=[False, True], ids=["beside", "exclusive"])
def peer(request: pytest.FixtureRequest) -> Peer:
    models, load = ServedModels(), Loader()
    slot = ModelSlot("production", load(1, ""), load, exclusive=request.param)
    models.add(slot)
    return Peer(models, slot)


def context() -> Context:
    return Context(Call(id=1, service="predict"), nothing)


def test_a_call_sees_one_version_and_names_it(peer: Peer) -> None:
    slot = peer.slot
    running = context()
    with call_context(running):
        assert slot.served().value == "forest 1"
        peer.move(2)
        assert peer.ready == [2] and not peer.models.waiting, "the server says when"
        assert slot.served().value == "forest 1"
    peer.swap()
    with call_context(running):
        assert slot.served().value == "forest 1", "it began with this version"
    assert running.used_models() == (("forest", 1),)
    later = context()
    with call_context(later):
        assert slot.served().value == "forest 2"
    assert later.used_models() == (("forest", 2),)
    assert [(one.version, one.error) for one in peer.told] == [(2, "")]
    assert context().used_models() == ()


def test_examples_run_on_the_new_version_before_the_others(peer: Peer) -> None:
    with call_context(context()):
        peer.slot.served()
    seen: list[tuple[set[str], Any]] = []

    def trial(names: set[str]) -> str:
        with call_context(context()):
            seen.append((set(names), peer.slot.served().value))
        return "Example 1 of 'predict' failed: no"

    peer.move(2)
    peer.swap(trial)
    assert seen == [({"predict"}, "forest 2")]
    assert peer.slot.served().value == "forest 1"
    assert peer.told[-1].error == "Example 1 of 'predict' failed: no"


def test_a_version_that_cannot_be_loaded_is_reported_and_the_former_stays(peer: Peer) -> None:
    peer.move(66)
    peer.swap()
    assert [(one.version, one.error) for one in peer.told] == [(66, "ValueError: cut off")]
    assert peer.slot.served().value == "forest 1"
    peer.move(3)
    peer.swap()
    assert peer.slot.served().value == "forest 3"


def test_only_the_last_of_several_moves_counts(peer: Peer) -> None:
    for number in (2, 3):
        peer.move(number)
    peer.swap()
    assert peer.slot.served().value == "forest 3"
    assert [one.version for one in peer.told] == [3]


def test_other_models_are_left_alone(peer: Peer) -> None:
    moved = ModelMoved(model="bob/forest", ref="production", version=2, token="t")
    peer.models.move(moved, peer.report)
    assert not peer.models.waiting
    assert peer.models.in_use().models == (("ann/forest", "production", 1),)


def test_an_alias_that_moves_back_drops_what_was_loaded(peer: Peer) -> None:
    peer.move(2)
    peer.move(1)
    assert [(one.version, one.error) for one in peer.told] == [(1, "")]
    peer.swap()
    assert peer.slot.served().value == "forest 1"


def test_two_names_of_one_alias_change_together(peer: Peer) -> None:
    load = Loader()
    twin = ModelSlot("production", load(1, ""), load, exclusive=False)
    peer.models.add(twin)
    peer.move(2)
    while not peer.ready:
        peer.awake.clear()
        assert peer.awake.wait(10)
    peer.swap()
    assert (peer.slot.served().version, twin.served().version) == (2, 2)
    assert [one.version for one in peer.told] == [2]
