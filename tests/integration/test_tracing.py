"""A server whose configuration sets OpenTelemetry up writes a span for each call."""

import json
from pathlib import Path

from support.notebooks import make_notebook
from support.server import running_server

CONFIG = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

provider = TracerProvider()
exporter = ConsoleSpanExporter(
    out=open({path!r}, "a", buffering=1), formatter=lambda span: span.to_json(indent=None) + "\\n"
)
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
"""
NOTEBOOK = """
import easymlnb as ml

@ml.service
def traced(x: int) -> int:
    return x
"""
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_call_is_a_span_of_the_callers_trace(tmp_path: Path) -> None:
    spans = tmp_path / "spans.jsonl"
    config = tmp_path / "jupyter_server_config.py"
    config.write_text(CONFIG.format(path=str(spans)))
    options = (f"--config={config}",)
    with running_server(tmp_path, make_notebook(NOTEBOOK), options=options) as server:
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        answer = server.http.post("services/traced/call", json={"x": 1}, headers=headers)
        assert answer.json() == 1
        assert server.call("traced", x="no").status_code == 422
    first, second = (json.loads(line) for line in spans.read_text().splitlines())
    assert first["name"] == "easymlnb.call"
    assert first["context"]["trace_id"] == f"0x{TRACE}"
    assert first["parent_id"] == f"0x{CALLER}"
    assert first["attributes"]["easymlnb.service"] == "traced"
    assert first["attributes"]["easymlnb.request_id"] == answer.headers["X-Request-Id"]
    assert second["parent_id"] is None
    assert second["attributes"]["http.response.status_code"] == 422
