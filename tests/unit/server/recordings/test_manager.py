"""Calls are written, flagged, read as a data set, deleted and expired; on a real store."""

import asyncio
import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from easymlnb.contract.errors import CallNotFound, EasyMLNBError, Forbidden, TooManyFlags
from easymlnb.contract.spec import Record, ServiceSpec
from easymlnb.contract.worker_protocol import Result
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.identity.access import Caller
from easymlnb_server.recordings import dataset, manager
from easymlnb_server.recordings.keeper import Keeper
from easymlnb_server.recordings.manager import Flagger, Recordings
from easymlnb_server.recordings.models import FlagRequest
from easymlnb_server.recordings.rules import VISITOR_FLAGS_PER_HOUR
from easymlnb_server.store import Store
from support.fakes import until

ANN = Flagger("user ann", visitor=False)
VISITOR = Flagger("pass v1", visitor=True)


class World:
    def __init__(self, folder: Path, record: Record | None = None) -> None:
        self.store = Store.open("", folder)
        schema = {"type": "object", "properties": {"x": {}, "file": {}}}
        self.spec = ServiceSpec(name="f", title="F", input=schema, output={}, record=record)
        services: Any = SimpleNamespace(find=lambda name: SimpleNamespace(spec=self.spec))
        self.keeper = Keeper(lambda: 0.5)
        self.recordings = Recordings(self.keeper, services, lambda: self.store)

    def call(self, number: int = 0, body: bytes = b'{"x": 1}', **changes: Any) -> None:
        given: dict[str, Any] = {
            "service": "f", "body": body, "content_type": "application/json",
            "caller": Caller("ann"), "owner": "user ann", "request_id": f"request-{number}",
            "received": 0.0, "began": 0.0, "view": True,
        }  # fmt: skip
        request = CallRequest(**{**given, **changes})
        target: Any = SimpleNamespace(spec=self.spec, version="3")
        message = Result(id=1, content_type="application/json", seconds=0.5)
        self.keeper.offer(request, target, CallResult(result=message, body=b'"two"'))

    async def flag(self, by: Flagger = ANN, **given: Any) -> Any:
        request = msgspec.convert({"reason": "wrong", **given}, FlagRequest)
        return await self.recordings.flag(self.spec, "3", by, request)

    def files(self) -> int:
        return len(self.store.files.names())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, Record(share=1.0, keep="1h", max=3))
    yield made
    made.store.close()


async def test_calls_are_written_in_the_background_and_trimmed(world: World) -> None:
    running = asyncio.create_task(world.recordings.run())
    for number in range(5):
        world.call(number)
    await until(lambda: world.store.recordings.count("f", "recorded") == 5)
    running.cancel()
    assert await asyncio.to_thread(world.recordings.sweep) == 2
    rows, total = await world.recordings.page("f", "", 0, 10)
    assert (total, world.files()) == (3, 3)
    row = rows[0]
    assert (row.version, row.status, row.seconds, row.preview) == ("3", 200, 0.5, "x=1")
    assert row.expires == pytest.approx(row.time + 3600)
    assert world.recordings.content(row).result == b'"two"'


async def test_a_flag_by_id_keeps_what_the_server_saw(world: World) -> None:
    world.call(1)
    row = await world.flag(request_id="request-1")
    assert (row.kind, row.reason, row.source, row.expires) == ("flagged", "wrong", "server", None)
    again = await world.flag(request_id="request-1", reason="still")
    assert again.id == row.id
    assert world.store.recordings.count("f", "flagged") == 1
    with pytest.raises(CallNotFound):
        await world.flag(Flagger("user bob", visitor=False), request_id="request-1")


async def test_a_flag_with_inputs_is_marked(world: World) -> None:
    row = await world.flag(input={"x": 5}, result=[1], version="live")
    assert (row.source, row.version) == ("caller", "live")
    assert json.loads(world.recordings.content(row).input) == {"x": 5}
    with pytest.raises(CallNotFound):
        await world.flag(request_id="unknown-request")


async def test_limits_of_flags(world: World) -> None:
    for number in range(3):
        await world.flag(input={"x": number})
    with pytest.raises(TooManyFlags, match="at most 3"):
        await world.flag(input={"x": 9})


@pytest.mark.parametrize(
    ("record", "by", "error"),
    [
        (None, VISITOR, Forbidden),
        (Record(flags=False), ANN, Forbidden),
        (Record(visitors=True), VISITOR, CallNotFound),
    ],
)
async def test_who_may_flag(
    tmp_path: Path, record: Record | None, by: Flagger, error: type[EasyMLNBError]
) -> None:
    world = World(tmp_path, record)
    with pytest.raises(error):
        await world.flag(by, input={"x": 1})
    world.store.close()


async def test_visitors_flag_their_own_calls_under_a_limit(tmp_path: Path) -> None:
    world = World(tmp_path, Record(visitors=True))
    for number in range(VISITOR_FLAGS_PER_HOUR):
        world.call(number, caller=None, owner="pass v1")
        row = await world.flag(VISITOR, request_id=f"request-{number}")
        assert row.caller.startswith("visitor ")
        assert "v1" not in row.caller
    with pytest.raises(TooManyFlags) as caught:
        await world.flag(VISITOR, request_id="request-0")
    assert caught.value.details["retry_after"] > 3000
    world.store.close()


async def test_deletion_is_complete(world: World) -> None:
    world.call(1)
    world.call(2, owner="user bob")
    batch = await world.keeper.next_batch(10)
    await asyncio.to_thread(world.recordings._write, batch, manager.RECORDED)
    world.call(3)
    assert await world.recordings.remove("f", caller="user ann") == 1
    assert (world.files(), len(world.keeper._queue)) == (1, 0)
    (row,), _ = await world.recordings.page("f", "", 0, 10)
    assert row.caller == "user bob"
    assert await world.recordings.remove("f", id=row.id) == 1
    assert world.files() == 0


async def test_data_sets(world: World) -> None:
    await world.flag(input={"x": "=1+1", "file": {"b64": "QUJD", "name": "../a b.txt"}}, result=2)
    rows, _ = await world.recordings.page("f", "flagged", 0, 10)

    def write(kind: str) -> bytes:
        with dataset.write(kind, rows, world.recordings.content, world.spec) as file:
            return file.read()

    (line,) = map(json.loads, write("jsonl").splitlines())
    assert line["input"]["file"]["b64"] == "QUJD"
    assert (line["caller"], line["reason"], line["result"]) == ("ann", "wrong", 2)
    (cells,) = csv.DictReader(io.StringIO(write("csv").decode()))
    assert cells["input.x"] == "'=1+1"
    assert "QUJD" not in cells["input.file"]
    with zipfile.ZipFile(io.BytesIO(write("zip"))) as archive:
        (path,) = [name for name in archive.namelist() if name.startswith("files/")]
        assert path == f"files/{rows[0].id}/1-.._a_b.txt"
        assert archive.read(path) == b"ABC"
        inside = json.loads(archive.read("calls.jsonl"))
        assert inside["input"]["file"]["file"] == path
        assert path in archive.read("calls.csv").decode()
