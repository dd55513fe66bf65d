"""One of two server processes is killed, paused, told to stop, or both lose the database."""

import itertools
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import RunningServer, make_notebook
from databases import running
from invariants import workers
from pairs import LEASE, Pair, pair

pytestmark = pytest.mark.timeout(300)  # until they share, and one takes over from the other

NOTEBOOK = """
import time
from pathlib import Path
import easymlnb as ml

@ml.service
def once_{n}(id: str, folder: str, seconds: float = 0.02) -> str:
    (Path(folder) / id).touch(exist_ok=False)  # a second run of one call would fail here
    time.sleep(seconds)
    return id + "{n}"
"""
SERVICES = 4
TAKEN_OVER = 6 * LEASE
"""Seconds in which one takes over from the other, also where other work keeps it from its turn."""

Two = Pair[RunningServer]


@pytest.fixture(scope="module")
def all_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with (
        running() as postgres,
        pair(
            RunningServer, tmp_path_factory.mktemp("pair"), postgres, "--EasyMLNB.app_kernels=0"
        ) as made,
    ):
        for number in range(SERVICES):
            cell = NOTEBOOK.replace("{n}", str(number))
            server = made.both[number % 2]
            found = server.publish(make_notebook(cell), f"work{number}.ipynb")
            assert found["state"] == "ready", found
        yield made


@pytest.fixture
def both(all_of: Two) -> Two:
    """Both processes, each with its share, whatever the test before did."""
    all_of.start()
    all_of.wait_for(lambda: _shared(all_of), "they do not share", 90)
    return all_of


def _shared(both: Two) -> bool:
    names = [f"once_{number}" for number in range(SERVICES)]
    counts = [len(both.held_by(server) & set(names)) for server in both.both]
    return counts == [2, 2] and both.ready(*names)


class Load:
    """Callers of all services by both processes in turn, and what came of their calls."""

    def __init__(self, both: Two, folder: Path) -> None:
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.told: list[str] = []
        self._both = both
        self._folder = folder
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in range(4)]

    def _run(self, caller: int) -> None:
        for number in itertools.count():
            if self._over.is_set():
                return
            server = self._both.both[number % 2]
            self._ask(server, f"once_{(number + caller) % SERVICES}", f"c{caller}-{number}")

    def _ask(self, server: RunningServer, name: str, id: str) -> None:
        values = {"id": id, "folder": str(self._folder)}
        headers = {"Authorization": f"token {server.token}"}
        url = f"{server.url}easymlnb/services/{name}/call"
        try:
            answer = httpx.post(url, json=values, headers=headers, timeout=40)
        except httpx.ConnectError:
            self.seen["refused"] += 1
            time.sleep(0.05)
            return
        except httpx.TransportError as error:
            self.seen[type(error).__name__] += 1
            return
        if answer.status_code == 200:
            self.seen["ok"] += 1
            if answer.json() != id + name[-1]:
                self.wrong.append(f"{id} of {name}: {answer.text}")
        else:
            self.seen[answer.json()["error"]["code"]] += 1
            self.told.append(f"{name} by {server.port}: {answer.text}")
            if answer.status_code == 503 and not answer.headers.get("Retry-After"):
                self.wrong.append(f"{answer.text} does not say when to come again")

    def more(self, calls: int) -> None:
        """Wait until so many more calls were answered."""
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


def test_the_other_takes_over_from_a_killed_one(both: Two, tmp_path: Path) -> None:
    with Load(both, tmp_path) as load:
        load.more(50)
        assert both.one.process is not None
        os.kill(both.one.process.pid, signal.SIGKILL)
        both.one.process.wait()
        both.wait_for(
            lambda: len(both.held_by(both.two)) == SERVICES, "nobody took over", TAKEN_OVER
        )
        both.wait_for(lambda: _answers(both.two, tmp_path), "it does not answer")
        load.more(50)
    assert load.wrong == []
    # Of calls that were under way nobody knows; those that came in between were told to come again.
    told = {"ok", "refused", "not_ready", "worker_lost", "ReadError", "RemoteProtocolError"}
    assert set(load.seen) <= told, load.seen
    assert "Traceback" not in both.two.log, both.two.log[-6000:]


_ids = itertools.count()


def _answers(server: RunningServer, folder: Path) -> bool:
    answers = [
        server.call(f"once_{number}", id=f"x{next(_ids)}", folder=str(folder))
        for number in range(SERVICES)
    ]
    return all(answer.status_code == 200 for answer in answers)


def test_who_is_told_to_stop_hands_over_without_an_error(both: Two, tmp_path: Path) -> None:
    with Load(both, tmp_path) as load:
        load.more(50)
        assert both.one.process is not None
        with ThreadPoolExecutor() as threads:
            name = min(both.held_by(both.one))
            long = threads.submit(both.two.call, name, id="long", folder=str(tmp_path), seconds=4)
            both.wait_for((tmp_path / "long").exists, "it did not begin")
            both.one.process.send_signal(signal.SIGTERM)
            load.more(50)
            assert both.one.process.wait(60) == 0
        assert long.result().json() == f"long{name[-1]}"
        assert len(both.held_by(both.two)) == SERVICES
        load.more(50)
    assert load.wrong == []
    assert set(load.seen) <= {"ok", "refused"}, (load.seen, load.told)
    for server in both.both:
        assert "Traceback" not in server.log, server.log[-6000:]


@contextmanager
def paused(server: RunningServer) -> Iterator[None]:
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


VERSION = "import easymlnb as ml\n@ml.service\ndef which() -> int:\n    return {}"


def test_a_paused_one_never_answers_with_what_was(both: Two) -> None:
    first = both.one.publish(make_notebook(VERSION.format(1)), "which.ipynb")
    assert first["state"] == "ready", first
    holder, other = both.of("which")
    assert holder.call("which").json() == 1
    sockets: list[socket.socket] = []
    with paused(holder):
        both.wait_for(lambda: both.held_by(other) >= {"which"}, "nobody took over", TAKEN_OVER)
        second = other.publish(make_notebook(VERSION.format(2)), "which.ipynb")
        assert second["state"] == "ready", second
        assert other.call("which").json() == 2
        for _ in range(8):  # they are the first that it sees when it goes on
            sockets.append(_send(holder, "which"))
    for one in sockets:
        status, body = _receive(one)
        assert (status, body) == (200, 2) or status == 503
    both.wait_for(lambda: holder.call("which").status_code == 200, "it does not recover")
    assert [server.call("which").json() for server in both.both] == [2, 2]
    assert both.two.http.delete("services/which").status_code == 204
    assert "Traceback" not in holder.log, holder.log[-6000:]


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


def test_a_paused_one_does_not_write_what_it_had_begun(both: Two, tmp_path: Path) -> None:
    log, go = tmp_path / "log", tmp_path / "go"
    sent = threading.Thread(
        target=lambda: both.one.publish(
            make_notebook(SLOW.format(log=str(log), go=str(go))), "slow.ipynb"
        )
    )
    sent.start()
    both.wait_for(log.exists, "it did not start")
    starter = both.one if workers_of_slow(both) == both.one.port else both.two
    other = both.two if starter is both.one else both.one
    with paused(starter):
        both.wait_for(lambda: log.read_text().count("started") == 2, "nobody took over", 60)
        go.touch()
        both.wait_for(lambda: other.state("slow_start") == "ready", "it did not get ready")
    sent.join()
    both.wait_for(lambda: starter.call("slow_start").status_code == 200, "it does not recover")
    # Both had a worker that passed; one of them might write.
    both.wait_for(
        lambda: sum(len(workers(server)) for server in both.both) == SERVICES + 1,
        "a worker was left behind",
    )
    assert both.rows("SELECT number FROM versions WHERE service = 'slow_start'") == [(1,)]
    assert other.http.delete("services/slow_start").status_code == 204
    for server in both.both:
        assert "Traceback" not in server.log, server.log[-6000:]


def workers_of_slow(both: Two) -> int:
    (address,) = both.rows(
        "SELECT p.address FROM bundles b JOIN leases l ON l.bundle = b.id "
        "JOIN processes p ON p.holder = l.holder WHERE b.state = 'starting'"
    )[0]
    return int(str(address).rpartition(":")[2])


def test_calls_go_on_while_the_database_is_away_for_a_moment(both: Two, tmp_path: Path) -> None:
    for attempt in ("a", "b", "c"):
        folder = tmp_path / attempt
        folder.mkdir()
        # After an attempt that was no moment, others may serve by now, and with other workers.
        both.wait_for(lambda: _shared(both), "they do not share", 90)
        before = {mark for server in both.both for mark in workers(server)}
        too_long = _too_long(both)
        with Load(both, folder) as load:
            load.more(30)
            both.postgres.stop()
            load.more(30)
            both.postgres.start()
            load.more(30)
        # On a machine that stood still meanwhile it was no moment: others may take over then.
        if _too_long(both) == too_long:
            break
    logs = [server.log[-6000:] for server in both.both]
    assert (load.wrong, set(load.seen)) == ([], {"ok"}), (load.told, *logs)
    assert {mark for server in both.both for mark in workers(server)} == before


def _too_long(both: Two) -> int:
    """Return how often one of them had no turn for as long as it holds something."""
    return sum(server.log.count("it had no turn for too long") for server in both.both)


def test_without_the_database_nobody_serves_longer_than_they_hold(
    both: Two, tmp_path: Path
) -> None:
    before = {mark for server in both.both for mark in workers(server)}
    both.postgres.stop()
    try:
        for server in both.both:
            both.wait_for(lambda s=server: _refuses(s, tmp_path), "it goes on")  # type: ignore[misc]
        # They refuse a little early. If only one's time were over for the database, too, the other
        # would rightly take over from it.
        time.sleep(LEASE / 4)
    finally:
        both.postgres.start()
    for server in both.both:
        both.wait_for(lambda s=server: _answers(s, tmp_path), "it does not recover")  # type: ignore[misc]
    # Nobody had to load anything again.
    both.wait_for(
        lambda: {mark for server in both.both for mark in workers(server)} == before,
        "workers were replaced",
    )


def _refuses(server: RunningServer, folder: Path) -> bool:
    answers = [
        server.call(f"once_{number}", id=f"y{next(_ids)}", folder=str(folder))
        for number in range(SERVICES)
    ]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    return len(refused) == SERVICES
