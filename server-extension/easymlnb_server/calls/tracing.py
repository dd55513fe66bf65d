"""Spans of calls, for servers with OpenTelemetry. It is imported only where that is installed."""

import time
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.trace import ProxyTracerProvider, SpanKind, StatusCode, TracerProvider

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.calls.log import CallRecord


class Tracing:
    """Writes a span ``easymlnb.call`` for each call, below the caller's span if there is one."""

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
            if error.status >= 500:  # not an error of the caller
                span.set_status(StatusCode.ERROR)
        span.end(end)


def configured() -> Tracing | None:
    """Return the tracing of this process's provider; ``None`` without a provider."""
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, ProxyTracerProvider) else Tracing(provider)
