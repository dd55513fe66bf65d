"""What is kept as calls end: sampled ones in a bounded queue, views in a memory for flags."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from easymlnb.contract.errors import CallCancelled, CallFailed, EasyMLNBError
from easymlnb.contract.spec import Record
from easymlnb.contract.worker_protocol import Result
from easymlnb_server.calls import models
from easymlnb_server.calls.models import CallRequest, StreamedItems
from easymlnb_server.dispatch.bodies import FileBody
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.identity.access import Caller
from easymlnb_server.recordings import keeper as module
from easymlnb_server.recordings.inputs import result_of
from easymlnb_server.recordings.keeper import Keeper
from easymlnb_server.uploads.spool import Spool
from support.fakes import spec

JSON = "application/json"


def request(number: int = 0, **changes: Any) -> CallRequest:
    given: dict[str, Any] = {
        "service": "f", "body": b'{"x": 1}', "content_type": JSON, "caller": Caller("ann"),
        "owner": "user ann", "request_id": f"request-{number}", "received": 0.0, "began": 0.0,
    }  # fmt: skip
    return CallRequest(**{**given, **changes})


def result(body: Any = b"2", error: EasyMLNBError | None = None) -> CallResult:
    if error is not None:
        return CallResult(error=error)
    return CallResult(result=Result(id=1, content_type=JSON, seconds=0.5), body=body)


def target(record: Record | None) -> Any:
    return SimpleNamespace(spec=spec(record=record), version="3")


def offer(keeper: Keeper, record: Record | None, **changes: Any) -> int:
    error = changes.pop("error", None)
    keeper.offer(request(**changes), target(record), result(error=error))
    return len(keeper._queue)


ALL = Record(share=1.0)


@pytest.mark.parametrize(
    ("record", "changes", "kept"),
    [
        (None, {}, 0),
        (Record(), {}, 0),
        (ALL, {}, 1),
        (ALL, {"keep": False}, 0),
        (ALL, {"caller": None}, 0),
        (Record(share=1.0, visitors=True), {"caller": None}, 1),
        (ALL, {"error": CallFailed()}, 1),
        (ALL, {"error": CallCancelled()}, 0),
        (Record(share=0.4), {}, 0),
        (Record(share=0.6), {}, 1),
    ],
)
async def test_what_is_sampled(record: Record | None, changes: dict[str, Any], kept: int) -> None:
    assert offer(Keeper(lambda: 0.5), record, **changes) == kept


@pytest.mark.parametrize(
    ("record", "changes", "kept"),
    [
        (None, {"view": True}, 1),
        (None, {"view": False}, 0),
        (None, {"view": True, "caller": None}, 0),
        (Record(flags=False), {"view": True}, 0),
        (Record(visitors=True), {"view": True, "caller": None}, 1),
    ],
)
async def test_what_can_be_flagged(
    record: Record | None, changes: dict[str, Any], kept: int
) -> None:
    keeper = Keeper()
    offer(keeper, record, **changes)
    assert len(keeper.recent) == kept


async def test_full_queue_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED", 2)
    keeper = Keeper()
    for number in range(5):
        offer(keeper, ALL, number=number)
    assert keeper.dropped["f"] == {"queue_full": 3}
    batch = await keeper.next_batch(10)
    assert [held.request_id for held in batch] == ["request-0", "request-1"]
    assert keeper._bytes == 0
    monkeypatch.setattr(module, "MAX_CALL", 3)
    offer(keeper, ALL)
    assert keeper.dropped["f"]["too_large"] == 1


async def test_content_of_files_outlives_the_call(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 2**20, memory=None)
    spool.open()
    body, upload, answer = (spool.create() for _ in range(3))
    for file, content in ((body, b"body"), (upload, b"upload"), (answer, b"answer")):
        file.write(content)
    keeper = Keeper()
    large = FileBody(file=body, uploads=(("id", upload),))
    keeper.offer(request(body=large, view=True), target(None), result(answer))
    for file in (body, upload, answer):
        file.close()
    held = keeper.recent.take("f", "request-0", "user ann")
    assert held is not None
    stored = held.read()
    assert (stored.input, stored.uploads, stored.result) == (
        b"body",
        (("id", b"upload"),),
        b"answer",
    )
    held.close()
    spool.close()


async def test_recent_calls_are_bounded_private_and_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_RECENT", 3)
    keeper, now = Keeper(), [0.0]
    keeper.recent._clock = lambda: now[0]
    for number in range(5):
        offer(keeper, None, number=number, view=True)
    assert len(keeper.recent) == 3
    assert keeper.recent.take("f", "request-4", "user bob") is None
    assert keeper.recent.take("f", "request-4", "user ann") is not None
    now[0] = module.RECENT_SECONDS + 1
    assert keeper.recent.take("f", "request-3", "user ann") is None
    offer(keeper, ALL, view=True)
    keeper.forget("f", "user bob")
    assert (len(keeper.recent), len(keeper._queue)) == (1, 1)
    keeper.forget("f", "user ann")
    assert (len(keeper.recent), len(keeper._queue), keeper._bytes) == (0, 0, 0)


def streamed(*items: bytes) -> StreamedItems:
    found = StreamedItems()
    for item in items:
        found.add(item)
    return found


@pytest.mark.parametrize(("view", "second"), [(False, {"parts": []}), (True, [])])
async def test_a_stream_is_kept_as_the_list_of_its_items(view: bool, second: Any) -> None:
    keeper, items = Keeper(), streamed(b"1", b'{"parts":[]}')
    keeper.offer(request(view=view), target(ALL), result(b""), items)
    (held,) = await keeper.next_batch(10)
    assert (result_of(held.read()), keeper._bytes) == ([1, second], 0)
    # Also what came before an error.
    keeper.offer(request(1), target(ALL), result(error=CallFailed()), streamed(b"1"))
    (held,) = await keeper.next_batch(10)
    assert (held.code, result_of(held.read())) == ("call_failed", [1])


async def test_too_large_a_stream_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MAX_STREAM", 200)
    items = streamed(*[b"1"] * 5)
    keeper = Keeper()
    keeper.offer(request(view=True), target(ALL), result(b""), items)
    assert (len(keeper._queue), len(keeper.recent), items.too_large) == (0, 0, True)
    assert keeper.dropped["f"] == {"too_large": 1}
