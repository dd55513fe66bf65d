"""Triton's generate extension: a text in, a text out; statistics; events."""

import json
import threading
from typing import Any, Literal

import pytest

from easymlnb.contract.errors import BadRequest, Busy, InternalError
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import LARGE, Item, Progress
from easymlnb.services.schema import Schema
from easymlnb_server.observability.metrics import CallMetrics
from easymlnb_server.protocols.oip.statistics import ModelStatistics
from easymlnb_server.protocols.oip.streams import events, generation
from easymlnb_server.protocols.oip.streams.handlers import converted
from easymlnb_server.services.models import Target


def chat(size: int, way: Literal["a", "b"], prompt: str, temperature: float = 0.5) -> str: ...


def spec_of(function: Any) -> ServiceSpec:
    schema = Schema.of(function)
    return ServiceSpec(name="f", title="F", input=schema.input, output=schema.output)


def answering() -> Target:
    return Target(spec_of(chat), None, "3")  # type: ignore[arg-type]


def test_arguments() -> None:
    sent = {
        "id": "7",
        "text_input": "é",
        "size": 1,
        "parameters": {"temperature": 0.1, "stream": False, "size": 2},
    }
    body, id = generation.arguments(spec_of(chat), json.dumps(sent).encode())
    assert (json.loads(body), id) == ({"prompt": "é", "size": 2, "temperature": 0.1}, "7")
    assert generation.arguments(spec_of(chat), b'{"parameters": null}') == (b"{}", "")


async def test_large_results_are_converted_in_a_thread() -> None:
    def where(value: bytes, *more: Target) -> bytes:
        return threading.current_thread().name.encode()

    small, large = [await converted(b"1" * size, where, answering()) for size in (LARGE, LARGE + 1)]
    assert small == threading.main_thread().name.encode() != large


def own_names(text_input: str, id: int, parameters: list[float]) -> None: ...


def test_parameters_of_a_service_with_the_names_of_the_protocol() -> None:
    sent = b'{"text_input":"a","id":1,"parameters":[0.5]}'
    assert generation.arguments(spec_of(own_names), sent) == (sent, "")


def no_text(way: Literal["a", "b"], words: list[str]) -> None: ...


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "not a valid generate request"),
        (b"\xff", "not a valid generate request"),
        (b'{"id": 1}', "not a valid generate request"),
        (b'{"parameters": 1}', "not a valid generate request"),
        (b'{"text_input": "a", "prompt": "b"}', "the same parameter"),
    ],
)
def test_bad_bodies(body: bytes, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        generation.arguments(spec_of(chat), body)


def test_a_service_without_a_text() -> None:
    with pytest.raises(BadRequest, match="no text parameter"):
        generation.arguments(spec_of(no_text), b'{"text_input": "a"}')


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b'"a"', {"text_output": "a"}),
        (b'{"label":"x","model_name":"mine"}', {"label": "x"}),
        (b"[1]", {"output": [1]}),
        (b"null", {"output": None}),
    ],
)
def test_responses(value: bytes, found: Any) -> None:
    about = {"model_name": "f", "model_version": "3"}
    assert json.loads(generation.response(value, answering(), "")) == found | about
    assert json.loads(generation.response(value, answering(), "7"))["id"] == "7"


def test_texts_of_a_stream_are_one_text() -> None:
    assert generation.joined(b'["a","\xc3\xa9"]') == '"aé"'.encode()
    assert generation.joined(b"[]") == b'""'
    assert generation.joined(b'["a",1]') == b'["a",1]'


class Out:
    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.written = b""

    def set_header(self, name: str, value: str) -> None:
        self.headers[name] = value

    def write(self, chunk: bytes) -> None:
        self.written += chunk

    def flush(self) -> None: ...


def test_events() -> None:
    out = Out()
    writer = events.InferenceEvents(out, lambda body: body.upper())
    with pytest.raises(Busy):
        writer.error(Busy(1, 2.0))
    writer.event(Progress(id=1, fraction=0.5, text=""), b"")
    assert out.written == b"" and "Content-Type" not in out.headers
    writer.event(Item(id=1), b'"a"')
    writer.error(InternalError())
    assert out.headers["Content-Type"] == "text/event-stream"
    first, last, end = out.written.split(b"\n\n")
    assert (first, end) == (b'data: "A"', b"")
    assert json.loads(last.removeprefix(b"data: ")).keys() == {"error"}


def test_statistics() -> None:
    calls = CallMetrics()
    empty = ModelStatistics.of("f", "1", calls)
    assert (empty.last_inference, empty.inference_count, empty.execution_count) == (0, 0, 0)
    for _ in range(3):
        calls.add(None, 0.5, 0.25)
    calls.add(InternalError(), 2.0, 1.0)
    calls.refused["busy"] += 1
    found = ModelStatistics.of("f", "1", calls)
    assert (found.inference_count, found.execution_count) == (3, 4)
    stats = found.inference_stats
    assert (stats.success.count, stats.success.ns) == (3, 1_500_000_000)
    assert (stats.fail.count, stats.fail.ns) == (2, 2_000_000_000)
    assert (stats.queue.count, stats.queue.ns) == (4, 1_750_000_000)
    assert (stats.compute_infer.count, stats.compute_infer.ns) == (4, 1_750_000_000)
    calls.sizes.add(2)
    assert ModelStatistics.of("f", "1", calls).execution_count == 1
    assert found.last_inference > 1.7e12
