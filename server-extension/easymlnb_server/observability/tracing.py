"""Spans of calls, for servers whose owner has configured OpenTelemetry. Only ``app`` imports this,
and only then."""

import time
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.trace import ProxyTracerProvider, SpanKind, StatusCode, TracerProvider

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.calls.log import CallRecord


class Tracing:
    """Writes a span ``easymlnb.call`` for each call, below the caller's span if it names one."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("easymlnb")

    def record(
        self,
        headers: Mapping[str, str],
        name: str,
        entry: CallRecord,
        error: EasyMLNBError | None,
        whole: float,
    ) -> None:
        """Record a call that ends now and took ``whole`` seconds."""
        end = time.time_ns()
        span = self._tracer.start_span(
            "easymlnb.call",
            context=extract(headers),
            kind=SpanKind.SERVER,
            start_time=end - int(whole * 1e9),
            attributes={
                "easymlnb.service": name,
                "easymlnb.version": entry.version,
                "easymlnb.request_id": entry.request_id,
                "easymlnb.worker_seconds": entry.seconds,
                "http.response.status_code": entry.status,
            },
        )
        if error is not None:
            span.set_attribute("error.type", error.code)
            if error.status >= 500:  # what a caller did wrong is no error of the server
                span.set_status(StatusCode.ERROR)
        span.end(end)


def configured() -> Tracing | None:
    """Return what traces to the provider of this process; ``None`` if there is none."""
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, ProxyTracerProvider) else Tracing(provider)
