"""Two server processes on one PostgreSQL: whichever is asked, the right answer comes."""

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from conftest import RunningServer, make_notebook
from databases import running
from pairs import Pair, pair
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from easymlnb_server.apps import wire

pytestmark = pytest.mark.timeout(300)  # two servers and their kernels start

MB = 2**20

NOTEBOOK = """
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
import easymlnb as ml

@ml.service(public=True)
def shout_{n}(text: str) -> str:
    return text.upper() + "{n}"

@ml.service
def count_{n}(until: str) -> Iterator[int]:
    yield 1
    while not Path(until).exists():
        time.sleep(0.01)
    yield 2

@ml.service(timeout=60)
def nap_{n}(started: str) -> int:
    Path(started).touch()
    time.sleep(60)
    return 1

@ml.service
def ping_{n}() -> str:
    try:
        return ml.use(f"ping_{1 - {n}}")()
    except ml.EasyMLNBError as error:
        return error.code

@ml.service
def size_{n}(file: Annotated[ml.File, ml.File(max_bytes=200 * 2**20)]) -> int:
    return file.size
"""

Two = Pair[RunningServer]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """Two processes, each of which serves one of two notebooks."""
    with (
        running() as postgres,
        pair(RunningServer, tmp_path_factory.mktemp("pair"), postgres) as made,
    ):
        for number, server in enumerate(made.both):
            cell = NOTEBOOK.replace("{n}", str(number))
            found = server.publish(make_notebook(cell), f"work{number}.ipynb")
            assert found["state"] == "ready", found
        made.wait_for(lambda: made.ready("shout_0", "shout_1"), "not all are ready")
        yield made


def name_at(both: Two, server: RunningServer, what: str) -> str:
    """Return a service of a kind that this process serves."""

    def held() -> str:
        return next((name for name in sorted(both.held_by(server)) if name.startswith(what)), "")

    # Who had no turn for too long holds nothing, until they share again.
    return str(both.wait_for(held, f"{server.port} serves no {what}"))


def test_each_serves_its_share_and_both_answer_for_all(both: Two) -> None:
    both.wait_for(
        lambda: [len(both.held_by(server)) for server in both.both] == [5, 5], "they do not share"
    )
    for number in range(40):
        for server in both.both:
            for service in (0, 1):
                answer = server.call(f"shout_{service}", text=f"a{number}")
                assert (answer.status_code, answer.json()) == (200, f"A{number}{service}")
    listed = [server.http.get("services").json()["services"] for server in both.both]
    assert [one["name"] for one in listed[0]] == [one["name"] for one in listed[1]]
    for name in ("shout_0", "count_1"):
        specs = [server.http.get(f"services/{name}").json() for server in both.both]
        assert specs[0] == specs[1]


def test_refusals_come_from_whoever_serves_it(both: Two) -> None:
    name = name_at(both, both.one, "shout")
    for server in both.both:
        wrong = server.http.post(f"services/{name}/call", json={"txt": 1})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "invalid_input")
        assert server.http.get("services/none_such").status_code == 404
        url = f"{server.url}easymlnb/services/{name}/call"
        nobody = httpx.post(url, json={"text": "a"}, timeout=60)
        assert (nobody.status_code, nobody.json()["error"]["code"]) == (401, "not_logged_in")
        evil = {"Host": "evil.example", "Authorization": f"token {server.token}"}
        assert httpx.post(url, json={"text": "a"}, headers=evil, timeout=60).status_code == 403


def test_a_stream_comes_piece_by_piece_through_the_other(both: Two, tmp_path: Path) -> None:
    name, flag = name_at(both, both.one, "count"), tmp_path / "go"
    with both.two.http.stream(
        "POST",
        f"services/{name}/call",
        json={"until": str(flag)},
        headers={"Accept": "text/event-stream"},
    ) as answer:
        items = []
        for line in answer.iter_lines():
            if line.startswith("data:") and line[5:].strip() in ("1", "2"):
                items.append(line[5:].strip())
                flag.touch()  # the second item comes only once the first was read
    assert items == ["1", "2"]


def test_a_large_body_passes_through_without_staying(both: Two) -> None:
    name = name_at(both, both.one, "size")
    assert both.two.process is not None
    process = psutil.Process(both.two.process.pid)
    before, most, done = process.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            most[0] = max(most[0], process.memory_info().rss)
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        answer = both.two.http.post(
            f"services/{name}/call", files={"file": ("a.bin", bytes(120 * MB))}
        )
    finally:
        done.set()
        watcher.join()
    assert (answer.status_code, answer.json()) == (200, 120 * MB)
    assert most[0] - before < 40 * MB
    refused = both.two.http.post(f"services/{name}/call", content=bytes(3 * MB))
    assert refused.status_code in (413, 415, 422)


def test_an_upload_lies_where_its_service_is_served(both: Two) -> None:
    name, there, other = name_at(both, both.one, "size"), both.one, both.two
    made = other.http.post("uploads", params={"service": name}, json={"name": "a", "size": 6})
    assert made.status_code == 201, made.text
    id = made.json()["id"]
    for server, offset, part in ((other, 0, b"abc"), (there, 3, b"def")):
        put = server.http.put(f"uploads/{id}", params={"offset": offset}, content=part)
        assert put.json() == {"offset": offset + 3}
    answer = other.http.post(
        f"services/{name}/call",
        json={"file": {"upload": id}},
        headers={"X-Easymlnb-Uploads": id},
    )
    assert (answer.status_code, answer.json()) == (200, 6)
    assert other.http.delete(f"uploads/{id}").status_code == 204
    assert there.http.get(f"uploads/{id}").status_code == 404


def test_a_call_is_stopped_by_its_id_wherever_it_runs(both: Two, tmp_path: Path) -> None:
    name, found = name_at(both, both.one, "nap"), []
    headers = {**both.one.http.headers, "X-Request-Id": "a-call-to-be-stopped"}
    url = f"{both.one.url}easymlnb/services/{name}/call"

    def ask() -> None:
        values = {"started": str(tmp_path / "started")}
        found.append(httpx.post(url, json=values, headers=headers, timeout=60))

    asking = threading.Thread(target=ask)
    asking.start()
    both.wait_for((tmp_path / "started").exists, "the call did not begin")
    assert both.two.http.delete("calls/a-call-to-be-stopped").status_code == 204
    asking.join()
    assert found[0].json()["error"]["code"] == "cancelled"
    gone = both.two.http.delete("calls/a-call-to-be-stopped")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "call_not_found")


def test_who_leaves_stops_the_call_behind_the_other(both: Two, tmp_path: Path) -> None:
    name = name_at(both, both.one, "nap")
    with pytest.raises(httpx.ReadTimeout):
        both.two.http.post(
            f"services/{name}/call",
            json={"started": str(tmp_path / "started")},
            timeout=httpx.Timeout(60, read=3),
        )
    both.wait_for(lambda: _running(both.one, name) == 0, "the call runs on")


def _running(server: RunningServer, name: str) -> int:
    return int(server.http.get(f"services/{name}").json()["stats"]["running"])


def test_an_app_page_lives_with_its_service(both: Two) -> None:
    name, other = name_at(both, both.one, "shout"), both.two
    with httpx.Client(base_url=f"{other.url}easymlnb/", timeout=60) as client:

        def opened() -> Any:
            text = client.get(f"public/{name}").raise_for_status().text
            return re.search(r'"kernelId": "([0-9a-f-]+)"', text)

        place = both.wait_for(opened, "the page did not open")[1]
        cookies = "; ".join(f"{one.name}={one.value}" for one in client.cookies.jar)
        # The line of a page by either process leads to the one that has it.
        for server in both.both:
            url = (
                f"ws://127.0.0.1:{server.port}/easymlnb/public/{name}/api/kernels/{place}/channels"
            )
            with connect(
                url,
                subprotocols=[Subprotocol(wire.V1)],
                additional_headers={"Cookie": cookies},
                max_size=None,
                open_timeout=60,
            ) as socket:
                assert _kernel_info(socket) == "kernel_info_reply"
        assert client.get(f"public/{name}/api/kernels/{place}").status_code == 200


def _kernel_info(socket: Any) -> str:
    header = {"msg_id": "m1", "msg_type": "kernel_info_request", "session": "s", "username": ""}
    message = wire.Message(
        "shell", "kernel_info_request", json.dumps(header).encode(), b"{}", b"{}", b"{}", ()
    )
    socket.send(wire.write(message, True))
    while True:
        found = wire.read(socket.recv(timeout=60), True).kind
        if found == "kernel_info_reply":
            return found


ASKING = """
import easymlnb as ml

@ml.service
def both_shout(text: str) -> list[str]:
    return [ml.use(f"shout_{n}")(text=text) for n in (0, 1)]

@ml.service
def both_fail(text: str = "a") -> str:
    try:
        return ml.use("shout_0")(txt=text) + ml.use("shout_1")(text=text)
    except ml.EasyMLNBError as error:
        return error.code
"""


def test_services_ask_those_of_the_other_process(both: Two) -> None:
    assert both.one.publish(make_notebook(ASKING), "asking.ipynb")["state"] == "ready"
    both.wait_for(lambda: both.ready("both_shout"), "it is not known everywhere")
    for server in both.both:
        assert server.call("both_shout", text="a").json() == ["A0", "A1"]
        assert server.call("both_fail").json() == "invalid_input"
        for name in ("ping_0", "ping_1"):
            assert server.call(name).json() == "call_cycle"
    for name in ("both_shout", "both_fail"):
        assert both.two.http.delete(f"services/{name}").status_code == 204


def test_what_is_published_at_one_is_there_at_the_other(both: Two) -> None:
    source = "import easymlnb as ml\n@ml.service\ndef version() -> int:\n    return {}"
    for number, server in enumerate((both.one, both.two, both.one), 1):
        found = server.publish(make_notebook(source.format(number)), "version.ipynb")
        assert [one["version"] for one in found["services"]] == [number]
        # Who serves it has it at once, the other in a moment; neither goes back.
        assert both.of("version")[0].call("version").json() == number
        for one in both.both:
            both.wait_for(
                lambda s=one, n=number: s.call("version").json() == n,  # type: ignore[misc]
                "it answers with a former version",
            )
            assert one.call("version").json() == number
    gone = next(one for one in both.both if one is not both.of("version")[0])
    assert gone.http.delete("services/version").status_code == 204
    for server in both.both:
        both.wait_for(
            lambda s=server: s.call("version").status_code == 404,  # type: ignore[misc]
            "it is still there",
        )


def test_nothing_is_sent_on_twice(both: Two) -> None:
    name = name_at(both, both.one, "shout")
    url = f"{both.two.url}easymlnb/services/{name}/call"
    sent_on = {**both.two.http.headers, "X-Easymlnb-Hop": "somebody"}
    answer = httpx.post(url, json={"text": "a"}, headers=sent_on, timeout=60)
    assert (answer.status_code, answer.headers["X-Easymlnb-Moved"]) == (503, "1")
    assert int(answer.headers["Retry-After"]) > 0
