"""What the OpenAPI document says is what the server does, also for input nobody would think of."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.notebooks import make_notebook
from support.server import RunningServer

SOURCE = """
import math
import easymlnb as ml
from dataclasses import dataclass
from typing import Annotated, Literal

@dataclass
class Point:
    x: float
    y: float = 0.0

@ml.service
def fuzz(
    n: Annotated[int, ml.Slider(0, 9)],
    points: list[Point],
    way: Literal["sum", "count"] = "sum",
    note: str | None = None,
) -> float:
    "Add up the points."
    found = float(sum(p.x + p.y for p in points) if way == "sum" else len(points) * n)
    # Sums of the largest numbers are infinite, which JSON cannot say.
    return found if math.isfinite(found) else 0.0
"""
EXAMPLES = 25
FEW = 2
"""Requests of each route in the short form of `benchmarks/openapi.py`."""

ENDLESS = ("/link", "/jobs/{id}/events")
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


def check(server: RunningServer, document: dict[str, Any], examples: int, *methods: str) -> int:
    """Send requests that a document describes, and return how many routes were called."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=f"{server.url}easymlnb")
    checked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if (methods and operation.method.upper() not in methods) or operation.path in ENDLESS:
            continue
        if operation.path.startswith("/mlflow/") or "/deepaas/" in operation.path:
            continue  # their errors have forms of their own

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            # A deadline of a millisecond is allowed, and rightly answered by 504.
            (case.headers or {}).pop("X-Timeout", None)
            response = case.call(headers=dict(server.http.headers))
            case.validate_response(response, checks=CHECKS)

        send()
        checked += 1
    return checked


@pytest.mark.slow
def test_server_does_what_its_document_says(session_server: RunningServer) -> None:
    found = session_server.publish(make_notebook(SOURCE), "fuzz.ipynb")
    assert found["state"] == "ready", found
    document = session_server.http.get("services/fuzz/openapi.json").json()
    assert check(session_server, document, EXAMPLES)
    session_server.http.delete("services/fuzz")


@pytest.mark.slow
@pytest.mark.nightly
def test_all_routes_do_what_the_document_says(session_server: RunningServer) -> None:
    document = session_server.http.get("openapi.json").json()
    assert check(session_server, document, FEW, "GET") > 40
