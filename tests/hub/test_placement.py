"""Services whose workers run on a node: a named server of their author, started by the Hub."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest

from easymlnb.contract.errors import Forbidden
from easymlnb.contract.hub_config import OWN_TOKENS
from easymlnb.publishing.bundle import build_bundle
from easymlnb_server.placement.hub.client import HubClient
from support.hub.hub import Hub, User
from support.notebooks import make_notebook

# Nodes are started in most of these.
pytestmark = pytest.mark.timeout(300)

WHERE = """
import os
import easymlnb as ml

@ml.service(placement="{placement}", examples=[{{"x": 1}}])
def {name}(x: int = 0) -> dict:
    return {{
        "x": x,
        "profile": os.environ.get("TEST_PROFILE"),
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "data": open("data.txt").read(),
        "names": sorted(os.environ),
    }}
"""
NEEDS = """
import os
import easymlnb as ml

@ml.service(gpu=1)
def needs() -> str:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "none")
"""
SAYS = """
import easymlnb as ml

@ml.service(placement="{placement}")
def nowhere() -> int:
    return 1
"""


@pytest.fixture(scope="module")
def bob(hub: Hub) -> Iterator[User]:
    made = hub.serve("bob")
    yield made
    for name in list(hub.servers("bob")):
        hub.stop_server("bob", name)


def test_worker_runs_on_a_node_and_answers_here(hub: Hub, bob: User, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("from the author's folder")
    source = WHERE.format(placement="gpu", name="on_gpu")
    found = bob.publish(make_notebook(source), tmp_path / "on_gpu.ipynb")
    assert found["state"] == "ready", found.get("error")
    assert hub.servers("bob")["easymlnb-gpu-1"]["user_options"] == {"profile": "gpu"}
    answer = bob.call("on_gpu", x=3).json()
    assert answer["x"] == 3
    assert answer["gpu"] == "0"
    assert answer["data"] == "from the author's folder"
    # A node that does what it is for complains of nothing.
    assert "offers no services itself" not in hub.log
    assert not [name for name in answer["names"] if name.startswith("JUPYTERHUB")]
    assert "SECRET_OF_THE_SITE" not in answer["names"]
    bob.http.delete("services/on_gpu")
    hub.wait_for(lambda: not bob.kernels("easymlnb-gpu-1"), "the worker did not end")


def test_a_gpu_is_found_where_there_is_one(hub: Hub, bob: User, tmp_path: Path) -> None:
    found = bob.publish(make_notebook(NEEDS), tmp_path / "needs.ipynb")
    assert found["state"] == "ready", found.get("error")
    assert bob.call("needs").json() == "0"
    assert len(bob.kernels("easymlnb-gpu-1")) == 1
    bob.http.delete("services/needs")
    hub.wait_for(lambda: not bob.kernels("easymlnb-gpu-1"), "the worker did not end")


@pytest.mark.parametrize(
    ("placement", "told"),
    [
        (
            "nothing",
            "Its placements: local, gpu, cpu, broken, dies, slow, unknown, brief, single, alone, "
            "short, files, timed, minute.",
        ),
        ("broken", "invalid partition specified: nope"),
        (
            "unknown",
            "The Hub rejected a node with the options {'profile': 'unknown'}: Invalid user options",
        ),
        ("dies", "failed to start"),
    ],
)
def test_author_is_told_why_there_is_no_node(
    hub: Hub, bob: User, tmp_path: Path, placement: str, told: str
) -> None:
    source = SAYS.format(placement=placement)
    found = bob.publish(make_notebook(source), tmp_path / f"{placement}.ipynb")
    assert found["state"] == "failed"
    assert told in found["error"]["message"]
    hub.wait_for(
        lambda: not [name for name in hub.servers("bob") if placement in name],
        "a node was left in the Hub",
    )


def test_publishing_that_waits_for_a_node_is_called_off(
    hub: Hub, bob: User, tmp_path: Path
) -> None:
    path = tmp_path / "slow.ipynb"
    nbformat.write(make_notebook(SAYS.format(placement="slow")), path)
    made = build_bundle(path)
    sent = bob.http.post("services", content=made.data, headers={"Content-Type": "application/zip"})
    assert sent.status_code == 202, sent.text
    at = f"bundles/{sent.json()['bundle']}"
    node = "easymlnb-slow-1"
    hub.wait_for(
        lambda: hub.servers("bob").get(node, {}).get("pending") == "spawn", "no node is started"
    )
    started = hub.wait_for(lambda: (hub.server("bob", node) or {}).get("state"), "no process")
    assert bob.http.delete(at).status_code == 204
    found = bob.http.get(at).json()
    assert (found["state"], found["error"]["code"]) == ("failed", "cancelled")
    hub.wait_for(lambda: node not in hub.servers("bob"), "the node was left in the Hub")
    hub.wait_for(lambda: not psutil.pid_exists(started["pid"]), "its process was left")
    assert bob.http.get("services/nowhere").status_code == 404


def test_without_the_right_the_line_is_quoted_that_gives_it(hub: Hub, bob: User) -> None:
    told = hub.api.post("users/bob/tokens", json={"scopes": ["read:users:activity!user"]})
    told.raise_for_status()
    environment = {
        "JUPYTERHUB_API_URL": f"{hub.url}/hub/api",
        "JUPYTERHUB_USER": "bob",
        "JUPYTERHUB_API_TOKEN": told.json()["token"],
        "JUPYTERHUB_PUBLIC_URL": bob.url,
    }

    async def ask() -> None:
        api = HubClient.from_environment(environment)
        try:
            await api.start("easymlnb-gpu-9", "", {})
        finally:
            await api.close()

    with pytest.raises(Forbidden) as refused:
        asyncio.run(ask())
    assert OWN_TOKENS in refused.value.message
    assert "servers!user" in OWN_TOKENS
