"""Paths without a route answer in the form of the protocol that they belong to."""

import httpx
import pytest

from support.server import RunningServer


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("v2/models/no%20service/infer", {"error": str}),
        ("v2/nothing", {"error": str}),
        ("mlflow/api/2.0/mlflow/0/0", {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": str}),
        ("services/%C3%A4/invocations", {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": str}),
        ("services/%C3%A4/process", {"detail": str}),
        ("services/%C3%A4/mcp", {"jsonrpc": "2.0", "id": None, "error": dict}),
        ("services/%C3%A4/call", {"error": dict}),
    ],
)
def test_errors_have_the_form_of_the_protocol(
    session_server: RunningServer, path: str, error: dict[str, object]
) -> None:
    answer = session_server.http.post(path, json={})
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/json")
    found = answer.json()
    assert found.keys() == error.keys()
    for name, expected in error.items():
        is_kind = isinstance(expected, type) and isinstance(found[name], expected)
        assert is_kind or found[name] == expected


def test_deepaas_answers_in_plain_text(session_server: RunningServer) -> None:
    answer = session_server.http.get("services/%C3%A4/deepaas/v2/models/x/")
    assert (answer.status_code, answer.text) == (404, "404: Not Found")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_without_a_login_nothing_is_said_of_routes(session_server: RunningServer) -> None:
    url = f"{session_server.url}easymlnb/v2/models/%C3%A4"
    answer = httpx.get(url, timeout=60)
    assert answer.status_code in (401, 403)
    assert isinstance(answer.json()["error"], str)
