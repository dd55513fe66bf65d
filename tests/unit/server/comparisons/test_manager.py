"""Comparisons are accepted, run item by item, survive a restart, and end in a clear state."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from easymlnb.contract.errors import (
    BadRequest,
    ComparisonNotFound,
    ComparisonRunning,
    Draining,
    EasyMLNBError,
    IncompatibleVersions,
    VersionNotFound,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.comparisons.calling import Inputs, VersionAnswer
from easymlnb_server.comparisons.handlers import full
from easymlnb_server.comparisons.manager import MAX_UNFINISHED, Comparisons
from easymlnb_server.comparisons.models import AnswerSummary, ComparisonRequest
from easymlnb_server.comparisons.tables import read
from easymlnb_server.dispatch.bodies import FileBody
from easymlnb_server.identity.access import PRIVATE
from easymlnb_server.recordings.models import StoredCall
from easymlnb_server.store import Store
from easymlnb_server.store.recordings import RecordRow
from easymlnb_server.store.records import Version
from easymlnb_server.uploads.spool import Spool
from support.fakes import until

PROPERTIES = {"x": {"type": "number"}, "name": {"type": "string"}}


def spec(**more: Any) -> ServiceSpec:
    given: dict[str, Any] = {
        "input": {"type": "object", "properties": PROPERTIES},
        "examples": tuple({"x": float(n)} for n in range(6)),
    }
    return ServiceSpec(name="f", title="F", output={}, **{**given, **more})


class Model:
    """Answers in a service's stead: version 3 doubles, version 4 is off for x = 2."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, float]] = []
        self.stop_at = 10**9

    async def call(self, service: str, owner: str, version: int, inputs: Inputs) -> VersionAnswer:
        if len(self.calls) >= self.stop_at:
            raise Draining
        body = inputs.body.data if isinstance(inputs.body, FileBody) else inputs.body
        x = msgspec.json.decode(body)["x"]
        self.calls.append((version, x))
        await asyncio.sleep(0)
        if x == 5 and version == 4:
            return VersionAnswer(
                AnswerSummary(status=500, code="call_failed", message="It failed.")
            )
        value = {"y": 2 * x + (version == 4 and x == 2), "label": "cat" if x < 3 else "dog"}
        if version == 4 and x == 3:
            value["label"] = "cat"
        return VersionAnswer(AnswerSummary(status=200, seconds=0.1 * version), value)


class World:
    def __init__(self, folder: Path) -> None:
        self.store = Store.open("", folder)
        self.spool = Spool(folder / "spool", 2**20, memory=None)
        self.spool.open()
        self.model: Any = Model()
        self.specs = {3: spec(), 4: spec()}
        self.comparisons = self.restart()

    def restart(self) -> Comparisons:
        async def versions(name: str) -> list[Version]:
            return [
                Version("f", number, "b", one, 0.0, number == 4, "ann", PRIVATE)
                for number, one in self.specs.items()
            ]

        self.comparisons = Comparisons(self.model, lambda: self.store, self.spool, versions)
        return self.comparisons

    async def create(self, upload: Any = None, **given: Any) -> Any:
        request = msgspec.convert({"versions": [3, 4], **given}, ComparisonRequest)
        return await self.comparisons.create("f", request, "ann", upload)

    async def run(self, id: str) -> Any:
        """Run until a comparison has ended, and return it."""
        running = asyncio.create_task(self.comparisons.run())
        self.comparisons.start()
        try:
            await self.comparisons.wait(id, 20)
        finally:
            running.cancel()
        return full(await self.comparisons.get(id), await self.comparisons.items(id))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()
    made.spool.close()


async def test_examples_are_compared(world: World) -> None:
    row = await world.create()
    found = await world.run(row.id)
    assert (found.state, found.done, found.total) == ("succeeded", 6, 6)
    assert found.summary.outcomes == {"equal": 3, "different": 2, "failed": 1}
    assert [(flip.before, flip.after) for flip in found.summary.flips] == [("dog", "cat")]
    assert found.summary.largest == 1
    before, after = found.summary.latency
    assert (before.version, before.calls, before.errors) == (3, 6, 0)
    assert (before.p50, after.p95) == (pytest.approx(0.3), pytest.approx(0.4))
    assert after.errors == 1
    assert found.summary.errors == {"call_failed": [0, 1]}
    assert found.items[2].differences[0].path == "y"
    assert found.items[2].inputs == "x=2.0"
    assert found.items[5].note == "Only one version failed."
    # Both versions get to be first.
    assert {world.model.calls[0][0], world.model.calls[1][0]} == {3, 4}


async def test_a_restart_continues_where_the_server_ended(world: World) -> None:
    row = await world.create()
    world.model.stop_at = 8
    running = asyncio.create_task(world.comparisons.run())
    world.comparisons.start()
    with pytest.raises(Draining):
        await running
    stored = await world.comparisons.get(row.id)
    assert stored.state == "running"
    assert len(await world.comparisons.items(row.id)) == 4
    world.model = Model()
    world.restart()
    found = await world.run(row.id)
    assert (found.state, found.done) == ("succeeded", 6)
    assert {x for _, x in world.model.calls} == {4.0, 5.0}


def record(world: World, call: StoredCall, number: int) -> None:
    """Store a call that was flagged."""
    file = world.store.files.put(call.encode())
    row = RecordRow(
        id=call.id, service="f", version="3", kind="flagged", request_id="r", caller="user ann",
        reason="why", source="server", preview="x=2", status=200, code="", seconds=0.1, size=5,
        file=file, time=float(number), expires=None,
    )  # fmt: skip
    world.store.recordings.add([row])


async def test_a_hundred_recorded_calls_give_what_they_gave(world: World) -> None:
    for number in range(100):
        body = b'{"x": %d}' % (10 + number)
        stored = StoredCall(id=f"{number:032d}", input=body, input_type="application/json")
        record(world, stored, number)
    row = await world.create(on="flagged")
    found = await world.run(row.id)
    assert (found.state, found.summary.outcomes) == ("succeeded", {"equal": 100})
    assert len(world.model.calls) == 200


async def test_recorded_calls_run_again_with_their_files(world: World) -> None:
    call = StoredCall(
        id="r" * 32, input=b'{"x": 2}', input_type="application/json", uploads=(("id", b"file"),)
    )
    secret = StoredCall(
        id="s" * 32, input=b'{"x": 1}', input_type="application/json", removed=("key",)
    )
    for number, one in enumerate((call, secret)):
        record(world, one, number)
    row = await world.create(on="flagged")
    found = await world.run(row.id)
    assert [item.outcome for item in found.items] == ["skipped", "different"]
    assert "key" in found.items[0].note
    assert found.items[1].record == call.id
    again = await world.create(on="flagged")
    world.store.recordings.remove("f")
    found = await world.run(again.id)
    assert [item.note for item in found.items] == ["The recorded call was deleted."] * 2


async def test_rows_of_a_table(world: World) -> None:
    file = world.spool.create()
    file.write(b"name;x\na;1.5\n\nb;2\n")
    row = await world.create(file, on={"upload": "id"})
    found = await world.run(row.id)
    assert [(item.inputs, item.outcome) for item in found.items] == [
        ('name="a", x=1.5', "equal"),
        ('name="b", x=2', "different"),
    ]


def test_tables_as_inputs() -> None:
    assert read(b'{"x": 1}\n\n{"x": 2}\n', spec(), 1) == [b'{"x": 1}']
    assert read(b"input.x,other\n1,2\n", spec(), 9) == [b'{"x":1}']
    assert read(b"name,x\n12,3\n", spec(), 9) == [b'{"name":"12","x":3}']
    for broken in (b"", b"\xff\xfe", b"a,b\n1,2\n", b'{"x": 1}\n[2]\n', b'{"x"\n'):
        with pytest.raises(BadRequest):
            read(broken, spec(), 9)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"versions": [3, 9]}, VersionNotFound),
        ({"versions": ["no", 4]}, VersionNotFound),
        ({"versions": [-3, 4]}, VersionNotFound),
        ({"versions": [4, 4]}, BadRequest),
        ({"on": "recorded"}, BadRequest),
        ({"on": "flagged"}, BadRequest),
    ],
)
async def test_refused(world: World, given: dict[str, Any], error: type[EasyMLNBError]) -> None:
    with pytest.raises(error):
        await world.create(**given)
    assert await world.comparisons.newest("f") == []


async def test_incompatible_and_too_many(world: World) -> None:
    for _ in range(MAX_UNFINISHED):
        row = await world.create()
    with pytest.raises(ComparisonRunning):
        await world.create()
    await world.comparisons.remove(row.id)
    with pytest.raises(ComparisonNotFound):
        await world.comparisons.get(row.id)
    world.specs[4] = spec(input={"type": "object", "properties": {}})
    with pytest.raises(IncompatibleVersions, match="'x' was removed"):
        await world.create()
    world.specs[3] = spec(examples=())
    world.specs[4] = spec()
    with pytest.raises(BadRequest, match="no examples"):
        await world.create()


async def test_a_deleted_version_ends_it(world: World) -> None:
    row = await world.create()
    del world.specs[4]
    found = await world.run(row.id)
    assert found.state == "failed"
    assert isinstance(found.error, dict)
    assert found.error["code"] == "version_not_found"


async def test_deletion_stops_it(world: World) -> None:
    row = await world.create()
    running = asyncio.create_task(world.comparisons.run())
    world.comparisons.start()
    await until(lambda: world.model.calls)
    await world.comparisons.remove(row.id)
    await until(lambda: not world.comparisons._running)
    running.cancel()
    assert len(world.model.calls) <= 12
