"""Workers follow an alias one after the other; tokens and names of MLflow."""

import asyncio
from collections.abc import Callable

import pytest

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.model_names import split_reference
from easymlnb.contract.model_protocol import ModelLoaded, ModelMoved, ModelReady, ModelSwap
from easymlnb.contract.worker_protocol import Call
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.model_registry import mlflow_names, rules
from easymlnb_server.model_registry.rollout import Rollout
from easymlnb_server.model_registry.tokens import ModelTokens, WorkerIdentity
from support.fakes import FakeLink, spec


class Link(FakeLink):
    """A worker's link; ``moves`` and ``swaps`` are the versions that were sent."""

    @property
    def moves(self) -> list[int]:
        return [one.version for one in self.sent if isinstance(one, ModelMoved)]

    @property
    def swaps(self) -> list[int]:
        return [one.version for one in self.sent if isinstance(one, ModelSwap)]


def subscribed(rollout: Rollout, *refs: str) -> Link:
    link = Link()
    rollout.subscribe(link, lambda: ("predict",), "t", tuple(("forest", ref, 1) for ref in refs))
    return link


async def ready(rollout: Rollout, link: Link, version: int, *, exclusive: bool = False) -> None:
    rollout.ready(
        link,
        ModelReady(model="forest", ref="production", version=version, exclusive=exclusive),
    )
    await settled()


async def loaded(rollout: Rollout, link: Link, version: int, error: str = "") -> None:
    message = ModelLoaded(model="forest", ref="production", version=version, error=error)
    rollout.report(link, message)
    await settled()


async def until(done: Callable[[], bool]) -> None:
    """Wait for what takes longer than a few turns of the loop."""
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 - nothing reports it
            await asyncio.sleep(0.01)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_workers_load_one_after_the_other() -> None:
    rollout = Rollout()
    first, second = subscribed(rollout, "production"), subscribed(rollout, "production", "1")
    assert rollout.follows("forest") and not rollout.follows("other")
    rollout.move("forest", {"production": 2})
    await settled()
    assert (first.moves, second.moves) == ([2], [])
    await ready(rollout, first, 2)
    assert (first.swaps, second.moves) == ([2], [])
    await loaded(rollout, first, 2)
    assert second.moves == [2]
    await loaded(rollout, second, 2, "no memory")
    assert second.swaps == []
    serving = [served for _, served in rollout.serving("forest")]
    assert [(one.ref, one.version, one.error) for one in serving] == [
        ("production", 2, ""), ("production", 1, "no memory"), ("1", 1, ""),
    ]  # fmt: skip
    # It is not tried again until the alias moves.
    assert second.moves == [2]
    rollout.move("forest", {"production": 3})
    await settled()
    assert first.moves == [2, 3]
    await rollout.close()


async def test_a_lost_worker_holds_up_no_other_and_a_new_move_replaces_the_last() -> None:
    rollout = Rollout()
    first, second = subscribed(rollout, "production"), subscribed(rollout, "production")
    rollout.move("forest", {"production": 2})
    await settled()
    first.close()
    await settled()
    assert second.moves == [2]
    rollout.move("forest", {"production": 3})
    await settled()
    assert second.moves == [2, 3]
    await ready(rollout, second, 2)
    assert second.swaps == []
    await ready(rollout, second, 3)
    await loaded(rollout, second, 3)
    assert [served.version for _, served in rollout.serving("forest")] == [3]
    await rollout.close()


@pytest.mark.parametrize("exclusive", [False, True])
async def test_no_call_waits_in_a_worker_that_replaces_a_model(exclusive: bool) -> None:
    """Calls run on the old version while the new one is loaded, and on other workers during the
    swap."""
    rollout, dispatcher = Rollout(), Dispatcher(10)
    first, second = subscribed(rollout, "production"), subscribed(rollout, "production")
    for link in (first, second):
        dispatcher.join(link, 1, 4)
    beside = dispatcher.submit(Call(id=0, service="g"), b"", spec=spec("g", concurrency=4))
    assert first.calls == [beside.call.id]
    rollout.move("forest", {"production": 2})
    await settled()
    old = dispatcher.submit(Call(id=0, service="f"), b"")
    assert first.calls[-1] == old.call.id
    await ready(rollout, first, 2, exclusive=exclusive)
    assert first.swaps == []
    new = [dispatcher.submit(Call(id=0, service="f"), b"") for _ in range(2)]
    assert second.calls == [new[0].call.id]
    first.answer(old.call.id)
    await settled()
    assert first.swaps == ([] if exclusive else [2]), "async calls need no main thread"
    first.answer(beside.call.id)
    await settled()
    assert (first.swaps, first.calls) == ([2], [beside.call.id, old.call.id])
    await loaded(rollout, first, 2)
    assert first.calls[-1] == new[1].call.id
    assert second.moves == [2]
    await rollout.close()


async def test_a_busy_worker_swaps_after_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("easymlnb_server.model_registry.rollout.IDLE_SECONDS", 0.01)
    rollout, dispatcher = Rollout(), Dispatcher(10)
    first, second = subscribed(rollout, "production"), subscribed(rollout, "production")
    for link in (first, second):
        dispatcher.join(link, 1)
    running = dispatcher.submit(Call(id=0, service="f"), b"")
    rollout.move("forest", {"production": 2})
    await settled()
    await ready(rollout, first, 2)
    await until(lambda: bool(second.moves))
    await ready(rollout, second, 2)
    await loaded(rollout, second, 2)
    first.answer(running.call.id)
    await until(lambda: bool(first.swaps))
    assert first.moves == [2], "it is loaded once"
    await loaded(rollout, first, 2)
    assert [served.version for _, served in rollout.serving("forest")] == [2, 2]
    await rollout.close()


async def test_the_only_worker_gets_calls_between_two_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rollout, dispatcher = Rollout(), Dispatcher(10)
    link = subscribed(rollout, "production")
    dispatcher.join(link, 1)
    running = dispatcher.submit(Call(id=0, service="f"), b"")
    monkeypatch.setattr("easymlnb_server.model_registry.rollout.IDLE_SECONDS", 0.05)
    rollout.move("forest", {"production": 2})
    await settled()
    await ready(rollout, link, 2)
    assert link.pauses == 1
    ((_, served),) = rollout.serving("forest")
    await until(lambda: served.postponed == 1)
    await settled()
    assert link.pauses == 0
    link.answer(running.call.id)
    await until(lambda: bool(link.swaps))
    await loaded(rollout, link, 2)
    await rollout.close()


def test_tokens_are_valid_for_their_worker_and_server_only() -> None:
    tokens, worker = ModelTokens("secret"), WorkerIdentity("group:ml", "ann", "b1")
    text = tokens.make(worker)
    assert tokens.find(text) == worker
    head, _, tail = text.partition(".")
    for wrong in ("", "x", f"{head}.", f".{tail}", text[:-2] + "AA", text + "é", f"{head}x.{tail}"):
        assert tokens.find(wrong) is None
    assert ModelTokens("other").find(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("forest", ("forest", "latest")),
        ("forest@production", ("forest", "production")),
        ("alice/forest@3", ("alice/forest", "3")),
        ("models:/forest@production", ("forest", "production")),
        ("models:/forest/3", ("forest", "3")),
        ("models:/alice/forest", ("alice/forest", "latest")),
        ("bob@example.org/forest@best", ("bob@example.org/forest", "best")),
        ("bob@example.org/forest", ("bob@example.org/forest", "latest")),
    ],
)
def test_references(text: str, expected: tuple[str, str]) -> None:
    assert split_reference(text) == expected


@pytest.mark.parametrize("text", ["forest@", "forest@0", "forest@a b", "forest@3 "])
def test_bad_references_are_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="Invalid version"):
        split_reference(text)


def test_filters_of_mlflow() -> None:
    names = ["forest", "alice.forest", "net"]

    def found(text: str) -> list[str]:
        return [name for name in names if mlflow_names.name_filter(text)(name)]

    assert found("") == found("tag.`mlflow.prompt.is_prompt` != 'true'") == names
    assert found("name='forest' AND tag.`mlflow.prompt.is_prompt` != 'true'") == ["forest"]
    assert found("name LIKE '%forest'") == ["forest", "alice.forest"]
    assert found("name ILIKE 'NE_'") == ["net"]
    for wrong in ("run_id = 'x'", "name > 'x'", "tags.a = 'b'", "name = x"):
        with pytest.raises(BadRequest, match="Unsupported filter"):
            found(wrong)
    files = [("MLmodel", 3), ("data/a", 1), ("data/b/c", 2)]
    assert [one["path"] for one in mlflow_names.listing(files, "")] == ["MLmodel", "data"]
    assert mlflow_names.listing(files, "data") == [
        {"path": "a", "is_dir": False, "file_size": 1},
        {"path": "b", "is_dir": True},
    ]


def test_values_of_versions_are_put_side_by_side() -> None:
    rows = rules.rows_of([{"a": 1, "b": [1]}, {"a": 1, "b": [2], "c": None}])
    assert [(row.name, row.values, row.same) for row in rows] == [
        ("b", [[1], [2]], False), ("a", [1, 1], True), ("c", [None, None], True),
    ]  # fmt: skip
