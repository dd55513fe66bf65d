"""Spans of calls: named, timed, and below the caller's where it names one."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tornado.httputil import HTTPHeaders

from easymlnb.contract.errors import CallFailed, EasyMLNBError, InvalidInput
from easymlnb_server.calls import tracing
from easymlnb_server.calls.log import CallRecord

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def recorded(error: EasyMLNBError | None = None, **headers: str) -> ReadableSpan:
    """Record a call of 2 s in a provider of its own; returns the span."""
    kept, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    entry = CallRecord("r-1", "3", 200 if error is None else error.status, 1.5)
    tracing.Tracing(provider).record(HTTPHeaders(headers), "roll", entry, error, 2.0)
    (span,) = kept.get_finished_spans()
    return span


def test_a_span_says_what_was_called_and_how_long_it_took() -> None:
    span = recorded()
    assert (span.name, span.kind, span.parent) == ("easymlnb.call", SpanKind.SERVER, None)
    assert span.start_time is not None and span.end_time is not None
    assert span.end_time - span.start_time == 2 * 10**9
    assert dict(span.attributes or {}) == {
        "easymlnb.service": "roll",
        "easymlnb.version": "3",
        "easymlnb.request_id": "r-1",
        "easymlnb.worker_seconds": 1.5,
        "http.response.status_code": 200,
    }


def test_it_is_below_the_callers_span() -> None:
    span = recorded(Traceparent=CALLER)
    assert span.parent is not None and span.context is not None
    assert f"{span.context.trace_id:032x}-{span.parent.span_id:016x}" in CALLER


@pytest.mark.parametrize("given", ["", "nonsense", "00-0-0-01", CALLER * 9])
def test_a_wrong_traceparent_is_as_none(given: str) -> None:
    assert recorded(Traceparent=given).parent is None


@pytest.mark.parametrize(
    ("error", "status"), [(InvalidInput([]), StatusCode.UNSET), (CallFailed(), StatusCode.ERROR)]
)
def test_an_error_of_the_service_is_one_of_the_span(
    error: EasyMLNBError, status: StatusCode
) -> None:
    span = recorded(error)
    assert span.status.status_code is status
    assert (span.attributes or {})["error.type"] == error.code


def test_without_a_provider_nothing_is_traced() -> None:
    assert tracing.configured() is None


@pytest.mark.slow
def test_the_server_imports_opentelemetry_for_nobody() -> None:
    code = "import sys; from easymlnb_server.wiring.calls import _tracing as built"
    code += "; print(built(), *sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found, *modules = ran.stdout.split()
    assert found == "None" and "opentelemetry" not in modules
