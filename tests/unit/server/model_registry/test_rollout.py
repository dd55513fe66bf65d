"""Workers follow an alias one after the other; tokens and names of MLflow."""

import asyncio
from typing import Any

import pytest

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.model_names import split_reference
from easymlnb.contract.model_protocol import ModelLoaded, ModelMoved
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.model_registry import mlflow_names, rules
from easymlnb_server.model_registry.rollout import Rollout
from easymlnb_server.model_registry.tokens import ModelTokens, WorkerIdentity


class Link:
    """A worker's link that keeps what is sent."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.sent: list[ModelMoved] = []

    @property
    def lost(self) -> bool:
        return self.closed.is_set()

    def send(self, message: ModelMoved) -> None:
        self.sent.append(message)


def subscribed(rollout: Rollout, *refs: str) -> Any:
    link: Any = Link()
    rollout.subscribe(link, lambda: ("predict",), "t", tuple(("forest", ref, 1) for ref in refs))
    return link


def loaded(rollout: Rollout, link: WorkerLink, version: int, error: str = "") -> None:
    message = ModelLoaded(model="forest", ref="production", version=version, error=error)
    rollout.report(link, message)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_workers_load_one_after_the_other() -> None:
    rollout = Rollout()
    first, second = subscribed(rollout, "production"), subscribed(rollout, "production", "1")
    assert rollout.follows("forest") and not rollout.follows("other")
    rollout.move("forest", {"production": 2})
    await settled()
    assert [len(first.sent), len(second.sent)] == [1, 0]
    loaded(rollout, first, 2)
    await settled()
    assert [(one.ref, one.version) for one in second.sent] == [("production", 2)]
    loaded(rollout, second, 2, "no memory")
    await settled()
    serving = [served for _, served in rollout.serving("forest")]
    assert [(one.ref, one.version, one.error) for one in serving] == [
        ("production", 2, ""), ("production", 1, "no memory"), ("1", 1, ""),
    ]  # fmt: skip
    # It is not tried again until the alias moves.
    assert len(second.sent) == 1
    rollout.move("forest", {"production": 3})
    await settled()
    assert first.sent[-1].version == 3
    await rollout.close()


async def test_a_lost_worker_holds_up_no_other_and_a_new_move_replaces_the_last() -> None:
    rollout = Rollout()
    first, second = subscribed(rollout, "production"), subscribed(rollout, "production")
    rollout.move("forest", {"production": 2})
    await settled()
    first.closed.set()
    await settled()
    assert second.sent[-1].version == 2
    rollout.move("forest", {"production": 3})
    await settled()
    assert second.sent[-1].version == 3
    loaded(rollout, second, 2)
    loaded(rollout, second, 3)
    await settled()
    assert [served.version for _, served in rollout.serving("forest")] == [3]
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
