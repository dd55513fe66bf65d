"""The shared service on a real Hub: published there, run as its author, called by whom they say."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from easymlnb.cli.doctor_hub import examine_service
from easymlnb.contract.hub_config import TOKENS
from support.hub.shared_service import Member, ServiceHub
from support.hub.terminal import command
from support.notebooks import make_notebook

WHERE = """
import os
import easymlnb as ml

@ml.service
def where(x: int = 1) -> dict:
    return {
        "x": x,
        "home": os.path.expanduser("~"),
        "pid": os.getpid(),
        "names": sorted(os.environ),
    }
"""
GPU = """
import easymlnb as ml

@ml.service(placement="{placement}")
def {name}() -> int:
    return 1
"""
# What any user can have their servers do.
SPY = """
from tornado import httputil

real = httputil.HTTPServerRequest.__init__

def spy(self, *args, **kwargs):
    real(self, *args, **kwargs)
    with open({file!r}, "a") as file:
        file.write(self.headers.get("Authorization", "") + chr(10))

httputil.HTTPServerRequest.__init__ = spy
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def alice(service_hub: ServiceHub) -> Iterator[Member]:
    made = service_hub.member("alice")
    yield made
    made.http.close()


@pytest.fixture(scope="module")
def where(alice: Member, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("where")
    found = alice.publish(make_notebook(WHERE), folder / "where.ipynb")
    assert found["state"] == "ready", found.get("error")
    return "alice/where"


def test_worker_runs_in_a_named_server_of_its_author(
    service_hub: ServiceHub, alice: Member, where: str
) -> None:
    answer = alice.call(where, x=3)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["x"] == 3
    # No server of hers runs but the one that the service started for her.
    assert list(service_hub.servers("alice")) == ["easymlnb-local-1"]
    assert told["home"].endswith("/homes/alice")
    assert not [name for name in told["names"] if name.startswith("JUPYTERHUB")]


def test_known_token_has_the_short_way_until_it_is_revoked(
    service_hub: ServiceHub, where: str
) -> None:
    short = service_hub.member("alice")
    first = short.call(where, x=1)
    assert (first.status_code, "Server" in first.headers) == (200, True)
    service_hub.wait_for(
        lambda: "Server" not in short.call(where, x=1).headers, "each call takes the long way"
    )
    service_hub.api.delete(f"users/alice/tokens/{short.token_id}").raise_for_status()
    # The calls themselves keep nothing alive; the tests' service keeps the Hub's word for 5 s.
    service_hub.wait_for(
        lambda: short.call(where, x=1).status_code == 401, "the token still works", 60.0
    )
    short.http.close()


def test_called_by_whom_the_author_says(service_hub: ServiceHub, alice: Member, where: str) -> None:
    bob, carol = service_hub.member("bob"), service_hub.member("carol")
    try:
        assert bob.call(where).status_code == 404
        alice.share(where, groups=["ml"])
        assert bob.call(where, x=7).json()["x"] == 7
        assert carol.call(where).status_code == 404
        assert where not in carol.http.get("services").text
        service_hub.group("DELETE", "ml", "bob")
        service_hub.wait_for(
            lambda: bob.call(where).status_code == 404, "bob is still let in", 60.0
        )
    finally:
        service_hub.group("POST", "ml", "bob")
        alice.share(where)
        bob.http.close()
        carol.http.close()


def test_being_called_opens_no_server_of_the_author(
    service_hub: ServiceHub, alice: Member, where: str
) -> None:
    bob = service_hub.member("bob")
    alice.share(where, users=["bob"])
    try:
        assert bob.call(where).status_code == 200
        node = f"{service_hub.url}/user/alice/easymlnb-local-1/"
        for path in ("easymlnb/node", "api/contents", "api/kernels"):
            answer = httpx.get(f"{node}{path}", headers=bob.http.headers, timeout=60)
            assert answer.status_code in (302, 401, 403, 404), (path, answer.text)
            assert "oauth2/authorize" in answer.headers.get("Location", "oauth2/authorize")
    finally:
        alice.share(where)
        bob.http.close()


def test_a_node_is_shown_tokens_of_its_own_user_only(
    service_hub: ServiceHub, tmp_path: Path
) -> None:
    bob = service_hub.member("bob")
    seen = tmp_path / "seen"
    settings = service_hub.folder / "homes/bob/.jupyter/jupyter_server_config.py"
    settings.parent.mkdir(parents=True)
    settings.write_text(SPY.format(file=str(seen)))
    try:
        found = bob.publish(make_notebook(WHERE), tmp_path / "where.ipynb")
        assert found["state"] == "ready", found.get("error")
        assert bob.call("bob/where").status_code == 200
        headers = {line for line in seen.read_text().splitlines() if line.startswith("token ")}
        assert headers
        for header in headers:
            told = httpx.get(
                f"{service_hub.url}/hub/api/user", headers={"Authorization": header}, timeout=60
            )
            assert told.json()["name"] == "bob"
            assert {scope.partition("!")[2] for scope in told.json()["scopes"]} == {"user=bob"}
    finally:
        settings.unlink()
        bob.http.delete("services/bob/where")
        bob.http.close()


def test_administrators_see_all_nodes_and_others_their_own(
    service_hub: ServiceHub, alice: Member, where: str
) -> None:
    def nodes(member: Member) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in member.http.get("placements").json()["placements"]:
            found.setdefault(one["user"], []).extend(node["name"] for node in one["nodes"])
        return found

    carol, dora = service_hub.member("carol"), service_hub.member("dora")
    try:
        assert nodes(alice) == {"alice": ["easymlnb-local-1"]}
        assert nodes(carol) == {"carol": []}
        seen = nodes(dora)
        assert seen["alice"] == ["easymlnb-local-1"]
        assert seen["dora"] == []
    finally:
        carol.http.close()
        dora.http.close()


def test_ones_own_server_knows_the_placements_of_the_service(
    service_hub: ServiceHub, where: str
) -> None:
    own = service_hub.serve("alice")
    try:
        found = {one["name"]: one for one in own.http.get("placements").json()["placements"]}
        assert [node["name"] for node in found["local"]["nodes"]] == ["easymlnb-local-1"]
        # What the server names itself counts before.
        assert found["gpu"]["profile"]["max_workers"] == 3
        listed = command(own, "placement", "list")
        assert listed.returncode == 0, listed.stderr
        assert "easymlnb-local-1" in listed.stdout
        assert "worker" in listed.stdout
    finally:
        service_hub.stop_server("alice")


def test_workers_outlive_the_service(service_hub: ServiceHub, alice: Member, where: str) -> None:
    before = alice.call(where).json()["pid"]
    service_hub.kill_service()
    assert psutil.pid_exists(before)
    # The Hub itself starts it again.
    service_hub.wait_until_ready()

    def answered() -> int:
        got = alice.call(where)
        return int(got.json()["pid"]) if got.status_code == 200 else 0

    assert service_hub.wait_for(answered, "the service does not answer") == before


def test_service_outlives_its_hub(service_hub: ServiceHub, alice: Member, where: str) -> None:
    before = alice.call(where).json()["pid"]
    former = service_hub.service()
    assert service_hub.process is not None
    service_hub.process.kill()
    service_hub.process.wait(10)
    # Its proxy and its service do not need it for who is known.
    assert alice.call(where).json()["pid"] == before
    service_hub.start()
    service_hub.wait_for(lambda: not psutil.pid_exists(former.pid), "the former service stays")

    def answered() -> int:
        got = alice.call(where)
        return int(got.json()["pid"]) if got.status_code == 200 else 0

    assert service_hub.wait_for(answered, "the service does not answer") == before


def test_groups_have_limits(service_hub: ServiceHub, tmp_path: Path) -> None:
    erin = service_hub.member("erin")
    try:
        first = GPU.format(name="first", placement="local")
        assert erin.publish(make_notebook(first), tmp_path / "first.ipynb")["state"] == "ready"
        second = GPU.format(name="second", placement="local")
        found = erin.publish(make_notebook(second), tmp_path / "second.ipynb")
        assert found["state"] == "failed"
        assert (
            "Your groups allow 1 worker at a time, and you have 1 running"
            in found["error"]["message"]
        )
        assert "elsewhere" not in found["error"]["message"]
        assert erin.http.delete("services/erin/first").status_code == 204
        service_hub.wait_for(lambda: not service_hub.servers("erin"), "the node stays")

        third = GPU.format(name="third", placement="gpu")
        found = erin.publish(make_notebook(third), tmp_path / "third.ipynb")
        assert found["state"] == "ready", found.get("error")
        service_hub.wait_for(
            lambda: "GPU seconds" in erin.http.get("services/erin/third").text,
            "the worker was not ended",
        )
        assert erin.call("erin/third").status_code == 503
        assert erin.http.delete("services/erin/third").status_code == 204
    finally:
        erin.http.close()


def test_metrics_are_for_administrators_and_tokens_made_for_them(
    service_hub: ServiceHub, alice: Member, where: str
) -> None:
    assert alice.call(where).status_code == 200
    dora = service_hub.member("dora")
    prometheus = {"Authorization": f"Bearer {service_hub.token}-metrics"}
    try:
        for headers in (dora.http.headers, prometheus):
            answer = httpx.get(f"{service_hub.service_url}metrics", headers=headers, timeout=60)
            assert answer.status_code == 200, answer.text
            assert answer.headers["Content-Type"].startswith("text/plain")
            assert f'easymlnb_calls_total{{code="ok",service="{where}"' in answer.text
        refused = alice.http.get("metrics")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        assert "read:metrics" in refused.json()["error"]["message"]
        # It opens nothing else, and another service's token not even that.
        services = f"{service_hub.service_url}services"
        assert httpx.get(services, headers=prometheus, timeout=60).status_code == 401
        tests = {"Authorization": f"token {service_hub.token}"}
        answer = httpx.get(f"{service_hub.service_url}metrics", headers=tests, timeout=60)
        assert answer.status_code == 403
        assert httpx.get(f"{service_hub.service_url}metrics", timeout=60).status_code == 401
    finally:
        dora.http.close()
    assert f"caller=alice service={where} version=1 status=200" in service_hub.log


def test_administrators_may_stop_everything(
    service_hub: ServiceHub, alice: Member, where: str
) -> None:
    dora = service_hub.member("dora")
    try:
        assert dora.http.delete(f"services/{where}").status_code == 204
        removed = f"caller=dora method=DELETE path=/services/easymlnb/services/{where} status=204"
        # The service's log reaches the Hub's a moment later.
        service_hub.wait_for(lambda: removed in service_hub.log, "the removal is not in the log")
        assert "easymlnb.audit] audit" in service_hub.log
        assert alice.call(where).status_code == 404
        # The node has no workers left, and ends.
        service_hub.wait_for(lambda: not service_hub.servers("alice"), "the node stays")
    finally:
        dora.http.close()


def test_doctor_says_whether_the_hub_gives_what_it_needs(
    service_hub: ServiceHub, alice: Member
) -> None:
    dora = service_hub.member("dora")
    narrow = service_hub.member("bob", scopes=["read:users:activity!user"])
    try:
        assert alice.http.get("hub").status_code == 403
        told = dora.http.get("hub").json()
        assert (told["missing"], told["reached"]) == ([], True)
        findings = examine_service(service_hub.service_url, dora.token)
        assert not [finding for finding in findings if finding.bad]
        assert any("can start, stop and reach" in finding.says for finding in findings)
        refused = examine_service(service_hub.service_url, narrow.token)
        assert [TOKENS in finding.fix for finding in refused if finding.bad] == [True]
        nowhere = examine_service(f"{service_hub.url}/services/other/", dora.token)
        assert ["hub config" in finding.fix for finding in nowhere] == [True]
    finally:
        dora.http.close()
        narrow.http.close()
