"""A locked version on Slurm nodes keeps its packages when those of its kernel change."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest

from support.hub.hub import Hub, User
from support.hub.shared_service import SETTINGS, Member, ServiceHub
from support.hub.slurm import NODES, Cluster
from support.locked import make_kernel, make_wheelhouse
from support.notebooks import make_notebook

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

CELL = """
import os, sys
import easymlnb as ml
import tiny_pure

@ml.service(name="{name}", placement="files", examples=[{{"x": 1}}])
def {name}(x: int = 0) -> dict:
    return {{
        "package": tiny_pure.VALUE,
        "prefix": sys.prefix,
        "node": os.environ["SLURMD_NODENAME"],
        "pid": os.getpid(),
    }}
"""


class Author:
    """A user of a Hub whose notebooks run in a kernel environment of their own."""

    def __init__(self, hub: Hub, user: User | Member, url: str, *, prefix: str = "") -> None:
        self.hub = hub
        self.name = name = user.name
        self.http = user.http
        self.url = url
        self.token = user.token
        self.prefix = prefix
        self.wheelhouse = make_wheelhouse(hub.folder / "wheelhouse")
        self.kernel = make_kernel(hub.folder / "homes" / name / "environment", self.wheelhouse)
        data = hub.folder / "homes" / name / ".local/share/jupyter"
        self.kernel.register("tiny", str(data))

    def publish(self, name: str, *options: str) -> str:
        made = make_notebook(CELL.format(name=name))
        made.metadata["kernelspec"] = {"name": "tiny", "display_name": "T", "language": "python"}
        path = self.hub.folder / f"{name}.ipynb"
        nbformat.write(made, path)
        return self.kernel.publish(self.url, self.token, self.wheelhouse, path, *options)

    def call(self, name: str) -> dict[str, Any] | None:
        answer = self.http.post(f"services/{self.prefix}{name}/call", json={})
        return answer.json() if answer.status_code == 200 else None

    def lose_nodes(self) -> None:
        for name in [name for name in self.hub.servers(self.name) if name]:
            self.hub.stop_server(self.name, name)


def check(author: Author) -> None:
    """Publish with and without a lock, change a package, and start both on other nodes."""
    author.publish("loose")
    said = author.publish("fixed", "--locked")
    assert "Building the locked environment" in said
    loose, fixed = author.call("loose"), author.call("fixed")
    assert loose is not None and fixed is not None
    assert (loose["package"], fixed["package"]) == (1.0, 1.0)
    assert {loose["node"], fixed["node"]} <= NODES.keys()
    assert loose["prefix"] == str(author.kernel.folder)
    assert "/environments/" in fixed["prefix"]

    author.kernel.pip("--find-links", author.wheelhouse, "-U", "tiny_pure==2.0")
    author.lose_nodes()

    def again(name: str, before: dict[str, Any]) -> dict[str, Any] | None:
        found = author.call(name)
        return found if found is not None and found["pid"] != before["pid"] else None

    wait = author.hub.wait_for
    after = wait(partial(again, "fixed", fixed), "the locked version did not come back")
    assert after | {"pid": 0, "node": ""} == fixed | {"pid": 0, "node": ""}
    changed = wait(partial(again, "loose", loose), "the other version did not come back")
    assert changed["package"] == 2.0
    described = author.http.get(f"services/{author.prefix}loose").json()
    assert described["drift"]["changed"] == {"tiny-pure": ["1.0", "2.0"]}
    assert "drift" not in author.http.get(f"services/{author.prefix}fixed").json()


def test_on_a_users_own_server(slurm_hub: Hub) -> None:
    user = slurm_hub.serve("judy")
    author = Author(slurm_hub, user, user.url)
    try:
        check(author)
    finally:
        author.lose_nodes()
        slurm_hub.stop_server("judy")


@contextmanager
def shared_hub(folder: Path, cluster: Cluster) -> Iterator[ServiceHub]:
    options = {
        "placements": {"files": {"profile": "cpu", "max_workers": 2, "shared_files": True}},
        "app_kernels": 0,
        "environment_folder": str(folder / "environments"),
        "environment_wheelhouse": str(folder / "wheelhouse"),
    }
    made = ServiceHub(folder, dict(cluster.variables), settings={**SETTINGS, "EasyMLNB": options})
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_on_the_shared_service(
    real_hub: None, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("locked-hub")
    (folder / "wheelhouse").mkdir()
    with shared_hub(folder, cluster) as hub:
        alice = hub.member("alice")
        author = Author(hub, alice, hub.service_url, prefix="alice/")
        try:
            check(author)
        finally:
            author.lose_nodes()
            alice.http.close()
