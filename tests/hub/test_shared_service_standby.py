"""The shared service of a real Hub as an active process and a standby."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from support.hub.shared_service import Member, logged_in
from support.hub.standby_service import Served, TwoServices, kernels, running
from support.notebooks import make_notebook
from support.postgres import running as postgres

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
        "orphan_timeout": 180.0,
    },
    "HubIdentity": {"cache_seconds": 5.0},
}
"""With one seat for each user: a worker that is left there would be in the way."""

TAKEN_OVER = 100.0
"""Seconds until the standby must answer, also on a busy machine."""

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


def status(process: Served, member: Member) -> int:
    try:
        return ask(process, member).status_code
    except httpx.TransportError:
        return 0


def answers(process: Served, member: Member) -> int:
    """Return the worker's process id, or 0 while the process does not serve."""
    if status(process, member) != 200:
        return 0
    return int(ask(process, member).json()["pid"])


def test_people_log_in(hub: TwoServices) -> None:
    with logged_in(hub, "bob") as browser:
        for _ in range(4):
            assert browser.get(f"{hub.service_url}me").json()["name"] == "bob"


def test_standby_takes_over_from_a_killed_process_with_its_workers(
    hub: TwoServices, people: dict[str, Member], tmp_path: Path
) -> None:
    alice, bob, carol = (people[name] for name in WHO)
    found = alice.publish(make_notebook(WHERE), tmp_path / "where.ipynb")
    assert found["state"] == "ready", found.get("error")
    alice.share("alice/where", users=["bob"])
    active, standby = hub.roles()
    worker = answers(active, bob)
    assert worker
    assert ask(active, carol).status_code == 404
    hub.wait_for(lambda: status(standby, bob) == 503, "it is not on standby")

    active.stop(9)
    hub.wait_for(
        lambda: answers(standby, bob) == worker, f"no takeover\n{standby.log[-3000:]}", TAKEN_OVER
    )
    assert ask(standby, carol).status_code == 404
    assert bob.call("alice/where", x=8).json() == {"x": 8, "pid": worker}
    # Alice's one seat is still taken once.
    assert list(hub.servers("alice")) == ["easymlnb-local-1"]
    assert len(kernels(hub, "alice", alice.token, "easymlnb-local-1")) == 1

    active.start()
    hub.wait_for(lambda: status(active, bob) == 503, "it is not on standby")
    assert hub.roles() == (standby, active)

    # The other one stops: its worker runs on.
    standby.stop()
    hub.wait_for(
        lambda: answers(active, bob) == worker, f"no takeover\n{active.log[-3000:]}", TAKEN_OVER
    )
    assert alice.http.delete("services/alice/where").status_code == 204
    hub.wait_for(lambda: not hub.servers("alice"), "the node stays")
    hub.wait_for(lambda: not psutil.pid_exists(worker), "the worker was left behind")
