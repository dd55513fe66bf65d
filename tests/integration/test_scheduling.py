"""Many calls at once, of several services and callers: who runs, who waits, who is stopped."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.kernels import NotebookKernel
from support.misbehaving import error
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

SOURCE = """
import asyncio, os, threading, time
from pathlib import Path
from typing import Annotated
import easymlnb as ml

order = []
count = 0

@ml.service(timeout=60)
def hold(until: str) -> int:
    while not os.path.exists(until):
        time.sleep(0.01)
    return os.getpid()

@ml.service
def note(text: str) -> None:
    order.append(text)

@ml.service
def other(text: str) -> None:
    order.append(text)

@ml.service
def noted() -> list[str]:
    found = order[:]
    order.clear()
    return found

@ml.service(timeout=60)
def counts(x: int, seconds: float = 0.0, fails: bool = False) -> int:
    global count
    count += 1
    time.sleep(seconds)
    if fails:
        raise ValueError
    return count

@ml.service(timeout=60)
async def waits(seconds: float, text: str = "") -> str:
    print("begins", text)
    try:
        await asyncio.sleep(seconds)
    finally:
        print("ends", text)
    return text

@ml.service(timeout=60, concurrency=2)
async def two(until: str) -> int:
    while not os.path.exists(until):
        await asyncio.sleep(0.01)
    return 2

@ml.service(timeout=60)
def prints(seconds: float) -> None:
    print("so far")
    time.sleep(seconds)
"""

EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder, notebook = tmp_path_factory.mktemp("scheduling"), make_notebook(SOURCE)
    with running_server(folder, notebook, options=("--EasyMLNB.queue_limit=10",)) as server:
        yield server


class Held:
    """The one worker's main thread, kept busy until the block ends."""

    def __init__(self, server: RunningServer, callers: ThreadPoolExecutor, folder: Path) -> None:
        self.server = server
        self.callers = callers
        self.flag = folder / uuid.uuid4().hex

    def __enter__(self) -> "Held":
        self.answer = self.callers.submit(self.server.call, "hold", until=str(self.flag))
        self.wait_for("hold", "running", 1)
        return self

    def __exit__(self, *raised: object) -> None:
        self.flag.touch()
        assert self.answer.result(60).status_code == 200

    def wait_for(self, name: str, what: str, many: int) -> None:
        def there() -> bool:
            stats = self.server.http.get(f"services/{name}").json()["stats"]
            return bool(stats[what] == many)

        self.server.wait_for(there, f"not {many} calls of {name} are {what}")

    def put(self, name: str, headers: dict[str, str] | None = None, **values: Any) -> Future[Any]:
        """Call, and return when the call is in the queue."""
        before = self.server.http.get(f"services/{name}").json()["stats"]["waiting"]
        sent = self.callers.submit(
            self.server.http.post, f"services/{name}/call", json=values, headers=headers
        )
        self.wait_for(name, "waiting", before + 1)
        return sent


@pytest.fixture
def held(server: RunningServer, callers: ThreadPoolExecutor, tmp_path: Path) -> Iterator[Held]:
    with Held(server, callers, tmp_path) as made:
        yield made


def noted(server: RunningServer) -> list[str]:
    return list(server.call("noted").json())


def test_interactive_calls_go_first(
    server: RunningServer, callers: ThreadPoolExecutor, tmp_path: Path
) -> None:
    noted(server)
    with Held(server, callers, tmp_path) as held:
        sent = [held.put("note", {"X-Priority": "batch"}, text=f"later {n}") for n in range(2)]
        sent += [held.put("note", text=f"first {n}") for n in range(2)]
    assert all(answer.result(60).status_code == 200 for answer in sent)
    assert noted(server) == ["first 0", "first 1", "later 0", "later 1"]


def test_unknown_priority_is_refused(server: RunningServer) -> None:
    answer = server.http.post("services/noted/call", json={}, headers={"X-Priority": "urgent"})
    assert (answer.status_code, error(answer)) == (400, "bad_request")
    assert "interactive, batch" in answer.json()["error"]["message"]


def test_services_take_turns_and_a_full_line_is_its_own(
    server: RunningServer, callers: ThreadPoolExecutor, tmp_path: Path
) -> None:
    noted(server)
    with Held(server, callers, tmp_path) as held:
        sent = [held.put("note", text=f"flood {n}") for n in range(10)]
        refused = server.call("note", text="one too many")
        assert (refused.status_code, error(refused)) == (503, "busy")
        assert int(refused.headers["Retry-After"]) >= 1
        sent.append(held.put("other", text="other"))
    assert all(answer.result(60).status_code == 200 for answer in sent)
    assert noted(server).index("other") == 1


def test_coroutines_wait_for_no_plain_call_and_for_no_other(
    server: RunningServer, callers: ThreadPoolExecutor, held: Held
) -> None:
    names = [f"call-{n}" for n in range(16)]
    ask = lambda name: server.call("waits", seconds=1.0, text=name)  # noqa: E731
    began = time.monotonic()
    answers = list(callers.map(ask, names))
    assert time.monotonic() - began < 16
    assert [answer.json() for answer in answers] == names
    log = {
        e["request_id"]: e["log"] for e in server.http.get("services/waits/log").json()["entries"]
    }
    for name, answer in zip(names, answers, strict=True):
        assert log[answer.headers["X-Request-Id"]] == f"begins {name}\nends {name}\n"


def test_no_more_coroutines_than_it_says(
    server: RunningServer, callers: ThreadPoolExecutor, held: Held, tmp_path: Path
) -> None:
    over = tmp_path / "over"
    spec = server.http.get("services/two").json()
    assert spec["concurrency"] == 2
    sent = [callers.submit(server.call, "two", until=str(over)) for _ in range(3)]
    try:
        held.wait_for("two", "waiting", 1)
        held.wait_for("two", "running", 2)
    finally:
        over.touch()
    assert [answer.result(60).json() for answer in sent] == [2] * 3


def test_coroutine_is_stopped_at_its_deadline_alone(
    server: RunningServer, callers: ThreadPoolExecutor
) -> None:
    stays = callers.submit(server.call, "waits", seconds=4.0, text="stays")
    late = server.http.post(
        "services/waits/call", json={"seconds": 60, "text": "late"}, headers={"X-Timeout": "2"}
    )
    assert error(late) == "deadline_exceeded"
    assert stays.result(60).json() == "stays"

    def told() -> bool:
        entries = server.http.get("services/waits/log").json()["entries"]
        return any(entry["log"] == "begins late\nends late\n" for entry in entries)

    server.wait_for(told, "what it printed until it was stopped is lost")


def test_prints_of_a_plain_call_that_took_too_long_are_kept(server: RunningServer) -> None:
    late = server.http.post(
        "services/prints/call", json={"seconds": 30}, headers={"X-Timeout": "2"}
    )
    assert error(late) == "deadline_exceeded"

    def entry() -> Any:
        return server.http.get("services/prints/log").json()["entries"][-1]

    server.wait_for(lambda: entry()["log"] == "so far\n", "what it printed is lost")
    assert entry()["status"] == 504
    assert entry()["seconds"] > 0.4


@pytest.mark.parametrize("where", ["running", "waiting", "coroutine"])
def test_delete_stops_a_call(
    server: RunningServer, callers: ThreadPoolExecutor, tmp_path: Path, where: str
) -> None:
    chosen = f"mine-{uuid.uuid4().hex}"
    headers = {"X-Request-Id": chosen}
    if where == "waiting":
        with Held(server, callers, tmp_path) as held:
            sent = held.put("note", headers, text="x")
            assert server.http.delete(f"calls/{chosen}").status_code == 204
            assert error(sent.result(60)) == "cancelled"
    else:
        name = "prints" if where == "running" else "waits"
        sent = callers.submit(
            server.http.post, f"services/{name}/call", json={"seconds": 50}, headers=headers
        )
        server.wait_for(
            lambda: server.http.get(f"services/{name}").json()["stats"]["running"] == 1,
            "it does not run",
        )
        assert server.http.delete(f"calls/{chosen}").status_code == 204
        answer = sent.result(40)
        assert (answer.status_code, error(answer)) == (503, "cancelled")
    again = server.http.delete(f"calls/{chosen}")
    assert (again.status_code, error(again)) == (404, "call_not_found")


def test_delete_stops_a_call_that_drains_on_a_replaced_version(
    server: RunningServer, callers: ThreadPoolExecutor
) -> None:
    source = (
        "import easymlnb as ml, time\n@ml.service(timeout=120)\n"
        "def drains(seconds: float) -> int:\n    time.sleep(seconds)\n    return {number}"
    )
    chosen = f"mine-{uuid.uuid4().hex}"
    assert (
        server.publish(make_notebook(source.format(number=1)), "drains.ipynb")["state"] == "ready"
    )
    sent = callers.submit(
        server.http.post,
        "services/drains/call",
        json={"seconds": 100},
        headers={"X-Request-Id": chosen},
        timeout=120,
    )
    server.wait_for(
        lambda: server.http.get("services/drains").json()["stats"]["running"] == 1,
        "it does not run",
    )
    assert (
        server.publish(make_notebook(source.format(number=2)), "drains.ipynb")["state"] == "ready"
    )
    assert server.call("drains", seconds=0).json() == 2
    assert server.http.get("services").status_code == 200  # which forgets what is no more
    assert server.http.delete(f"calls/{chosen}").status_code == 204
    assert error(sent.result(60)) == "cancelled"
    assert server.http.delete("services/drains").status_code == 204


def test_delete_needs_a_login(server: RunningServer) -> None:
    answer = httpx.delete(f"{server.url}easymlnb/calls/{uuid.uuid4().hex}", timeout=60)
    assert answer.status_code == 403 or error(answer) == "not_logged_in"


def test_caller_in_line_is_told_its_place(
    server: RunningServer, callers: ThreadPoolExecutor, tmp_path: Path
) -> None:
    def listen(told: list[Any], first: threading.Event) -> None:
        name = ""
        with server.http.stream(
            "POST", "services/note/call", json={"text": "x"}, headers=EVENTS
        ) as answer:
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    told.append((name, json.loads(line.removeprefix("data: "))))
                    first.set()

    told: list[Any] = []
    first = threading.Event()
    with Held(server, callers, tmp_path) as held:
        before = held.put("note", text="before")
        listening = callers.submit(listen, told, first)
        assert first.wait(60)
        assert told[0][0] == "waiting"
        assert told[0][1]["position"] == 2
        assert set(told[0][1]) == {"position", "seconds"}
    listening.result(60)
    before.result(60)
    assert [name for name, _ in told if name != "waiting"] == ["result"]


def test_call_that_does_not_wait_is_told_nothing(server: RunningServer) -> None:
    answer = server.http.post("services/noted/call", json={}, headers=EVENTS)
    assert "event: waiting" not in answer.text


def keyed(server: RunningServer, key: str, name: str = "counts", **values: Any) -> httpx.Response:
    return server.http.post(f"services/{name}/call", json=values, headers={"Idempotency-Key": key})


def test_same_key_runs_once_and_repeats_the_answer(server: RunningServer) -> None:
    key = uuid.uuid4().hex
    first, again = keyed(server, key, x=1), keyed(server, key, x=1)
    assert first.json() == again.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["X-Easymlnb-Version"] == "1"
    assert keyed(server, uuid.uuid4().hex, x=1).json() == first.json() + 1


def test_same_key_joins_the_running_call(
    server: RunningServer, callers: ThreadPoolExecutor
) -> None:
    key = uuid.uuid4().hex
    answers = list(callers.map(lambda _: keyed(server, key, x=2, seconds=1.0), range(5)))
    assert len({answer.json() for answer in answers}) == 1


def test_same_key_with_another_request_is_refused(server: RunningServer) -> None:
    key = uuid.uuid4().hex
    assert keyed(server, key, x=1).status_code == 200
    other = keyed(server, key, x=2)
    assert (other.status_code, error(other)) == (422, "idempotency_key_conflict")
    assert keyed(server, key, name="waits", seconds=0).status_code == 200  # a key is a service's


def test_failed_call_is_not_repeated(server: RunningServer) -> None:
    key = uuid.uuid4().hex
    before = server.call("counts", x=1).json()
    for _ in range(2):
        assert keyed(server, key, x=1, fails=True).status_code == 500
    assert server.call("counts", x=1).json() == before + 3


def test_one_of_two_under_a_key_leaves_and_the_other_is_answered(
    server: RunningServer, callers: ThreadPoolExecutor
) -> None:
    key = uuid.uuid4().hex
    headers = {"Idempotency-Key": key}
    values = {"x": 3, "seconds": 2.0}
    with httpx.Client(base_url=server.http.base_url, headers=server.http.headers) as leaving:
        sent = callers.submit(
            leaving.post, "services/counts/call", json=values, headers=headers, timeout=0.8
        )
        time.sleep(0.3)
        stays = callers.submit(keyed, server, key, **values)
        with pytest.raises(httpx.ReadTimeout):
            sent.result(60)
    assert stays.result(60).status_code == 200


def test_one_who_waits_under_a_key_can_be_stopped_alone(
    server: RunningServer, callers: ThreadPoolExecutor
) -> None:
    key, mine = uuid.uuid4().hex, f"mine-{uuid.uuid4().hex}"
    values = {"x": 3, "seconds": 8.0}
    runs = callers.submit(keyed, server, key, **values)
    server.wait_for(
        lambda: server.http.get("services/counts").json()["stats"]["running"] == 1,
        "it does not run",
    )
    waits = callers.submit(
        server.http.post,
        "services/counts/call",
        json=values,
        headers={"Idempotency-Key": key, "X-Request-Id": mine},
    )
    server.wait_for(lambda: server.http.delete(f"calls/{mine}").status_code == 204, "nobody waits")
    assert error(waits.result(60)) == "cancelled"
    assert runs.result(60).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_bad_key_is_refused(server: RunningServer, key: str) -> None:
    answer = keyed(server, key, x=1)
    assert (answer.status_code, error(answer)) == (400, "bad_request")


def test_live_coroutines_run_at_once_and_a_renewed_cell_keeps_who_waits(
    server: RunningServer, callers: ThreadPoolExecutor
) -> None:
    kernel = NotebookKernel(server.http)
    try:
        kernel.run(
            "import asyncio, time, easymlnb as ml\n"
            "@ml.service\n"
            "async def live_waits(text: str) -> str:\n"
            "    print('begins', text)\n"
            "    await asyncio.sleep(2.0)\n"
            "    return text\n"
        )
        ask = lambda name: server.call("live_waits", text=name)  # noqa: E731
        began = time.monotonic()
        assert [a.json() for a in callers.map(ask, "abcdefgh")] == list("abcdefgh")
        assert time.monotonic() - began < 8 * 2
        log = [e["log"] for e in server.http.get("services/live_waits/log").json()["entries"]]
        assert sorted(log) == [f"begins {name}\n" for name in "abcdefgh"]

        cell = (
            "@ml.service(workers={workers})\n"
            "def live_slow(x: int) -> int:\n"
            "    time.sleep(1.5)\n"
            "    return x\n"
        )
        kernel.run(cell.format(workers=1))
        sent = [callers.submit(server.call, "live_slow", x=n) for n in range(4)]
        server.wait_for(
            lambda: server.http.get("services/live_slow").json()["stats"]["waiting"] >= 2,
            "nobody waits",
        )
        kernel.run(cell.format(workers=4))
        assert [answer.result(60).json() for answer in sent] == [0, 1, 2, 3]
    finally:
        kernel.close()
