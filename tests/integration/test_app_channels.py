"""The line between an app page and its place, as somebody who means no good would use it."""

import base64
import json
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from easymlnb_server.apps import jupyter_messages
from easymlnb_server.uploads.uploads import MAX_PER_VISITOR
from support.browser import SERVICES, form_kernels
from support.notebooks import make_notebook
from support.page_channel import Page, open_page, pass_of
from support.server import RunningServer, running_server

FILES = """
import easymlnb as ml

@ml.service(public=True)
def weigh(file: ml.File) -> int:
    return 1
"""
VALUES = '''
from datetime import date, datetime
from typing import Annotated, Any
from pydantic import BaseModel
import easymlnb as ml

class Tree(BaseModel):
    name: str = ""
    twin: "Tree | None" = None
    kids: list["Tree"] = []

@ml.service(public=True)
def values(
    note: str = "", number: int | None = None, anything: Any = None, color: ml.Color = "#112233",
    day: date | None = None, moment: datetime | None = None, names: list[str] = [],
    points: list[list[float]] = [], tree: Tree = Tree(), tally: dict[str, int] = {},
    tags: Annotated[list[str], ml.MultipleChoice([f"tag {n}" for n in range(2000)])] = [],
) -> Any:
    """Give back what came."""
    return anything
'''


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder, notebook = tmp_path_factory.mktemp("channels"), make_notebook(SERVICES, FILES, VALUES)
    options = ("--EasyMLNB.app_pages_per_visitor=40",)
    with running_server(
        folder, notebook, base="/user/ann/", app_kernels=1, options=options
    ) as server:
        yield server


@pytest.fixture
def page(apps: RunningServer) -> Iterator[Any]:
    """Open pages, each with the cookies of a visitor of its own unless one is given."""
    clients: list[httpx.Client] = []

    def start(path: str = "public/shout", client: httpx.Client | None = None) -> Page:
        if client is None:
            client = httpx.Client(base_url=apps.url, timeout=60)
            clients.append(client)
        return open_page(apps, client, path)

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def user(apps: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=apps.url, timeout=60) as client:
        client.get("easymlnb/", params={"token": apps.token})
        yield client


def named(states: dict[str, Any], **state: Any) -> str:
    """Return the id of the widget with that state."""
    found = [name for name, one in states.items() if state.items() <= one["state"].items()]
    assert len(found) == 1, found
    return found[0]


TITLES = {
    "note": "Note", "number": "Number", "anything": "Anything", "color": "Color", "day": "Day",
    "moment": "Moment",
}  # fmt: skip


def control(states: dict[str, Any], field: str) -> str:
    """Return the id of the widget of a field of ``values``."""
    if field == "tags":
        return named(states, _model_name="TagsInputModel")
    # An optional field has a checkbox of the same name.
    fields = {name: one for name, one in states.items() if one["model_name"] != "CheckboxModel"}
    return named(fields, description=TITLES[field])


@pytest.mark.parametrize("v1", [True, False])
def test_a_page_gets_its_widgets(page: Any, v1: bool) -> None:
    one = page()
    with one.line(v1) as line:
        line.say("kernel_info_request", {})
        assert line.hear("kernel_info_reply")["status"] == "ok"
        states = line.states()
        assert one.root in states
        line.say("comm_info_request", {})
        assert set(line.hear("comm_info_reply")["comms"]) == set(states)


def test_a_changed_widget_keeps_its_value_and_the_turn_ends(page: Any) -> None:
    with page().line() as line:
        field = named(line.states(), _model_name="TextModel", value="")
        line.update(field, value="typed")
        while line.hear("status")["execution_state"] != "idle":
            pass
        assert line.states()[field]["state"]["value"] == "typed"


FORMS = [(True, "shell", 0), (True, "control", 1), (False, "shell", 0), (False, "shell", 1)]


@pytest.mark.parametrize(("v1", "channel", "buffers"), FORMS)
def test_code_is_not_executed(
    page: Any, apps: RunningServer, tmp_path: Path, v1: bool, channel: str, buffers: int
) -> None:
    marker = tmp_path / "marker"
    with page().line(v1) as line:
        code = f"open({str(marker)!r}, 'w').close()"
        parts = [b"x"] * buffers
        for kind in ("execute_request", "inspect_request", "debug_request", "shutdown_request"):
            line.say(kind, {"code": code, "silent": False}, channel, *parts)
        line.say("create_subshell_request", {}, "control")
        line.say("execute_request", {"code": code}, "iopub")
        # What comes after it is answered, so it was all looked at.
        assert line.states()
    assert not marker.exists()
    assert "'execute_request' on" in apps.log


def test_comm_of_no_known_target_and_new_widgets_are_refused(page: Any) -> None:
    with page().line() as line:
        before = line.states()
        state = {
            "_model_module": "@jupyter-widgets/controls",
            "_model_module_version": "2.0.0",
            "_model_name": "TextModel",
            "_view_module": "@jupyter-widgets/controls",
            "_view_module_version": "2.0.0",
            "_view_name": "TextView",
        }
        for target in ("jupyter.widget", "anything"):
            data = {"state": state, "buffer_paths": []}
            line.say("comm_open", {"comm_id": target, "target_name": target, "data": data})
            assert line.hear("comm_close")["comm_id"] == target
        assert line.states().keys() == before.keys()


def test_other_places_are_out_of_reach(page: Any, apps: RunningServer) -> None:
    hers, his = page(), page()
    with hers.line() as ann, his.line() as bob:
        her_states = ann.states()
        field = named(her_states, _model_name="TextModel", value="")
        assert not her_states.keys() & bob.states().keys()
        # The ids are guessed, so to say.
        bob.update(field, value="forged")
        bob.say("comm_msg", {"comm_id": field, "data": {"method": "request_state"}})
        bob.say("comm_close", {"comm_id": field, "data": {}})
        bob.update(his.root, children=[f"IPY_MODEL_{hers.root}"])
        assert not her_states.keys() & bob.states().keys()
        assert ann.states()[field]["state"]["value"] == ""
    assert len(form_kernels(apps)) <= 2


def test_place_belongs_to_its_visitor(page: Any, apps: RunningServer, user: httpx.Client) -> None:
    hers, his = page(), page()
    host = f"http://127.0.0.1:{apps.port}"
    with httpx.Client(timeout=60) as stranger:
        for client, status in ((hers.client, 200), (his.client, 404), (stranger, 404), (user, 404)):
            assert client.get(f"{host}{hers.url('')[:-1]}").status_code == status
        left = stranger.post(f"{host}{hers.here}leave/{hers.place}")
        assert left.status_code in (403, 404)
    taken = Page(apps, his.client, hers.here, hers.place, hers.root)
    with pytest.raises(InvalidStatus) as refused, taken.line():
        pass
    assert refused.value.response.status_code == 404
    with hers.line() as line:
        assert line.states()


def test_private_place_wants_the_login_too(
    page: Any, apps: RunningServer, user: httpx.Client
) -> None:
    mine = page("apps/whisper", user)
    with mine.line() as line:
        assert line.states()
    visitor = {one.name: one.value for one in user.cookies.jar if "visitor" in one.name}
    assert visitor
    with httpx.Client(base_url=apps.url, cookies=visitor, timeout=60) as half:
        answer = half.get(f"http://127.0.0.1:{apps.port}{mine.url('')[:-1]}")
        assert answer.status_code == 401
        # Nor by the way of those without a login.
        other = mine.url("")[:-1].replace("/apps/", "/public/")
        assert half.get(f"http://127.0.0.1:{apps.port}{other}").status_code == 404


def test_other_sites_are_refused(page: Any) -> None:
    with pytest.raises(InvalidStatus) as refused, page().line(Origin="https://evil.example"):
        pass
    assert refused.value.response.status_code == 403


def test_too_large_and_too_many_are_cut_off(page: Any, apps: RunningServer) -> None:
    with page().line() as line, pytest.raises(ConnectionClosed) as cut:
        line.say("comm_msg", {"comm_id": "x" * 2**20, "data": {}})
        line.hear("nothing")
    assert cut.value.rcvd is not None and cut.value.rcvd.code == 1009
    with page().line() as line, pytest.raises(ConnectionClosed) as cut:
        for _ in range(3000):
            line.say("comm_info_request", {})
        line.hear("nothing")
    # The server no longer reads from it, although the client continues.
    assert apps.log.count("TooMuchError") == 1
    assert "more lines like this" not in apps.log


NOISE = [
    b"",
    b"\x00",
    struct.pack("<Q", 2**63) + b"x" * 64,
    struct.pack("<8Q", 6, 64, 10**9, 5, 4, 3, 2, 1),
    b"\xff" * 200,
    "{}",
    "[1]",
    '{"header": {"msg_type": 3}}',
    "[" * 100_000,
]


@pytest.mark.parametrize("noise", NOISE, ids=range(len(NOISE)))
@pytest.mark.parametrize("v1", [True, False])
def test_noise_ends_the_line_and_nothing_else(page: Any, noise: Any, v1: bool) -> None:
    one = page()
    with one.line(v1) as line, pytest.raises(ConnectionClosed):
        line.socket.send(noise)
        line.hear("nothing")
    with one.line(v1) as line:
        assert line.states()


def test_a_pass_opens_one_service_while_the_page_lives(page: Any, apps: RunningServer) -> None:
    one = page("public/weigh")
    headers = {"Authorization": pass_of(one)}
    with httpx.Client(base_url=f"{apps.url}easymlnb/", headers=headers, timeout=60) as client:
        assert client.post("services/weigh/call", json={}).status_code == 422
        for path in ("services/shout/call", "services/whisper/call", "services"):
            assert client.post(path, json={"text": "x"}).status_code == 403
        for path in ("services", "", "services/weigh/log", "apps/weigh", "services/weigh/page"):
            assert client.get(path).status_code in (403, 404)
        xsrf = {"X-XSRFToken": one.client.cookies["_xsrf"]}
        left = one.client.post(
            f"http://127.0.0.1:{apps.port}{one.here}leave/{one.place}", headers=xsrf
        )
        assert left.status_code == 204
        assert client.post("services/weigh/call", json={}).status_code == 401


def test_files_that_visitors_only_announce_take_nothing_from_others(
    page: Any, apps: RunningServer
) -> None:
    assert apps.process is not None
    server = psutil.Process(apps.process.pid)
    announced: dict[str, Any] = {"params": {"service": "weigh"}, "json": {"name": "x", "size": 0}}
    headers = [{"Authorization": pass_of(page("public/weigh"))} for _ in range(2)]
    with httpx.Client(base_url=f"{apps.url}easymlnb/", timeout=60) as client:
        before = server.num_fds()
        for _ in range(MAX_PER_VISITOR):
            for one in headers:
                made = client.post("uploads", headers=one, **announced)
                assert made.status_code == 201
        assert server.num_fds() < before + 20
        refused = client.post("uploads", headers=headers[0], **announced)
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "upload_quota")
        used = {"file": {"upload": made.json()["id"], "name": "x"}}
        called = {"json": used, "headers": {**one, "X-Easymlnb-Uploads": made.json()["id"]}}
        assert client.post("services/weigh/call", **called).json() == 1
        # A large body of a visitor's takes the same way as a small one.
        large = {"content": b"x" * 2 * 2**20, "headers": {**one, "Content-Type": "image/png"}}
        assert client.post("services/weigh/call", **large).json() == 1
    own = apps.http.post("uploads", **announced)
    assert own.status_code == 201
    assert apps.http.delete(f"uploads/{own.json()['id']}").status_code == 204


DEEP = "[" * 100_000 + "]" * 100_000


def restored(**values: Any) -> dict[str, Any]:
    return {"action": "restore", "value": json.dumps(values)}


def nested(levels: int) -> str:
    return '{"tree": ' + '{"twin": ' * levels + "null" + "}" * levels + "}"


def unfolding() -> str:
    packed = zlib.compress(json.dumps({"names": ["a"] * 20_000}).encode(), 9)
    return base64.urlsafe_b64encode(packed).decode()


ASKED: dict[str, list[dict[str, Any]]] = {
    "a long list": [restored(names=["a"] * 16_000)],
    "many long lists": [restored(names=["a"] * 4000, tally=dict.fromkeys(map(str, range(4000))))],
    "lists in lists": [restored(points=[[1.0] * 100] * 150)],
    "lists of one": [restored(points=[[1.0]] * 10_000)],
    "deep values": [{"action": "restore", "value": nested(900)}],
    "very deep values": [{"action": "restore", "value": nested(9000)}],
    "deep lists": [{"action": "restore", "value": DEEP[:99_000]}],
    "a wide tree": [restored(tree={"kids": [{"kids": [{"kids": []}] * 50}] * 50})],
    "a link": [{"action": "open", "value": unfolding()}],
    "a link to too much": [
        {"action": "open", "value": base64.urlsafe_b64encode(zlib.compress(b"[" * 10**7)).decode()}
    ],
    "again and again": [restored(names=["a"] * 400)] * 200,
}
"""What the page's script may ask for, with values that it never would send."""

SET: dict[str, tuple[str, Any]] = {
    "long text": ("note", "x" * 900_000),
    "a number of many digits": ("number", "9" * 900_000),
    "deep JSON": ("anything", DEEP),
    "much JSON": ("anything", json.dumps([1] * 300_000)),
    "no color": ("color", "rgb(" + " " * 900_000),
    "a long color": ("color", "#" + "1" * 900_000),
    "a day": ("day", {"year": 10**300, "month": -1, "date": 0}),
    "a moment": ("moment", {"year": 2026, "month": 10**18, "date": 1}),
    "tags": ("tags", ["tag 1999"] * 50_000),
}


def fine(other: Any) -> None:
    """Find that a page still answers."""
    assert other.states()


def asks(line: Any, content: dict[str, Any]) -> None:
    script = named(line.known, _anywidget_id="easymlnb.form")
    line.say("comm_msg", {"comm_id": script, "data": {"method": "custom", "content": content}})


@pytest.mark.timeout(120)
@pytest.mark.parametrize("asked", ASKED)
def test_no_page_keeps_another_waiting_by_what_it_asks_for(page: Any, asked: str) -> None:
    with page("public/values").line() as line, page("public/values").line() as other:
        line.known = line.states()
        for content in ASKED[asked]:
            asks(line, content)
        for act in ("draft", "link", "origin", "download"):
            asks(line, {"action": act, "value": "http://localhost"})
        fine(other)
        if len(ASKED[asked]) == 1:
            # Its own page answers, too, and has not grown beyond what a browser could show.
            assert len(line.states()) < 6000


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", SET)
def test_no_page_keeps_another_waiting_by_what_it_types(page: Any, what: str) -> None:
    with page("public/values").line() as line, page("public/values").line() as other:
        line.known = line.states()
        field, value = SET[what]
        line.update(control(line.known, field), value=value)
        run = named(line.known, description="Run")
        for act in ("draft", "link", "origin", "draft", "link"):
            asks(line, {"action": act, "value": "http://localhost"})
        clicked = {"method": "custom", "content": {"event": "click"}}
        line.say("comm_msg", {"comm_id": run, "data": clicked})
        fine(other)
        fine(line)


def test_a_page_changes_values_only(page: Any) -> None:
    with page().line() as line:
        states = line.states()
        text = named(states, _model_name="TextModel", value="")
        box = next(name for name, one in states.items() if one["state"].get("children"))
        line.update(box, children=[f"IPY_MODEL_{box}"] * 2)
        line.update(text, value="typed", description="Password", disabled=True)
        after = line.states()
        assert after[box] == states[box]
        assert after[text]["state"] == {**states[text]["state"], "value": "typed"}


def test_a_long_header_ends_the_line(page: Any) -> None:
    one = page()
    with one.line() as line, pytest.raises(ConnectionClosed):
        header = json.dumps({"msg_id": "x" * 10_000, "msg_type": "comm_info_request"}).encode()
        message = jupyter_messages.JupyterMessage(
            "shell", "comm_info_request", header, b"{}", b"{}", b"{}"
        )
        line.socket.send(jupyter_messages.write(message, True))
        line.hear("nothing")
    with one.line() as line:
        assert line.states()


def test_one_kernel_lost_harms_no_other_page(page: Any, apps: RunningServer) -> None:
    lost = page()
    with lost.line() as line:
        assert line.states()
        for kernel in form_kernels(apps):
            kernel.kill()
        with pytest.raises(ConnectionClosed):
            line.hear("nothing")
    url = f"http://127.0.0.1:{apps.port}{lost.url('')[:-1]}"
    assert lost.client.get(url).status_code == 404
    until = time.monotonic() + 60
    while lost.client.get("easymlnb/public/shout").status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.2)
