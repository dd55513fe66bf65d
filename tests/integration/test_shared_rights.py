"""A shared service while rights change, and while several people do the same thing at once."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from easymlnb.contract.names import url_path
from support.server import free_port
from support.shared_server import (
    BOB,
    FILES,
    NOT_SHARED,
    OPTIONS,
    PEOPLE,
    SERVICE,
    SharedServer,
    call,
    opened,
)

pytestmark = pytest.mark.timeout(300)

NAMES = ("alice/one", "alice/two", f"{BOB}/one")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServer]:
    made = SharedServer(tmp_path_factory.mktemp("rights"), free_port(), options=OPTIONS)
    made.start()
    try:
        said = {"see": "seen", "call": "called", "manage": "managed"}
        made.bring("alice", *(SERVICE.format(name=one, **said) for one in ("one", "two")), FILES)
        made.bring(BOB, SERVICE.format(name="one", **said), FILES)
        yield made
    finally:
        made.stop()


@pytest.fixture
def shared(server: SharedServer) -> Iterator[SharedServer]:
    yield server
    server.know(PEOPLE)
    for name in (*NAMES, "alice/naps", "alice/sizes"):
        server.share(name)


people = st.frozensets(st.sampled_from([*PEOPLE, "nobody known"])).map(sorted)
groups = st.frozensets(st.sampled_from(["ml", "ops", "none such"])).map(sorted)
accesses = st.fixed_dictionaries(
    {"users": people, "groups": groups, "everyone": st.booleans(), "public": st.booleans()}
)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.fixed_dictionaries(dict.fromkeys(NAMES, accesses)))
def test_lists_and_calls_follow_the_rules(
    shared: SharedServer, said: dict[str, dict[str, Any]]
) -> None:
    for name, access in said.items():
        owner = name.partition("/")[0]
        answer = shared.people[owner].put(f"services/{url_path(name)}/access", json=access)
        assert answer.json() == access
    for who, about in PEOPLE.items():
        listed = shared.people[who].get("services").json()["services"]
        found = {one["full_name"] for one in listed} & set(NAMES)
        expected = {
            name
            for name, access in said.items()
            if about.get("admin")
            or name.startswith(f"{who}/")
            or who in access["users"]
            or set(about["groups"]) & set(access["groups"])
            or access["everyone"]
            or access["public"]
        }
        assert found == expected
        for name in NAMES:
            assert (call(shared, who, name).status_code == 200) is (name in expected)


def is_plain(answer: httpx.Response) -> bool:
    """Say whether a call was answered by the short way; Tornado says its name in others."""
    return "Server" not in answer.headers


def test_the_short_way_knows_the_rights_as_they_are_now(shared: SharedServer) -> None:
    shared.share("alice/one", users=["carol"], groups=["ops"])
    for who, enters in (("alice", True), (BOB, True), ("carol", True), ("dave", False)):
        answer = call(shared, who, "alice/one")
        assert (answer.status_code, is_plain(answer)) == ((200, True) if enters else (404, False))
    shared.share("alice/one")
    for who in (BOB, "carol"):
        assert call(shared, who, "alice/one").status_code == 404
    assert is_plain(call(shared, "root", "alice/one"))
    # An owner whose name is quoted in the path goes the long way.
    answer = call(shared, BOB, f"{BOB}/one")
    assert (answer.json(), is_plain(answer)) == ("called", False)
    for token in ("alice", "alice-token-token", "-token", "nobody-token"):
        headers = {"Authorization": f"token {token}"}
        url = f"{shared.url}easymlnb/services/alice/one/call"
        assert httpx.post(url, json={}, headers=headers, timeout=60).status_code == 401


def test_plain_calls_are_stopped_by_their_own_callers_and_by_unsharing(
    shared: SharedServer,
) -> None:
    bob = shared.people[BOB]
    url = "services/alice/naps/call"

    def nap() -> httpx.Response:
        return bob.post(url, json={"seconds": 55}, headers={"X-Request-Id": "a-nap-of-bobs"})

    def running() -> bool:
        stats = shared.people["alice"].get("services/alice/naps").json()["stats"]
        return bool(stats["running"])

    shared.share("alice/naps", users=[BOB, "carol"])
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(nap)
        shared.wait_for(running, "no nap")
        for who in ("carol", "alice"):
            assert shared.people[who].delete("calls/a-nap-of-bobs").status_code == 404
        assert bob.delete("calls/a-nap-of-bobs").status_code == 204
        answer = first.result(60)
        assert (answer.json()["error"]["code"], is_plain(answer)) == ("cancelled", True)
        shared.wait_for(lambda: not running(), "the nap still runs")
        second = pool.submit(nap)
        shared.wait_for(running, "no second nap")
        shared.share("alice/naps")
        answer = second.result(60)
        assert (answer.json()["error"]["code"], is_plain(answer)) == ("forbidden", True)


def test_who_leaves_a_group_or_the_hub_is_out_at_once(shared: SharedServer) -> None:
    shared.share("alice/one", groups=["ml"])
    assert call(shared, "dave", "alice/one").status_code == 200
    shared.know({**PEOPLE, "dave": {"groups": []}})
    assert call(shared, "dave", "alice/one").status_code == 404
    shared.know({name: said for name, said in PEOPLE.items() if name != "dave"})
    assert call(shared, "dave", "alice/one").status_code == 401


def test_what_runs_is_ended_for_who_may_no_longer(shared: SharedServer) -> None:
    shared.share("alice/naps", users=[BOB])
    events = {"Accept": "text/event-stream"}
    bob = shared.people[BOB]
    with bob.stream(
        "POST", "services/alice/naps/call", json={"seconds": 55}, headers=events
    ) as answer:
        lines = answer.iter_lines()
        shared.share("alice/naps")
        told = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert told[-1]["error"]["code"] == "forbidden"
    assert "no longer shared with you" in told[-1]["error"]["message"]


def test_open_pages_close_for_who_may_no_longer(shared: SharedServer) -> None:
    shared.share("alice/one", users=[BOB], public=True)
    bob = shared.people[BOB]
    with ExitStack() as stack:
        visitor = stack.enter_context(httpx.Client(base_url=f"{shared.url}easymlnb/", timeout=60))
        pages = [(bob, opened(shared, bob, "apps/alice/one"))]
        pages += [(visitor, opened(shared, visitor, "public/alice/one"))]
        lines = []
        for client, at in pages:
            cookies = "; ".join(f"{one.name}={one.value}" for one in client.cookies.jar)
            headers = {"Cookie": cookies}
            if client is bob:
                headers["Authorization"] = bob.headers["Authorization"]
            url = f"ws://127.0.0.1:{shared.port}/easymlnb/{at}/channels"
            line = connect(url, additional_headers=headers, open_timeout=60)
            lines.append(stack.enter_context(line))
            assert client.get(at).status_code == 200
        shared.share("alice/one")
        for client, at in pages:
            assert client.get(at).status_code == 404
        for line in lines:
            with pytest.raises(ConnectionClosed):
                while True:
                    line.recv(timeout=60)


def test_who_cannot_be_looked_up_keeps_nobody_else_in(shared: SharedServer) -> None:
    shared.share("alice/naps", users=[BOB])
    shared.share("alice/one", users=["carol"])
    page = opened(shared, shared.people["carol"], "apps/alice/one")
    shared.know({**PEOPLE, "carol": {"groups": [], "unknown": True}})
    events = {"Accept": "text/event-stream"}
    nap = {"seconds": 55}
    with shared.people[BOB].stream(
        "POST", "services/alice/naps/call", json=nap, headers=events
    ) as answer:
        lines = answer.iter_lines()
        shared.share("alice/naps")
        told = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert told[-1]["error"]["code"] == "forbidden"
    # Nothing was found against her.
    assert shared.people["carol"].get(page).status_code == 200


def test_one_key_or_request_id_of_two_people_is_two_calls(shared: SharedServer) -> None:
    shared.share("alice/naps", everyone=True)
    same = {"Idempotency-Key": "one-key", "X-Request-Id": "one-request-id"}
    first, second = (
        shared.people[who].post("services/alice/one/call", json={}, headers=same)
        for who in ("alice", "root")
    )
    assert (first.status_code, second.status_code) == (200, 200)
    assert "Idempotency-Replayed" not in second.headers
    begun = threading.Barrier(3)

    def nap(who: str, name: str) -> httpx.Response:
        begun.wait(30)
        return shared.people[who].post(f"services/{url_path(name)}/call", json={}, headers=same)

    with ThreadPoolExecutor(2) as pool:
        naps = [pool.submit(nap, *one) for one in (("alice", "alice/naps"), (BOB, f"{BOB}/naps"))]
        begun.wait(30)

        def running(name: str, who: str) -> bool:
            stats = shared.people[who].get(f"services/{url_path(name)}").json()["stats"]
            return bool(stats["running"])

        shared.wait_for(
            lambda: running("alice/naps", "alice") and running(f"{BOB}/naps", BOB), "no nap"
        )
        assert shared.people["carol"].delete("calls/one-request-id").status_code == 404
        assert shared.people[BOB].delete("calls/one-request-id").status_code == 204
        assert naps[1].result(30).json()["error"]["code"] == "cancelled"
        assert running("alice/naps", "alice")
        assert shared.people["root"].delete("calls/one-request-id").status_code == 204
        assert naps[0].result(30).json()["error"]["code"] == "cancelled"


def test_uploads_are_their_senders_and_for_their_service(shared: SharedServer) -> None:
    alice = shared.people["alice"]
    told = {"name": "a.bin", "size": 3}
    made = alice.post("uploads?service=alice/sizes", json=told).json()["id"]
    for who in (BOB, "root"):
        client = shared.people[who]
        assert client.get(f"uploads/{made}").status_code == 404
        assert client.put(f"uploads/{made}?offset=0", content=b"xyz").status_code == 404
        assert client.delete(f"uploads/{made}").status_code == 404
    refused = shared.people[BOB].post("uploads?service=alice/sizes", json=told)
    assert refused.json()["error"]["code"] == "service_not_found"
    assert alice.put(f"uploads/{made}?offset=0", content=b"xyz").status_code == 200
    body = {"file": {"upload": made, "name": "a.bin"}}
    header = {"X-Easymlnb-Uploads": made}
    theirs = shared.people[BOB].post(
        f"services/{url_path(f'{BOB}/sizes')}/call", json=body, headers=header
    )
    assert theirs.json()["error"]["code"] == "upload_not_found"
    mine = alice.post("services/alice/sizes/call", json=body, headers=header)
    assert mine.json() == 3


def test_a_service_asks_others_in_its_owners_name(shared: SharedServer) -> None:
    assert call(shared, "alice", "alice/asks", other="one").json() == "called"
    theirs = f"{BOB}/one"
    refused = call(shared, "alice", "alice/asks", other=theirs).json()
    assert "(ServiceNotFound)" in refused["error"]["message"]
    shared.share(theirs, users=["alice"])
    assert call(shared, "alice", "alice/asks", other=theirs).json() == "called"


def test_access_that_makes_no_sense_changes_nothing(shared: SharedServer) -> None:
    alice = shared.people["alice"]
    for body in ({"users": "bob"}, {"everybody": True}, {"groups": [""]}):
        answer = alice.put("services/alice/one/access", json=body)
        assert answer.json()["error"]["code"] == "bad_request"
    assert alice.get("services/alice/one/access").json() == NOT_SHARED


def test_live_services_and_nodes_are_not_here(shared: SharedServer) -> None:
    alice = shared.people["alice"]
    for at in ("services/alice/one/live/call", "node/kernels"):
        assert alice.post(at, json={}).json()["error"]["code"] == "not_found"
    secret = {"Authorization": "easymlnb whatever"}
    refused = httpx.get(f"{shared.url}easymlnb/link", headers=secret, timeout=60)
    assert refused.status_code == 401
    assert "Live services run on their author's own server" in refused.json()["error"]["message"]


def test_what_was_set_outlives_the_server(shared: SharedServer) -> None:
    shared.share("alice/one", users=[BOB], groups=["ml"])
    shared.stop()
    shared.start()
    kept = shared.people["alice"].get("services/alice/one/access").json()
    assert (kept["users"], kept["groups"]) == ([BOB], ["ml"])
    shared.wait_for(
        lambda: call(shared, BOB, "alice/one").status_code == 200, "it did not come back"
    )
    assert call(shared, "carol", "alice/one").status_code == 404
