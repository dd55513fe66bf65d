"""The shared service of a real Hub as two processes: either answers, and either is enough."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from conftest import make_notebook
from databases import running as postgres
from hub.services import Member, logged_in
from hub.two import Served, TwoServices, kernels, running

WHERE = """
import os
import easymlnb as ml

@ml.service
def where(x: int = 1) -> dict:
    return {"x": x, "pid": os.getpid()}
"""
SETTINGS = {
    "EasyMLNB": {
        "placements": {"local": {"idle": "3s"}},
        "app_kernels": 0,
        "worker_stay": 180.0,
    },
    "HubIdentity": {"cache_seconds": 5.0},
}
"""With one seat for each user: a worker that somebody left there would be in the way."""

TAKEN_OVER = 100.0
"""Seconds; a worker that waited for a process which is gone would keep the seat for longer."""

WHO = ("alice", "bob", "carol")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, real_hub: None) -> Iterator[TwoServices]:
    with postgres() as database:
        folder = tmp_path_factory.mktemp("two")
        made = TwoServices(folder, settings=SETTINGS, database=database.create())
        yield from running(made)


@pytest.fixture(scope="module")
def people(hub: TwoServices) -> Iterator[dict[str, Member]]:
    made = {name: hub.member(name) for name in WHO}
    yield made
    for member in made.values():
        member.http.close()


def ask(process: Served, member: Member, x: int = 1) -> httpx.Response:
    url = f"{process.url}services/alice/where/call"
    return httpx.post(url, json={"x": x}, headers=member.http.headers, timeout=60)


def answers(process: Served, member: Member) -> int:
    got = ask(process, member)
    return int(got.json()["pid"]) if got.status_code == 200 else 0


def test_people_log_in_by_whichever_process(hub: TwoServices) -> None:
    with logged_in(hub, "bob") as browser:
        for _ in range(4):
            assert browser.get(f"{hub.service_url}me").json()["name"] == "bob"


def test_one_is_killed_and_the_other_takes_over(
    hub: TwoServices, people: dict[str, Member], tmp_path: Path
) -> None:
    alice, bob, carol = (people[name] for name in WHO)
    found = alice.publish(make_notebook(WHERE), tmp_path / "where.ipynb")
    assert found["state"] == "ready", found.get("error")
    alice.share("alice/where", users=["bob"])
    killed, heir = hub.of("alice/where")
    first = answers(killed, bob)
    assert first
    for process in (killed, heir):
        assert ask(process, bob, x=7).json() == {"x": 7, "pid": first}
        assert ask(process, carol).status_code == 404

    killed.stop(9)
    second = hub.wait_for(
        lambda: answers(heir, bob), f"nobody took over\n{heir.log[-3000:]}", TAKEN_OVER
    )
    assert ask(heir, carol).status_code == 404
    assert bob.call("alice/where", x=8).json() == {"x": 8, "pid": second}
    # Of alice's one seat nothing is lost, and nothing runs twice.
    hub.wait_for(lambda: not psutil.pid_exists(first), "the first worker was left behind")
    assert list(hub.servers("alice")) == ["easymlnb-local-1"]
    assert len(kernels(hub, "alice", alice.token, "easymlnb-local-1")) == 1

    killed.start()
    hub.wait_for(lambda: killed.ready, f"it does not start again\n{killed.log[-3000:]}")
    hub.wait_for(lambda: answers(killed, bob) == second, "it does not know who serves")
    assert hub.of("alice/where") == (heir, killed)
    hub.wait_for(lambda: not list((killed.folder / "placed").glob("*")), "notes are left")
    assert len(kernels(hub, "alice", alice.token, "easymlnb-local-1")) == 1

    # Now the other, whose worker the one before did not know.
    heir.stop()
    third = hub.wait_for(lambda: answers(killed, bob), f"nobody serves\n{killed.log[-3000:]}")
    assert third not in (first, second)
    hub.wait_for(lambda: not psutil.pid_exists(second), "the second worker was left behind")
    assert alice.http.delete("services/alice/where").status_code == 204
    hub.wait_for(lambda: not hub.servers("alice"), "the node stays")
    hub.wait_for(lambda: not psutil.pid_exists(third), "the third worker was left behind")
