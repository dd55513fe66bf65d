"""One active server process and a standby on one PostgreSQL, through crashes, pauses and stops."""

import itertools
import json
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from support.notebooks import make_notebook
from support.postgres import running
from support.server import RunningServer
from support.standby_pair import LEASE, Pair, StandbyServer, pair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NOTEBOOK = """
import os
import time
from pathlib import Path
import easymlnb as ml

@ml.service
def once(id: str, folder: str, seconds: float = 0.02, until: str = "") -> int:
    (Path(folder) / id).touch(exist_ok=False)  # a second run of one call would fail here
    if until:
        print("it began")
        ml.progress(0.5)
    while until and not (Path(folder) / until).exists():
        time.sleep(0.01)
    if until:
        print("it went on")
    time.sleep(seconds)
    return os.getpid()
"""
TAKEN_OVER = 6 * LEASE
"""Seconds until the standby must be active, also on a busy machine."""

_ids = itertools.count()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running() as postgres, pair(tmp_path_factory.mktemp("pair"), postgres) as made:
        active, _ = made.roles()
        found = active.publish(make_notebook(NOTEBOOK), "work.ipynb")
        assert found["state"] == "ready", found
        yield made


@pytest.fixture
def both(started: Pair) -> Pair:
    """Both processes, one of them active with a ready worker."""
    started.start()
    active, _ = started.roles()
    started.wait_for(lambda: active.state("once") == "ready", "the service is not ready", 90)
    return started


def call(server: RunningServer, folder: Path, **values: Any) -> httpx.Response:
    return server.call("once", **{"id": f"x{next(_ids)}", "folder": str(folder), **values})


def answers(server: RunningServer, folder: Path) -> int:
    """Return the worker's process id, or 0 while the server does not serve."""
    try:
        got = call(server, folder)
    except httpx.TransportError:
        return 0
    return int(got.json()) if got.status_code == 200 else 0


class Load:
    """Callers that send each call to the active server, and the outcome of their calls."""

    def __init__(self, both: Pair, folder: Path) -> None:
        self.seen: Counter[str] = Counter()
        self.refusals: list[httpx.Response] = []
        self._both = both
        self._folder = folder
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(3)]

    def _run(self) -> None:
        targets = itertools.cycle(self._both.both)
        target = next(targets)
        while not self._over.is_set():
            if not self._ask(target):
                target = next(targets)  # as a load balancer does
                self._over.wait(0.02)

    def _ask(self, server: StandbyServer) -> bool:
        values = {"id": f"c{next(_ids)}", "folder": str(self._folder)}
        headers = {"Authorization": f"token {server.token}"}
        url = f"{server.url}easymlnb/services/once/call"
        try:
            answer = httpx.post(url, json=values, headers=headers, timeout=40)
        except httpx.TransportError as error:
            self.seen[type(error).__name__] += 1
            return False
        if answer.status_code == 200:
            self.seen["ok"] += 1
            return True
        self.seen[answer.json()["error"]["code"]] += 1
        self.refusals.append(answer)
        return False

    def more(self, calls: int) -> None:
        """Wait for this many more successful calls."""
        until = self.seen["ok"] + calls
        self._both.wait_for(lambda: self.seen["ok"] >= until, f"no answers: {self.seen}", 90)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_standby_refuses_calls_until_it_is_active(both: Pair, tmp_path: Path) -> None:
    active, standby = both.roles()
    assert answers(active, tmp_path)
    for refused in (
        call(standby, tmp_path),
        standby.http.get("services/once"),
        standby.http.post("services", content=b"PK", headers={"Content-Type": "application/zip"}),
    ):
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        assert "standby" in refused.json()["error"]["message"]
        assert int(refused.headers["Retry-After"]) > 0
    assert standby.http.get("health/ready").status_code == 503
    assert standby.http.get("health/live").status_code == 200


def test_standby_takes_over_the_workers_of_a_killed_server(both: Pair, tmp_path: Path) -> None:
    active, standby = both.roles()
    worker = answers(active, tmp_path)
    values = {"id": "job", "folder": str(tmp_path), "until": "go"}
    job = f"jobs/{active.http.post('services/once/jobs', json=values).json()['id']}"
    both.wait_for((tmp_path / "job").exists, "the job did not begin")
    both.wait_for(lambda: active.http.get(job).json()["progress"] == 0.5, "there is no progress")
    with Load(both, tmp_path) as load:
        load.more(20)
        active.stop(signal.SIGKILL)
        both.wait_for(lambda: standby.active, "the standby did not take over", TAKEN_OVER)
        load.more(20)
    assert answers(standby, tmp_path) == worker
    running = standby.http.get(job).json()
    assert (running["state"], running["progress"]) == ("running", 0.5)
    (tmp_path / "go").touch()
    done = standby.http.get(job, params={"wait": 60}).json()
    assert [one["outcome"] for one in done["attempts"]] == ["succeeded"]
    assert standby.http.get(f"{job}/log", params={"from": 3}).text == "began\nit went on\n"
    # The outcome of calls that ran is unknown; later ones were asked to try again.
    expected = {"ok", "not_ready", "ConnectError", "ReadError", "RemoteProtocolError"}
    assert set(load.seen) <= expected, load.seen
    assert all(int(one.headers["Retry-After"]) > 0 for one in load.refusals)
    assert "Traceback" not in standby.log, standby.log[-6000:]


def test_a_server_that_stops_hands_its_workers_over(both: Pair, tmp_path: Path) -> None:
    active, standby = both.roles()
    worker = answers(active, tmp_path)
    with Load(both, tmp_path) as load, ThreadPoolExecutor() as threads:
        load.more(20)
        long = threads.submit(call, active, tmp_path, id="long", seconds=2)
        both.wait_for((tmp_path / "long").exists, "the long call did not begin")
        assert active.process is not None
        active.process.send_signal(signal.SIGTERM)
        assert long.result().json() == worker
        assert active.process.wait(60) == 0
        load.more(20)
    assert answers(standby, tmp_path) == worker
    refused = {"ok", "not_ready", "draining", "ConnectError", "ReadError"}
    assert set(load.seen) <= refused, load.seen
    for server in both.both:
        assert "Traceback" not in server.log, server.log[-6000:]


def test_the_last_server_ends_its_workers(both: Pair, tmp_path: Path) -> None:
    active, standby = both.roles()
    standby.stop()
    worker = answers(active, tmp_path)
    active.stop()
    assert not _runs(worker)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_server_that_starts_again_need_not_wait_for_its_own_lease(
    both: Pair, tmp_path: Path
) -> None:
    active, standby = both.roles()
    standby.stop()
    active.stop(signal.SIGKILL)
    # The other rows are those of standbys that wait.
    left = "expires - extract(epoch FROM clock_timestamp())"
    seconds = both.rows(f"SELECT {left} FROM lease WHERE id = 1")
    assert seconds[0][0] > 0, "the lease had expired before the server started again"
    both.rows("UPDATE lease SET expires = expires + 3600 RETURNING id")
    active.start()
    both.wait_for(lambda: active.active, "it waits for its own lease")
    answer = call(active, tmp_path)
    assert answer.status_code == 200, answer.text


@contextmanager
def paused(server: RunningServer) -> Iterator[None]:
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


VERSION = "import easymlnb as ml\n@ml.service\ndef which() -> int:\n    return {}"


def test_a_paused_server_never_answers_with_an_old_version(both: Pair) -> None:
    active, standby = both.roles()
    first = active.publish(make_notebook(VERSION.format(1)), "which.ipynb")
    assert first["state"] == "ready", first
    assert active.call("which").json() == 1
    sockets: list[socket.socket] = []
    with paused(active):
        both.wait_for(lambda: standby.active, "the standby did not take over", TAKEN_OVER)
        second = standby.publish(make_notebook(VERSION.format(2)), "which.ipynb")
        assert second["state"] == "ready", second
        assert standby.call("which").json() == 2
        for _ in range(8):  # these are the first requests that it reads when it resumes
            sockets.append(_send(active, "which"))
    for one in sockets:
        status, body = _receive(one)
        assert status == 503, body
    # It is the standby from now on, and leaves the workers of the other one alone.
    both.wait_for(
        lambda: "this one is on standby now" in active.log, "it still takes itself for active"
    )
    assert both.roles() == (standby, active)
    assert standby.call("which").json() == 2
    assert standby.http.delete("services/which").status_code == 204
    assert "Traceback" not in active.log, active.log[-6000:]


def _send(server: RunningServer, name: str) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", server.port))
    made.settimeout(60)
    lines = (
        f"POST /easymlnb/services/{name}/call HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"Authorization: token {server.token}",
        "Content-Type: application/json",
        "Content-Length: 2",
    )
    made.sendall("\r\n".join((*lines, "", "{}")).encode())
    return made


def _receive(one: socket.socket) -> tuple[int, Any]:
    with one, one.makefile("rb") as file:
        status = int(file.readline().split()[1])
        length = 0
        while line := file.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return status, json.loads(file.read(length))


SLOW = """
import time
import easymlnb as ml
from pathlib import Path
with Path({log!r}).open("a") as file:
    file.write("started\\n")
while not Path({go!r}).exists():
    time.sleep(0.05)

@ml.service
def slow_start() -> int:
    return 1
"""


def test_a_paused_server_does_not_publish_what_it_had_begun(both: Pair, tmp_path: Path) -> None:
    active, standby = both.roles()
    log, go = tmp_path / "log", tmp_path / "go"
    path = active.root / "slow.ipynb"
    with ThreadPoolExecutor() as threads:
        source = make_notebook(SLOW.format(log=str(log), go=str(go)))
        sent = threads.submit(active.publish, source, path.name)
        both.wait_for(log.exists, "the notebook did not start")
        with paused(active):
            both.wait_for(
                lambda: log.read_text().count("started") == 2, "the start was not taken over"
            )
            go.touch()
            both.wait_for(lambda: standby.state("slow_start") == "ready", "it did not get ready")
        both.wait_for(
            lambda: "this one is on standby now" in active.log, "it still takes itself for active"
        )
        # The server that accepted it answers with what the other one wrote, or refuses.
        assert sent.exception() is not None or sent.result()["state"] == "ready"
    assert both.rows("SELECT number FROM versions WHERE service = 'slow_start'") == [(1,)]
    assert standby.call("slow_start").json() == 1
    assert standby.http.delete("services/slow_start").status_code == 204
    for server in both.both:
        assert "Traceback" not in server.log, server.log[-6000:]


def test_calls_go_on_while_the_database_is_away_for_a_moment(both: Pair, tmp_path: Path) -> None:
    active, standby = both.roles()
    worker = answers(active, tmp_path)
    both.postgres.stop()
    assert answers(active, tmp_path) == worker
    both.postgres.start()
    both.wait_for(lambda: active.active or standby.active, "no server is active")
    both.wait_for(lambda: answers(both.roles()[0], tmp_path), "the service does not come back")


def test_a_server_without_the_database_stops_serving_when_its_lease_is_over(
    both: Pair, tmp_path: Path
) -> None:
    active, _ = both.roles()
    worker = answers(active, tmp_path)
    both.postgres.stop()
    try:
        both.wait_for(lambda: not active.active, "it serves without a lease")
        refused = call(active, tmp_path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        assert int(refused.headers["Retry-After"]) > 0
    finally:
        both.postgres.start()
    active, _ = both.roles()
    both.wait_for(lambda: answers(active, tmp_path) == worker, "the worker was not kept")
