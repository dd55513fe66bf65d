"""Finding a seat on a node: what is asked of the Hub when a node does not answer."""

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from jupyter_client.manager import AsyncKernelManager

from easymlnb.contract.errors import Forbidden, NotReady
from easymlnb_server.placement.base import SlotsTaken
from easymlnb_server.placement.hub import nodes
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.node_protocol import KernelRequest
from easymlnb_server.placement.hub.nodes import Nodes, NodeSlot
from easymlnb_server.placement.hub.profiles import PlacementProfile
from easymlnb_server.placement.hub.provisioner import HubProvisioner
from support.fakes import left_in
from support.http_server import Answering, serving

NODE = "easymlnb-gpu-1"
AT = f"/user/ann/{NODE}/"
SEATED = {"host": "h", "kernels": [{"id": "k", "kernel": "python3", "label": "a.ipynb"}]}


@dataclass
class Hub:
    """A Hub, its proxy and its servers in one. ``ready`` is what the Hub takes the node for.

    ``there`` says that the node runs, ``bare`` that it does so without easymlnb, ``full`` that it
    has no seat. Where there is no node the user's own server answers, ``begins`` says whether the
    Hub can start one.
    """

    url: str = ""
    ready: bool = True
    there: bool = False
    bare: bool = False
    full: bool = False
    renamed: bool = False
    begins: bool = True
    starts: int = 0
    version: str = ""
    bodies: list[Any] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


class Handler(Answering):
    hub: ClassVar[Hub]

    def do_GET(self) -> None:
        hub = self.hub
        if self.path == "/hub/api/user":
            self._say(200, {"kind": "user", "name": "anna"})
        elif self.path == "/hub/api/users/ann" and hub.renamed:
            self._say(404, {"message": "Not Found"})
        elif self.path == "/hub/api/users/ann":
            model = {"name": NODE, "url": AT, "ready": hub.ready}
            self._say(200, {"servers": {NODE: model} if hub.ready else {}})
        elif self.path.endswith("/progress"):
            self.answer(200, b'data: {"ready": true}\n\n', Content_Type="text/event-stream")
        elif self.path == f"{AT}api" and hub.there:
            self._say(200, {"version": "2"})
        elif self.path == f"{AT}easymlnb/node" and hub.there:
            self._say(200, SEATED)
        else:
            self._say(404, {"message": "Not Found"})

    def do_POST(self) -> None:
        hub = self.hub
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == f"/hub/api/users/ann/servers/{NODE}":
            # As the real one does, it looks at the server before it says that it runs already.
            hub.starts += 1
            hub.bodies.append(json.loads(body))
            started = not hub.there and hub.begins
            hub.there = hub.ready = hub.there or started or hub.ready
            hub.there = hub.there and hub.begins
            self._say(201 if started else 400, {"message": "It is running already."})
        elif not hub.there or hub.bare:
            self._say(404, {"message": "Not Found"})
        elif hub.full:
            self._say(409, {})
        else:
            self._say(201, {"id": "k", "age": 1.0})

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._say(404, {"message": "Not Found"})

    def _say(self, status: int, what: Any) -> None:
        named = {"X_JupyterHub_Version": self.hub.version} if self.hub.version else {}
        self.answer(status, json.dumps(what).encode(), **named)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(nodes, "RECHECK_AFTER", 0.05)
    monkeypatch.setattr(nodes, "UP_TIMEOUT", 0.5)
    monkeypatch.setattr(nodes, "POLL_INTERVAL", 0.02)
    kind = type("Ours", (Handler,), {"hub": Hub()})
    with serving(kind) as kind.hub.url:
        yield kind.hub


async def seat(hub: Hub) -> NodeSlot:
    account = HubCredentials(user="ann", token="t", api_url=f"{hub.url}/hub/api", proxy=hub.url)
    asking = Nodes(HubClient(account), "gpu", PlacementProfile(profile="gpu"))
    try:
        return await asking.start_kernel(KernelRequest(kernel="python3", key=""), hub.told.append)
    finally:
        await asking.close()


async def test_a_node_whose_job_was_cancelled_is_started_again(hub: Hub) -> None:
    # Its route is gone, so the user's own server answers, and the Hub has not looked yet.
    assert await seat(hub) == NodeSlot(f"{hub.url}{AT}", "k", 1.0)
    assert hub.starts == 1
    assert hub.told == [
        f"The node {NODE} does not respond; the Hub is checking whether the node is running ..."
    ]


async def test_a_node_that_the_hub_takes_for_running_is_not_said_to_lack_anything(hub: Hub) -> None:
    hub.begins = False
    began = time.monotonic()
    with pytest.raises(NotReady, match=f"{NODE} is not reachable, although the Hub reports"):
        await seat(hub)
    assert hub.starts
    assert time.monotonic() - began > 0.5


async def test_a_node_without_easymlnb_is_known_by_what_else_it_has(hub: Hub) -> None:
    hub.there = hub.bare = True
    with pytest.raises(NotReady, match="does not run easymlnb"):
        await seat(hub)


@pytest.mark.parametrize("version", ["5.4.4", "6.1.1", ""])
async def test_options_arrive_at_every_release_of_jupyterhub(hub: Hub, version: str) -> None:
    hub.version = version
    await seat(hub)
    options = {"profile": "gpu"}
    [body] = hub.bodies
    assert (body.get("user_options") if version.startswith("6") else body) == options


async def test_who_has_the_seats_is_said(hub: Hub) -> None:
    hub.there = hub.full = True
    told = "The only slot of the placement 'gpu' is in use by a kernel of a.ipynb on easymlnb-gpu-1"
    with pytest.raises(SlotsTaken, match=told):
        await seat(hub)


async def test_to_stop_what_is_not_there_is_fine_and_under_a_former_name_is_not(hub: Hub) -> None:
    account = HubCredentials(user="ann", token="t", api_url=f"{hub.url}/hub/api", proxy=hub.url)
    api = HubClient(account)
    try:
        await api.stop(NODE)
        hub.renamed = True
        # This tells a node whose user was renamed to stop.
        with pytest.raises(Forbidden, match="name of this user is now 'anna'"):
            await api.stop(NODE)
    finally:
        await api.close()


async def test_a_kernel_that_did_not_start_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    manager = AsyncKernelManager()
    made = HubProvisioner(parent=manager, kernel_id="k", placement="gpu", profile={})
    made.request = KernelRequest(kernel="python3", key="")
    made.credentials = HubCredentials()
    with pytest.raises(NotReady, match="JupyterHub"):
        await made.launch_kernel([])
    assert left_in(tmp_path) == []


def test_a_node_for_a_job_is_requested_for_its_time() -> None:
    plain = PlacementProfile(profile="gpu", lifetime="8h")
    assert plain.for_job(600) is plain and plain.spawner_options == {"profile": "gpu"}
    timed = PlacementProfile(profile="gpu", lifetime="8h", time_option="minutes")
    assert timed.spawner_options == {"profile": "gpu", "minutes": 480}
    short = timed.for_job(3600)
    assert short.spawner_options["minutes"] == 75 and short.idle_seconds == 0
    assert short.usable_seconds >= 3600
    assert timed.for_job(86400).lifetime_seconds == 8 * 3600
    endless = PlacementProfile(time_option="minutes")
    assert endless.spawner_options == {} and endless.for_job(60).spawner_options == {"minutes": 16}
    shared = PlacementProfile(time_option="minutes", slots=2)
    assert shared.for_job(60) is shared
