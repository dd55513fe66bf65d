"""Services as tools: their schemas, and what their results become."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any, Literal

import msgspec
import pytest

import easymlnb as ml
from easymlnb.contract.errors import BadRequest, InvalidInput, StorageFull
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.protocols.mcp.content import INLINE, ContentWriter, failure, uploads_in
from easymlnb_server.protocols.mcp.events import McpEvents
from easymlnb_server.protocols.mcp.models import CURRENT, Revision
from easymlnb_server.protocols.mcp.results import MAX_PER_OWNER, SCHEME, StoredResults
from easymlnb_server.protocols.mcp.tools import Tool, tool_name, upload_commands
from easymlnb_server.uploads.spool import Spool

NOW, OBJECTS, PLAIN = Revision(CURRENT), Revision("2025-11-25"), Revision("2025-03-26")


@dataclass
class Point:
    x: float
    y: float = 0.0


def spec_of(function: Any, **options: Any) -> ServiceSpec:
    made = FunctionType(function.__code__, globals(), function.__name__, function.__defaults__)
    made.__doc__, made.__annotations__ = function.__doc__, function.__annotations__
    made.__module__ = function.__module__
    found: ServiceSpec = ml.service(**options)(made).service.spec
    return found


def add(a: int, b: Annotated[int, ml.Slider(0, 9)] = 2) -> int:
    """Add two numbers."""
    return a + b


def moved(point: Point, way: Literal["up", "down"] = "up") -> Point:
    return point


def lines(file: ml.File) -> int:
    return 0


def anything(x: int):  # type: ignore[no-untyped-def]
    return x


def picture(x: int) -> Annotated[Path, ml.Image()]:
    raise NotImplementedError


@pytest.fixture(autouse=True)
def forget() -> Any:
    from easymlnb.services.definition import SERVICES

    yield
    for name in ("add", "moved", "lines", "anything", "picture", "ticks"):
        SERVICES.pop(name, None)


def test_a_tool_is_its_service_without_hints_for_widgets() -> None:
    tool = Tool.of(spec_of(add))
    found = tool.definition(NOW)
    assert (found["name"], found["title"], found["description"]) == (
        "add", "Add", "Add two numbers.",
    )  # fmt: skip
    assert found["inputSchema"]["type"] == "object"
    assert found["inputSchema"]["required"] == ["a"]
    assert "x-easymlnb" not in json.dumps(found)
    assert found["annotations"]["idempotentHint"] is False
    assert found["outputSchema"]["type"] == "integer"
    assert not tool.view


def test_older_clients_get_objects_or_no_schema() -> None:
    tool = Tool.of(spec_of(add))
    assert "outputSchema" not in tool.definition(PLAIN)
    wrapped = tool.definition(OBJECTS)["outputSchema"]
    assert (wrapped["type"], wrapped["required"]) == ("object", ["result"])
    tool = Tool.of(spec_of(moved))
    schema = tool.definition(OBJECTS)["outputSchema"]
    assert schema["type"] == "object"
    assert "result" not in schema.get("properties", {})


def test_files_can_be_uploads() -> None:
    tool = Tool.of(spec_of(lines))
    assert tool.takes_files
    branches = tool.definition(NOW)["inputSchema"]["properties"]["file"]["anyOf"]
    assert branches[0]["type"] == "string"
    assert branches[-1]["required"] == ["upload"]
    assert not Tool.of(spec_of(add)).takes_files


def test_results_to_look_at_are_asked_for_as_views() -> None:
    assert Tool.of(spec_of(picture)).view
    untyped = Tool.of(spec_of(anything))
    assert untyped.view
    assert "outputSchema" not in untyped.definition(NOW)


def test_long_calls_have_a_tool_that_starts_a_job() -> None:
    assert not Tool.of(spec_of(add)).runs_as_job
    assert Tool.of(spec_of(add, timeout=61)).runs_as_job
    tool = Tool.of(spec_of(add, timeout=5, on_timeout="job"))
    assert tool.runs_as_job
    assert "outputSchema" not in tool.definition(NOW)  # the call may end as a job
    assert tool.start_definition()["name"] == "add_start"


def test_names_of_tools() -> None:
    assert tool_name("segment") == "segment"
    assert tool_name("alice/segment") == "alice.segment"
    assert tool_name("bob@example.org/segment") == "bob_40_example.org.segment"
    long = tool_name(f"{'x' * 250}/segment")
    assert len(long) == 128 and long != tool_name(f"{'x' * 251}/segment")


# results


@pytest.fixture
def results(tmp_path: Path) -> Any:
    spool = Spool(tmp_path, 2**30, None)
    spool.open()
    yield StoredResults(spool)
    spool.close()


def writer(results: StoredResults, revision: Revision = NOW, **options: Any) -> ContentWriter:
    def store(data: bytes, media_type: str, name: str) -> Any:
        return results.add("me", "service", data, media_type, name, visitor=False)

    return ContentWriter(revision, store, **options)


def as_json(result: dict[str, Any]) -> Any:
    return json.loads(msgspec.json.encode(result))


def test_a_result_is_text_and_structured(results: StoredResults) -> None:
    found = as_json(writer(results).result(b"[1,2]", view=False))
    assert found == {"content": [{"type": "text", "text": "[1,2]"}], "structuredContent": [1, 2]}
    found = as_json(writer(results, OBJECTS).result(b"[1,2]", view=False))
    assert found["structuredContent"] == {"result": [1, 2]}
    found = as_json(writer(results, OBJECTS).result(b'{"a":1}', view=False))
    assert found["structuredContent"] == {"a": 1}
    found = as_json(writer(results, OBJECTS, wrap=True).result(b'{"a":1}', view=False))
    assert found["structuredContent"] == {"result": {"a": 1}}
    assert "structuredContent" not in writer(results, PLAIN).result(b"1", view=False)


def view(result: Any, *parts: dict[str, Any]) -> bytes:
    return json.dumps({"parts": parts, "result": result}).encode()


def part(kind: str, data: Any, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "title": "", "data": data, **more}


def test_pictures_and_sound_are_shown(results: StoredResults) -> None:
    encoded = base64.b64encode(b"picture").decode()
    body = view(
        f"data:image/png;base64,{encoded}",
        part("image", encoded, media_type="image/png"),
        part("audio", encoded, media_type="audio/wav"),
        part("file", encoded, media_type="image/tiff", name="exact image.tif"),
        part("number", 3),
    )
    text, *shown = as_json(writer(results).result(body, view=True))["content"]
    assert text["text"] == f'"data:image/png;base64,{encoded}"'
    assert shown == [
        {"type": "image", "data": encoded, "mimeType": "image/png"},
        {"type": "audio", "data": encoded, "mimeType": "audio/wav"},
        {
            "type": "resource",
            "resource": {
                "uri": "easymlnb://files/exact%20image.tif",
                "mimeType": "image/tiff",
                "blob": encoded,
            },
        },
    ]


def test_large_files_are_links_for_their_owner(results: StoredResults) -> None:
    data = b"x" * (INLINE + 1)
    encoded = base64.b64encode(data).decode()
    body = view(
        {"mask": f"data:image/png;base64,{encoded}", "raw": {"b64": encoded, "name": "a.bin"}},
        part("image", encoded, media_type="image/png", name="mask.png"),
    )
    found = as_json(writer(results).result(body, view=True))
    assert len(json.dumps(found)) < 2000
    link = found["content"][1]
    assert (link["type"], link["name"], link["size"]) == ("resource_link", "mask.png", len(data))
    for uri in (link["uri"], *found["structuredContent"].values()):
        assert uri.startswith(SCHEME)
        stored = results.find(uri, "me")
        assert stored is not None and stored.file.read() == data
        assert results.find(uri, "somebody else") is None
    words = writer(results, PLAIN).result(body, view=True)["content"][1]
    assert words["type"] == "text" and SCHEME in words["text"]


def test_long_json_is_a_link_too(results: StoredResults) -> None:
    body = b"[" + b",".join([b"1"] * INLINE) + b"]"
    found = writer(results).result(body, view=False)
    assert [one["type"] for one in found["content"]] == ["text", "resource_link"]
    assert bytes(found["structuredContent"]) == body
    stored = results.find(found["content"][1]["uri"], "me")
    assert stored is not None and stored.content()["text"] == body.decode()


def test_the_view_of_the_author_is_text(results: StoredResults) -> None:
    body = view(
        1,
        part("number", 42, title="cells"),
        part("markdown", "**so**"),
        part("table", {"columns": ["a", "b"], "rows": [[1, "x,y"]], "total": 5}),
        part("plotly", {"data": []}),
    )
    found = writer(results, own_view=True).result(body, view=True)["content"]
    assert [one["text"] for one in found] == [
        "1", "cells: 42", "**so**", 'a,b\n1,"x,y"\n(4 more rows)\n',
    ]  # fmt: skip


def test_results_expire_and_are_limited(tmp_path: Path) -> None:
    spool, now = Spool(tmp_path, 2**30, None), [0.0]
    spool.open()
    results = StoredResults(spool, lambda: now[0])
    try:
        kept = [
            results.add("me", "s", b"x", "", "x", visitor=False) for _ in range(MAX_PER_OWNER + 2)
        ]
        other = results.add("other", "s", b"y", "", "y", visitor=False)
        assert results.of("me") == kept[2:]
        assert results.of("other") == [other]
        now[0] = 3601.0
        assert results.find(other.uri, "other") is None
    finally:
        spool.close()


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10, None)
    spool.open()
    try:
        with pytest.raises(StorageFull):
            StoredResults(spool).add("me", "s", b"x" * 11, "", "x", visitor=False)
    finally:
        spool.close()


def test_failures_name_all_that_is_wrong() -> None:
    wrong = [{"field": f"f{number}", "message": "It is wrong."} for number in range(5)]
    found = failure(InvalidInput(wrong))
    assert found["isError"] is True
    assert found["content"][0]["text"].count("It is wrong.") == 5
    assert found["_meta"]["easymlnb/error"]["code"] == "invalid_input"


def test_uploads_in_arguments() -> None:
    found = uploads_in(b'{"a": {"upload": "x", "name": "n"}, "b": [{"upload": "y"}], "upload": 3}')
    assert sorted(found) == ["x", "y"]
    assert uploads_in(b'{"a": 1}') == []
    with pytest.raises(BadRequest):
        uploads_in(b'{"upload"')


def test_commands_that_upload() -> None:
    found = upload_commands("http://host/uploads/ID", "it's.csv", 100)
    assert found.startswith("""f='it'"'"'s.csv';""")
    assert "http://host/uploads/ID?offset=$at" in found


# progress


class Out:
    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.sent = b""

    def set_header(self, name: str, value: str) -> None:
        self.headers[name] = value

    def write(self, chunk: bytes) -> None:
        self.sent += chunk

    def flush(self) -> None:
        pass

    @property
    def progress(self) -> list[dict[str, Any]]:
        lines = [line for line in self.sent.decode().splitlines() if line.startswith("data: ")]
        return [json.loads(line[6:])["params"] for line in lines]


def test_progress_grows_and_repeats_nothing() -> None:
    from easymlnb.contract.worker_protocol import Progress

    out = Out()
    events = McpEvents(out, "token")
    for fraction, words in ((0.1, "a"), (0.1, "a"), (0.1, "b"), (-1.0, "c"), (0.5, "c"), (1.0, "")):
        events.event(Progress(id=1, fraction=fraction, text=words), b"")
    reached = [one["progress"] for one in out.progress]
    assert reached == sorted(set(reached)) and len(reached) == 5
    assert [one.get("message", "") for one in out.progress] == ["a", "b", "c", "c", ""]
    assert {one["progressToken"] for one in out.progress} == {"token"}
    assert {one["total"] for one in out.progress} == {1.0}
    assert out.headers["X-Accel-Buffering"] == "no"


def test_items_count_as_progress() -> None:
    from easymlnb.contract.worker_protocol import Item

    out = Out()
    events = McpEvents(out, 3)
    for body in (b"1", b'"two"'):
        events.event(Item(id=1), body)
    assert [(one["progress"], one["message"]) for one in out.progress] == [
        (1.0, "1"), (2.0, '"two"'),
    ]  # fmt: skip
    assert all("total" not in one for one in out.progress)
