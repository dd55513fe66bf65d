"""Several versions of a service at once: staged, pinned, divided, rolled back, refused."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from html import unescape
from typing import Any

import httpx
import pytest

from support.notebooks import make_notebook
from support.server import RunningServer, free_port, running_server

NAME = "answer"
VERSION = "X-Easymlnb-Version"


def source(number: int, signature: str = "x: int = 0", body: str = "") -> str:
    return (
        f"import easymlnb as ml\n@ml.service(examples=[{{}}])\ndef {NAME}({signature}) -> int:\n"
        f"    {body or 'pass'}\n    return {number}"
    )


@pytest.fixture(scope="module")
def server(
    database: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    folder, notebook = tmp_path_factory.mktemp("versions"), make_notebook(source(1))
    with running_server(folder, notebook, options=database) as made:
        yield made


def put(server: RunningServer, body: Any, **more: Any) -> httpx.Response:
    return server.http.put(f"services/{NAME}/traffic", json=body, **more)


def answers(server: RunningServer) -> tuple[str, str]:
    answer = server.call(NAME)
    assert answer.status_code == 200, answer.text
    return answer.text, answer.headers[VERSION]


def test_a_staged_version_is_called_only_where_it_is_pinned(server: RunningServer) -> None:
    found = server.publish(make_notebook(source(2)), "two.ipynb", stage="true")
    (service,) = found["services"]
    assert (found["state"], service["version"], service["weight"]) == ("ready", 2, 0)
    assert answers(server) == ("1", "1")
    assert put(server, {"aliases": {"candidate": 2}}).status_code == 200
    for path, headers in (
        ("versions/2/call", {}),
        ("versions/candidate/call", {}),
        ("call", {VERSION: "2"}),
        ("call", {VERSION: "candidate"}),
    ):
        answer = server.http.post(f"services/{NAME}/{path}", json={}, headers=headers)
        assert (answer.text, answer.headers[VERSION]) == ("2", "2")
    refused = server.http.post(f"services/{NAME}/versions/2/call", json={"x": "no"})
    assert (refused.status_code, refused.headers[VERSION]) == (422, "2")
    for asked in ("7", "nobody"):
        missing = server.http.post(f"services/{NAME}/versions/{asked}/call", json={})
        assert missing.json()["error"]["code"] == "version_not_found"
    listed = server.http.get(f"services/{NAME}/versions").json()["versions"]
    assert [(one["version"], one["weight"], one["aliases"]) for one in listed] == [
        (1, 100, []),
        (2, 0, ["candidate"]),
    ]


def test_a_lost_race_and_bad_traffic_change_nothing(server: RunningServer) -> None:
    before = server.http.get(f"services/{NAME}/traffic")
    etag = before.headers["ETag"]
    assert (
        put(server, {"weights": {"1": 60, "2": 40}}, headers={"If-Match": etag}).status_code == 200
    )
    lost = put(server, {"weights": {"2": 100}}, headers={"If-Match": etag})
    assert (lost.status_code, lost.json()["error"]["code"]) == (412, "traffic_changed")
    assert lost.json()["error"]["details"]["current"]["weights"] == {"1": 60, "2": 40}
    for body, status in (
        ({"weights": {"1": -1, "2": 101}}, 400),
        ({"weights": {"9": 100}}, 404),
        ({"aliases": {"a": "b", "b": "a"}}, 400),
        ([], 400),
    ):
        assert put(server, body).status_code == status
    now = server.http.get(f"services/{NAME}/traffic").json()
    assert (now["weights"], now["rollback"]) == ({"1": 60, "2": 40}, 1)
    seen = {answers(server) for _ in range(60)}
    assert seen == {("1", "1"), ("2", "2")}
    assert put(server, {"sticky": "header:X-Session"}).status_code == 200
    for session in "abc":
        kept = {
            server.http.post(f"services/{NAME}/call", json={}, headers={"X-Session": session}).text
            for _ in range(10)
        }
        assert len(kept) == 1
    assert put(server, {"sticky": None}).status_code == 200


def test_switches_and_rollbacks_under_load_fail_no_call(server: RunningServer) -> None:
    over = threading.Event()

    def call() -> list[tuple[str, str]]:
        found = []
        while not over.is_set():
            found.append(answers(server))
        return found

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(call) for _ in range(3)]
        try:
            for weights in ({"2": 100}, {"1": 100}, {"1": 50, "2": 50}):
                assert put(server, {"weights": weights}).status_code == 200
            back = server.http.post(f"services/{NAME}/rollback")
            assert (back.status_code, back.json()["weights"]) == (200, {"1": 100})
            assert answers(server) == ("1", "1")
            back = server.http.post(f"services/{NAME}/rollback")
            assert back.json()["weights"] == {"2": 100}
            assert answers(server) == ("2", "2")
        finally:
            over.set()
        found = [answer for caller in running for answer in caller.result(60)]
    assert {text for text, _ in found} == {"1", "2"}
    assert all(text == version for text, version in found)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("raise ValueError('at load')", "at load"),
        (source(9, body="raise ValueError('in the example')"), "in the example"),
    ],
)
def test_a_version_that_does_not_start_gets_no_traffic(
    server: RunningServer, broken: str, said: str
) -> None:
    found = server.publish(make_notebook(f"{source(9)}\n{broken}"), "broken.ipynb")
    assert found["state"] == "failed"
    assert said in str(found["error"])
    assert server.http.get(f"services/{NAME}/traffic").json()["weights"] == {"2": 100}
    assert answers(server) == ("2", "2")


def test_a_version_that_breaks_callers_gets_no_traffic_unless_forced(
    server: RunningServer,
) -> None:
    key = server.http.post("keys", json={"services": [NAME]}).json()["key"]
    called = httpx.post(
        f"{server.url}easymlnb/services/{NAME}/call", json={}, headers={"X-API-Key": key}
    )
    assert called.status_code == 200
    server.http.get("usage")  # which stores what was counted
    notebook = make_notebook(source(3, "y: int = 0"))
    (service,) = server.publish(notebook, "three.ipynb")["services"]
    assert (service["version"], service["weight"]) == (3, 0)
    assert service["breaks"] == ["parameter 'x' was removed"]
    assert answers(server) == ("2", "2")
    refused = put(server, {"weights": {"3": 100}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "breaking_version")
    assert refused.json()["error"]["details"]["differences"] == ["parameter 'x' was removed"]
    assert put(server, {"weights": {"3": 100}}, params={"force": "true"}).status_code == 200
    assert answers(server) == ("3", "3")


def test_traffic_survives_a_killed_server(server: RunningServer) -> None:
    body = {"weights": {"2": 70, "3": 30}, "aliases": {"best": 2}, "sticky": "caller"}
    assert put(server, body, params={"force": "true"}).status_code == 200
    before = server.http.get(f"services/{NAME}/traffic")
    server.stop(9)
    server.port = free_port()
    server.start()
    after = server.http.get(f"services/{NAME}/traffic")
    assert (after.json(), after.headers["ETag"]) == (before.json(), before.headers["ETag"])
    assert len({answers(server) for _ in range(10)}) == 1
    pinned = server.http.post(f"services/{NAME}/versions/1/call", json={})
    assert (pinned.text, pinned.headers[VERSION]) == ("1", "1")


def test_a_version_is_deleted_when_nothing_refers_to_it(server: RunningServer) -> None:
    for version, user in ((2, "its traffic"), ("best", "the alias 'best'")):
        refused = server.http.delete(f"services/{NAME}/versions/{version}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "version_in_use")
        assert user in refused.text
    assert server.http.delete(f"services/{NAME}/versions/1").status_code == 204
    gone = server.http.post(f"services/{NAME}/versions/1/call", json={})
    assert gone.json()["error"]["code"] == "version_not_found"


CLIMB = """
import os, time
import easymlnb as ml
NUMBER = {number}
KEPT = []

def misbehave(how: str) -> None:
    if how == "raises":
        raise RuntimeError("cannot")
    if how == "slow":
        time.sleep(0.2)
    if how == "grows":
        KEPT.append(bytearray(b"x") * 2**20)
    if how == "dies":
        os._exit(1)

@ml.service(examples=[{{}}])
def climb(how: str = "") -> int:
    if NUMBER == 3:
        misbehave(how)
    return NUMBER
"""


@contextmanager
def calling(server: RunningServer, **values: Any) -> Iterator[list[httpx.Response]]:
    """Call ``climb`` from four threads; yields the answers so far."""
    over, found = threading.Event(), list[httpx.Response]()

    def call() -> None:
        while not over.is_set():
            found.append(server.call("climb", **values))

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(call) for _ in range(4)]
        try:
            yield found
        finally:
            over.set()
    for caller in running:
        caller.result()


def promoted(server: RunningServer, version: int, every: str, **more: Any) -> str:
    """Start a promotion; returns its path."""
    body = {"version": version, "every": every, **more}
    started = server.http.post("services/climb/promotions", json=body)
    assert started.status_code == 201, started.text
    return f"services/climb/promotions/{started.json()['id']}"


def reached(server: RunningServer, path: str, **wanted: Any) -> dict[str, Any]:
    """Wait until a promotion is as wanted; return it."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = server.http.get(path).json()
        return found if all(found[name] == value for name, value in wanted.items()) else None

    found: dict[str, Any] = server.wait_for(look, f"the promotion is not {wanted}", 60)
    return found


def test_a_promotion_advances_and_continues_in_a_restarted_server(server: RunningServer) -> None:
    for number, stage in ((1, "false"), (2, "true")):
        server.publish(make_notebook(CLIMB.format(number=number)), "climb.ipynb", stage=stage)
    with calling(server) as found:
        path = promoted(server, 2, "1s", steps=[20, 60, 80, 100])
        busy = server.http.post(
            "services/climb/promotions", json={"version": 2, "every": "1s"}
        ).json()["error"]
        assert busy["code"] == "promotion_conflict"
        reached(server, path, step=2)
        assert server.http.post(f"{path}/pause").json()["state"] == "paused"
    assert {(one.status_code, one.text == one.headers[VERSION]) for one in found} == {(200, True)}
    assert {one.text for one in found} == {"1", "2"}
    server.stop(9)
    server.port = free_port()
    server.start()
    assert reached(server, path, state="paused")["percent"] == 60
    server.http.post(f"{path}/resume")
    done = reached(server, path, state="done")
    assert (done["percent"], done["reason"]) == (100, "Version 2 answers 100 % of calls.")
    assert server.http.get("services/climb/traffic").json()["weights"] == {"2": 100}
    assert server.call("climb").text == "2"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("raises", "calls failed"),
        ("slow", "95th percentile"),
        ("grows", "largest worker"),
        ("dies", "worker"),
    ],
)
def test_a_candidate_that_misbehaves_goes_back_by_itself(
    server: RunningServer, how: str, why: str
) -> None:
    versions = server.http.get("services/climb/versions").json()["versions"]
    if len(versions) < 3:
        server.publish(make_notebook(CLIMB.format(number=3)), "climb.ipynb", stage="true")
    limits = {"min_calls": 10, "p95_ratio": 5 if how == "slow" else None}
    with calling(server, how=how) as found:
        path = promoted(server, 3, "10m", steps=[20, 100], abort_if=limits)
        ended = reached(server, path, state="aborted")
    assert why in ended["reason"], ended
    assert any(letter.isdigit() for letter in ended["reason"])
    failed = [one for one in found if one.status_code != 200]
    assert {one.headers[VERSION] for one in failed} <= {"3"}, failed[0].text
    assert bool(failed) == (how not in ("slow", "grows"))
    served = [one for one in found if one.headers[VERSION] == "2"]
    assert len(served) > len(failed)
    assert server.http.get("services/climb/traffic").json()["weights"] == {"2": 100}
    assert server.call("climb", how=how).text == "2"
    page = server.http.get("services/climb/page").text
    assert ended["reason"] in unescape(page)
