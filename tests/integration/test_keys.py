"""API keys, limits, usage and the audit log on a real server."""

import csv
import io
import json
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from easymlnb.contract import api_keys
from easymlnb_server.store.store import DATABASE
from support.notebooks import make_notebook
from support.server import RunningServer, free_port

pytestmark = pytest.mark.timeout(300)

CELL = """
import time, easymlnb as ml

@ml.service
def add(a: int = 1, b: int = 2) -> int:
    return a + b

@ml.service(public=True)
def open_add(a: int = 1) -> int:
    return a

@ml.service(timeout=60)
def naps(seconds: float = 30.0) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.02)
    return "woke"

@ml.service(timeout=60)
def ticks():
    for number in range(1000):
        yield number
        time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def server(
    database: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("keys")
    options = (
        *database,
        f"--EasyMLNB.audit_file={folder / 'audit.jsonl'}",
        "--EasyMLNB.visitor_limits={'calls_per_day': 3}",
    )
    made = RunningServer(folder, free_port(), options=options)
    made.start()
    try:
        assert made.publish(make_notebook(CELL))["state"] == "ready"
        yield made
    finally:
        made.stop()


def create(server: RunningServer, **values: Any) -> dict[str, Any]:
    answer = server.http.post("keys", json={"services": ["add"], **values})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def call(server: RunningServer, key: str, name: str = "add", **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
    url = f"{server.url}easymlnb/services/{name}/call"
    return httpx.post(url, json=more.pop("json", {}), headers=headers, timeout=60, **more)


def is_fast(answer: httpx.Response) -> bool:
    """Return whether the fast path answered; Tornado sends its name."""
    return "Server" not in answer.headers


def without_id(answer: httpx.Response) -> tuple[int, Any]:
    error = answer.json()["error"]
    return answer.status_code, {key: error[key] for key in error if key != "request_id"}


def test_key_calls_its_service_until_it_is_revoked(server: RunningServer) -> None:
    made = create(server, note="shop")
    assert api_keys.is_complete(made["key"])
    answer = call(server, made["key"])
    assert (answer.status_code, answer.json(), is_fast(answer)) == (200, 3, True)
    url = f"{server.url}easymlnb/services/add/call"
    by_header = httpx.post(url, json={}, headers={"X-API-Key": made["key"]}, timeout=60)
    assert (by_header.status_code, is_fast(by_header)) == (200, True)
    slow = call(server, made["key"], headers={"X-Timeout": "20"})
    assert (slow.status_code, is_fast(slow)) == (200, False)
    listed = {one["id"]: one for one in server.http.get("keys").json()["keys"]}
    assert listed[made["id"]]["note"] == "shop" and listed[made["id"]]["used"]
    assert "key" not in listed[made["id"]]
    headers = {"Authorization": f"Bearer {made['key']}"}
    with httpx.Client(headers=headers, timeout=60) as connected:
        assert [connected.post(url, json={}).status_code for _ in range(3)] == [200] * 3
        assert server.http.delete(f"keys/{made['id']}").status_code == 204
        assert connected.post(url, json={}).status_code == 401
    assert call(server, made["key"]).status_code == 401
    assert server.http.get(f"keys/{made['id']}").json()["state"] == "revoked"


def test_invalid_keys_get_one_answer(server: RunningServer) -> None:
    foreign, revoked = create(server, services=["naps"]), create(server)
    server.http.delete(f"keys/{revoked['id']}")
    soon = create(server, expires="1s")
    server.wait_for(lambda: call(server, soon["key"]).status_code == 401, "it does not expire")
    keys = [api_keys.generate(), "emnb_typo", foreign["key"], revoked["key"], soon["key"]]
    answers = [without_id(call(server, key)) for key in keys]
    nothing = httpx.post(f"{server.url}easymlnb/services/add/call", json={}, timeout=60)
    assert answers == [without_id(nothing)] * len(keys)
    assert answers[0][0] == 401
    unknown = [without_id(call(server, key, "nosuch")) for key in keys]
    assert unknown == answers


def test_a_key_reaches_nothing_else(server: RunningServer) -> None:
    key = create(server, scopes=["call"])["key"]
    client = httpx.Client(
        base_url=f"{server.url}easymlnb/", headers={"Authorization": f"Bearer {key}"}, timeout=60
    )
    with client:
        assert client.get("services/add").json()["name"] == "add"
        assert client.get("me").json()["admin"] is False
        for method, path in (
            ("GET", "keys"), ("POST", "keys"), ("GET", "audit"), ("GET", ""), ("GET", "usage"),
            ("GET", "services"), ("DELETE", "services/add"), ("POST", "services"),
            ("PUT", "services/add/limits"), ("GET", "services/add/log"), ("GET", "placements"),
            ("POST", "services/add/live/call"), ("GET", "apps/add"), ("GET", "node"),
        ):  # fmt: skip
            answer = client.request(method, path, json={} if method != "GET" else None)
            assert answer.status_code == 403, (method, path, answer.text)
        for path in ("services/naps", "services/naps/page", "services/nosuch"):
            assert client.get(path).status_code in (401, 403)
    read = create(server, scopes=["read"], services=["add", "naps"])["key"]
    assert call(server, read).status_code == 403
    headers = {"Authorization": f"Bearer {read}"}
    listed = httpx.get(f"{server.url}easymlnb/services", headers=headers, timeout=60).json()
    assert {one["name"] for one in listed["services"]} == {"add", "naps"}
    # Jupyter's own routes do not know API keys.
    assert httpx.get(f"{server.url}api/contents", headers=headers, timeout=60).status_code == 403


def test_keys_in_urls_are_refused_and_not_logged(server: RunningServer) -> None:
    key = create(server)["key"]
    for path in (f"services/add?token={key}", f"services/add?x=1&api%5Fkey={key}"):
        answer = httpx.get(f"{server.url}easymlnb/{path}", timeout=60)
        assert answer.status_code == 400 and "Authorization" in answer.json()["error"]["message"]
    httpx.get(f"{server.url}easymlnb/services/{key}", timeout=60)
    server.http.post(f"keys/{key}", json={})
    httpx.get(f"{server.url}api/contents?token={key}", timeout=60)
    call(server, key, headers={"X-Request-Id": key, "Referer": f"http://x/?k={key}"})
    assert key[:20] not in server.log


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"services": []}, "no services"),
        ({"services": ["nosuch"]}, "no service named 'nosuch'"),
        ({"services": ["add"], "scopes": ["root"]}, "Unknown scope 'root'"),
        ({"services": ["add"], "scopes": []}, "no scopes"),
        ({"services": ["add"], "expires": "2020-01-01"}, "is in the past"),
        ({"services": ["add"], "expires": "soon"}, "Invalid expiry 'soon'"),
        ({"services": ["add"], "limits": {"concurrent": 0}}, "concurrent"),
        ({"services": ["add"], "limits": {"calls_per_second": -1}}, "calls_per_second"),
        ({"services": ["add"], "limits": {"nosuch": 1}}, "nosuch"),
        ({"services": ["add"], "note": "a\nb"}, "one line"),
        ({"services": ["add"], "role": "x"}, "role"),
        ({}, "services"),
    ],
)
def test_invalid_requests_say_what_is_wrong(
    server: RunningServer, body: dict[str, Any], said: str
) -> None:
    before = server.http.get("keys").json()
    answer = server.http.post("keys", json=body)
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["error"]["message"]
    assert server.http.get("keys").json() == before


def test_revoking_stops_open_streams(server: RunningServer) -> None:
    made = create(server, services=["ticks"])
    headers = {"Authorization": f"Bearer {made['key']}", "Accept": "application/jsonl"}
    url = f"{server.url}easymlnb/services/ticks/call"
    with httpx.stream("POST", url, json={}, headers=headers, timeout=60) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "0"
        server.http.delete(f"keys/{made['id']}")
        rest = list(lines)
    assert len(rest) < 900 and "revoked" in rest[-1]


def test_limits_answer_429_with_the_reason(server: RunningServer) -> None:
    key = create(server, limits={"calls_per_day": 2, "max_body": 100})["key"]
    assert call(server, key, json={"a": 1, "b": 10**90}).status_code in (413, 422)
    assert call(server, key, content=b" " * 200, json=None).status_code == 413
    for _ in range(2):
        assert call(server, key).status_code == 200
    answer = call(server, key)
    assert answer.status_code == 429
    error = answer.json()["error"]
    assert (error["code"], error["details"]["limit"]) == ("limit_exceeded", "calls_per_day")
    assert answer.headers["RateLimit-Policy"] == '"calls_per_day";q=2;w=86400'
    assert answer.headers["RateLimit"].startswith('"calls_per_day";r=0;t=')
    assert int(answer.headers["Retry-After"]) > 0
    rate = create(server, limits={"calls_per_second": 0.1})["key"]
    assert [call(server, rate).status_code for _ in range(2)] == [200, 429]
    wanted = {"all": {"concurrent": 1}}
    assert server.http.put("services/naps/limits", json=wanted).status_code == 200
    with httpx.Client(base_url=f"{server.url}easymlnb/", headers=server.http.headers) as client:
        first = create(server, services=["naps"])["key"]
        with httpx.stream(
            "POST", f"{client.base_url}services/naps/call", json={"seconds": 20}, timeout=60,
            headers={"Authorization": f"Bearer {first}", "Accept": "text/event-stream"},
        ) as running:  # fmt: skip
            assert running.status_code == 200
            refused = call(server, first, "naps")
            assert refused.json()["error"]["details"]["limit"] == "concurrent"
    assert (
        server.http.put("services/naps/limits", json={"all": {"concurrent": 0}}).status_code == 400
    )
    assert server.http.put("services/naps/limits", json={}).json() == {"all": {}, "visitors": None}


def test_calls_are_answered_while_the_database_is_locked(
    server: RunningServer, database: tuple[str, ...]
) -> None:
    if database:
        pytest.skip("One process locks SQLite for all others, but not PostgreSQL.")
    key = create(server)["key"]
    other = sqlite3.connect(next(server.folder.rglob(DATABASE)), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        answers = [call(server, key) for _ in range(20)]
        answers += [server.call("add", a=2), call(server, key, headers={"X-Timeout": "20"})]
        answers.append(server.http.post("services/add/view", json={}))
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert {one.status_code for one in answers} == {200}
    assert max(one.elapsed.total_seconds() for one in answers) < 5


def test_a_key_may_run_jobs_of_its_services(server: RunningServer) -> None:
    made = create(server, scopes=["call", "jobs"], limits={"calls_per_day": 2})
    caller, other = create(server), create(server, services=["open_add"], scopes=["jobs"])
    holder, foreigner = (
        httpx.Client(
            base_url=f"{server.url}easymlnb/", headers={"X-API-Key": one["key"]}, timeout=90
        )
        for one in (made, other)
    )
    with holder, foreigner:
        answer = holder.post("services/add/jobs", json={"a": 3})
        assert answer.status_code == 202, answer.text
        id = answer.json()["id"]
        assert foreigner.post("services/add/jobs", json={}).status_code == 401
        assert foreigner.get("jobs").json()["jobs"] == []
        for method, path in (("GET", ""), ("GET", "/result"), ("POST", "/cancel"), ("DELETE", "")):
            assert foreigner.request(method, f"jobs/{id}{path}").status_code == 404
        assert holder.get(f"jobs/{id}", params={"wait": 60}).json()["state"] == "succeeded"
        assert holder.get(f"jobs/{id}/result").json() == 5
        assert "succeeded" in holder.get(f"jobs/{id}/events").text
        assert [one["id"] for one in holder.get("jobs").json()["jobs"]] == [id]
        assert server.http.get(f"jobs/{id}").json()["state"] == "succeeded"
        assert holder.get("jobs/page").status_code == 403
        # A call that becomes a job needs both scopes.
        refused = call(server, caller["key"], headers={"Prefer": "respond-async"})
        assert (refused.status_code, "'jobs'" in refused.text) == (403, True)
        assert call(server, other["key"], "open_add").status_code == 403
        assert call(server, made["key"], headers={"Prefer": "wait=60"}).json() == 3
        # Both jobs count.
        for full in (
            holder.post("services/add/jobs", json={}),
            holder.post(f"jobs/{id}/retry"),
            call(server, made["key"]),
        ):
            assert full.json()["error"]["details"]["limit"] == "calls_per_day"

        def counted() -> list[tuple[str, int]]:
            found = server.http.get("usage", params={"key": made["id"]}).json()["usage"]
            return [(one["service"], one["calls"]) for one in found]

        server.wait_for(lambda: counted() == [("add", 2)], "the jobs are not counted")
        assert holder.delete(f"jobs/{id}").status_code == 204


def test_public_services_are_called_without_a_login(server: RunningServer) -> None:
    url = f"{server.url}easymlnb/services/"
    assert httpx.get(f"{url}open_add", timeout=60).json()["name"] == "open_add"
    assert httpx.get(f"{url}add", timeout=60).status_code == 401
    answers = [httpx.post(f"{url}open_add/call", json={}, timeout=60) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert httpx.post(f"{url}add/call", json={}, timeout=60).status_code == 401
    assert httpx.post(f"{url}open_add/live/call", json={}, timeout=60).status_code == 401
    assert call(server, api_keys.generate(), "open_add").status_code == 401


def test_usage_and_audit_say_who_did_what_and_survive_a_kill(server: RunningServer) -> None:
    made, gone = (
        create(server, limits={"calls_per_day": 3}, scopes=["call", "read"]),
        create(server),
    )
    for _ in range(2):
        assert call(server, made["key"]).status_code == 200
    server.http.delete(f"keys/{gone['id']}")

    def counted() -> int:
        found = server.http.get("usage", params={"key": made["id"]}).json()["usage"]
        return sum(one["calls"] for one in found)

    server.wait_for(lambda: counted() == 2, "the calls are not counted")
    own = httpx.get(
        f"{server.url}easymlnb/usage", headers={"X-API-Key": made["key"]}, timeout=60
    ).json()["usage"]
    assert [(one["service"], one["key"], one["calls"]) for one in own] == [("add", made["id"], 2)]
    sheet = server.http.get("usage", params={"format": "csv", "service": "add"})
    rows = list(csv.DictReader(io.StringIO(sheet.text)))
    assert made["id"] in {row["key"] for row in rows}
    server.stop(signal.SIGKILL)
    server.start()
    server.wait_for(lambda: call(server, made["key"]).status_code == 200, "the key is lost")
    assert call(server, made["key"]).json()["error"]["details"]["limit"] == "calls_per_day"
    assert call(server, gone["key"]).status_code == 401
    events = [json.loads(one) for one in server.http.get("audit").text.splitlines()]
    assert {"service.publish", "key.create", "key.revoke", "limits.change"} <= {
        event["action"] for event in events
    }
    file = (server.folder / "audit.jsonl").read_text().splitlines()
    assert len(file) >= len(events)
    assert made["key"] not in "".join(file) and made["key"] not in str(events)
    some = server.http.get("audit", params={"after": events[-2]["id"], "limit": 5})
    assert json.loads(some.text)["id"] == events[-1]["id"]
    assert not re.search(api_keys.PATTERN, server.log)
    assert time.time() - 3600 < made_at(events[-1])


def made_at(event: dict[str, Any]) -> float:
    from datetime import datetime

    return datetime.fromisoformat(event["time"]).timestamp()
