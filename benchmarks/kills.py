"""``kill -9`` of the server while it publishes, changes traffic, promotes, and makes keys.

Each kill comes at a random moment of all five kinds of changes at once. Then the server starts
again, and what it acknowledged must be there; what it did not acknowledge is absent or whole.

    python benchmarks/kills.py                            # 200 kills on each database
    python benchmarks/kills.py --kills 20 --database sqlite
"""

import argparse
import json
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import nbformat

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from easymlnb.publishing.bundle import build_bundle
from support.notebooks import make_notebook
from support.postgres import running
from support.server import RunningServer, running_server

SOURCE = "import easymlnb as ml\n@ml.service\ndef {name}() -> int:\n    return {number}"
WINDOW = 2.5
"""Maximum seconds between the first change and the kill; a step of a promotion takes one second."""
STEPS = [10, 30, 60, 80, 100]
WAIT = 120.0
OPTIONS = ("--EasyMLNB.keep_versions=0",)

Step = Callable[[], None]


class Changes:
    """Makes changes of one kind until the server is gone, and then checks them."""

    def __init__(self, server: RunningServer, chance: random.Random) -> None:
        self.server = server
        self.chance = chance
        self.acknowledged = 0
        self.problem: Exception | None = None

    def step(self) -> None:
        """Make one change; raises ``httpx.TransportError`` when the server is gone."""
        raise NotImplementedError

    def check(self) -> None:
        """Compare what the next server has with what was acknowledged."""
        raise NotImplementedError

    def run(self) -> None:
        """Make changes until the server is gone."""
        try:
            while True:
                self.step()
        except httpx.TransportError:
            pass
        except Exception as error:  # of this thread; the main thread raises it
            self.problem = error

    def send(self, method: str, path: str, status: int, **more: Any) -> Any:
        answer = self.server.http.request(method, path, **more)
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        self.acknowledged += method != "GET"
        return answer.json() if answer.content else None


class Publishing(Changes):
    """New versions of a service."""

    number = 1  # the one that is there at first

    def __init__(self, server: RunningServer, chance: random.Random) -> None:
        super().__init__(server, chance)
        self.bundles: list[str] = []
        self.sent: str | None = None

    def step(self) -> None:
        Publishing.number += 1
        path = self.server.root / "news.ipynb"
        notebook = make_notebook(SOURCE.format(name="news", number=Publishing.number))
        nbformat.write(notebook, path)
        built = build_bundle(path)
        self.sent = built.id
        self.bundles.append(self._post(built.data))
        self.sent = None
        while self._state(self.bundles[-1]) == "starting":
            time.sleep(0.02)

    def _post(self, data: bytes) -> str:
        headers = {"Content-Type": "application/zip"}
        return str(self.send("POST", "services", 202, content=data, headers=headers)["bundle"])

    def _state(self, bundle: str) -> str:
        answer = self.server.http.get(f"bundles/{bundle}")
        return str(answer.json()["state"]) if answer.status_code == 200 else "absent"

    def check(self) -> None:
        bundles = [*self.bundles, *([self.sent] if self.sent else [])]
        until = time.monotonic() + WAIT
        states = {bundle: self._state(bundle) for bundle in bundles}
        while "starting" in states.values() and time.monotonic() < until:
            time.sleep(0.1)
            states = {bundle: self._state(bundle) for bundle in bundles}
        if self.sent and states[self.sent] == "absent":
            del states[self.sent]
        assert set(states.values()) <= {"ready"}, states
        self.bundles, self.sent = self.bundles[-1:], None
        listed = self.send("GET", "services/news/versions", 200)["versions"]
        numbers = [one["version"] for one in listed]
        assert numbers == list(range(1, len(numbers) + 1)), numbers
        assert [one["weight"] for one in listed] == [0] * (len(listed) - 1) + [100], listed
        assert {one["bundle"] for one in listed} >= states.keys(), (listed, states)


class Switching(Changes):
    """Traffic between the versions of a service, with its aliases and shadow."""

    known: dict[str, Any] | None = None
    sent: dict[str, Any] | None = None

    def step(self) -> None:
        first, second, third = self.chance.sample((1, 2, 3), 3)
        percent = self.chance.randint(1, 99)
        self.sent = {
            "weights": {str(first): percent, str(second): 100 - percent},
            "aliases": {"candidate": third},
            "shadow": {"version": third, "share": percent / 100},
            "sticky": self.chance.choice(["caller", None]),
        }
        self.send("PUT", "services/swap/traffic", 200, json=self.sent)
        self.known = self.sent

    def check(self) -> None:
        found = self.send("GET", "services/swap/traffic", 200)
        found = {name: found[name] for name in ("weights", "aliases", "shadow", "sticky")}
        if self.sent is not None:
            assert found in (self.known or found, self.sent), (found, self.known, self.sent)
        self.known = found


class Promoting(Changes):
    """Promotions of one version and the other one in turn."""

    path = ""
    reached = 0

    def step(self) -> None:
        if self.path:
            found = self.send("GET", self.path, 200)
            self.reached = found["step"]
            if found["state"] == "running":
                time.sleep(0.02)
                return
            assert found["state"] == "done", found
        weights = self.send("GET", "services/climb/traffic", 200)["weights"]
        self.path = ""
        body = {"version": 2 if "1" in weights else 1, "every": "1s", "steps": STEPS}
        started = self.send("POST", "services/climb/promotions", 201, json=body)
        self.path, self.reached = f"services/climb/promotions/{started['id']}", 1

    def check(self) -> None:
        listed = self.send("GET", "services/climb/promotions", 200)["promotions"]
        found = listed[0] if listed else None
        if self.path:  # an acknowledged start, and each step that was seen
            assert any(self.path.endswith(one["id"]) for one in listed), (self.path, listed)
            kept = self.send("GET", self.path, 200)
            assert kept["step"] >= self.reached, (kept, self.reached)
        active = [one for one in listed if one["state"] == "running"]
        assert len(active) <= 1, listed
        if found is not None and found == (active or [found])[0]:
            traffic = self.send("GET", "services/climb/traffic", 200)
            again = self.send("GET", f"services/climb/promotions/{found['id']}", 200)
            weights = traffic["weights"]
            # The next step may come before or after the traffic was read.
            steps = {found["percent"], again["percent"]}
            assert weights.get(str(found["version"]), 0) in steps, (traffic, found, again)
            self.path, self.reached = f"services/climb/promotions/{found['id']}", again["step"]


class Keys(Changes):
    """API keys, half of which are revoked again."""

    def __init__(self, server: RunningServer, chance: random.Random) -> None:
        super().__init__(server, chance)
        self.states: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.revoking = ""
        self.known: set[str] = set()

    def step(self) -> None:
        body = {"services": ["swap"], "note": f"key {self.acknowledged}"}
        made = self.send("POST", "keys", 201, json=body)
        self.states[made["id"]], self.texts[made["id"]] = "active", made["key"]
        if self.chance.random() < 0.5:
            self.revoking = made["id"]
            self.send("DELETE", f"keys/{made['id']}", 204)
            self.states[made["id"]] = "revoked"
        self.revoking = ""
        time.sleep(0.02)

    def check(self) -> None:
        listed = {one["id"]: one for one in self.send("GET", "keys", 200)["keys"]}
        for id, state in self.states.items():
            allowed = {state, "revoked"} if id == self.revoking else {state}
            assert listed[id]["state"] in allowed, (id, state, listed[id])
        new = listed.keys() - self.known - self.states.keys()
        assert len(new) <= 1, new  # the one that was not acknowledged, whole
        assert all(listed[id]["services"] == ["swap"] for id in new)
        for id in list(self.texts)[-3:]:
            headers = {"Authorization": f"Bearer {self.texts[id]}"}
            url = f"{self.server.url}easymlnb/services/swap/call"
            answer = httpx.post(url, json={}, headers=headers, timeout=WAIT)
            wanted = 200 if listed[id]["state"] == "active" else 401
            assert answer.status_code == wanted, (listed[id], answer.text)
        self.known = set(listed)
        self.states, self.texts, self.revoking = {}, {}, ""

    def check_audit(self) -> None:
        """Check that the keys and their audit events are the same."""
        wanted = Counter[tuple[str, str]]()
        for one in self.send("GET", "keys", 200)["keys"]:
            wanted["key.create", one["id"]] += 1
            wanted["key.revoke", one["id"]] += one["revoked"] is not None
        found, after = Counter[tuple[str, str]](), 0
        while events := self._events(after):
            found.update((one["action"], one["target"]) for one in events)
            after = events[-1]["id"]
        recorded = {key: count for key, count in found.items() if key[0].startswith("key.")}
        assert recorded == {key: count for key, count in wanted.items() if count}

    def _events(self, after: int) -> list[dict[str, Any]]:
        answer = self.server.http.get("audit", params={"after": after, "limit": 1000})
        return [json.loads(line) for line in answer.text.splitlines()]


@contextmanager
def sqlite(folder: Path) -> Iterator[RunningServer]:
    with running_server(folder, *_first(), options=OPTIONS) as server:
        yield _staged(server)
    (file,) = folder.rglob("easymlnb.sqlite")
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


@contextmanager
def postgresql(folder: Path) -> Iterator[RunningServer]:
    with running() as postgres:
        options = (*OPTIONS, f"--EasyMLNB.database_url={postgres.create()}")
        with running_server(folder, *_first(), options=options) as server:
            yield _staged(server)


def _first() -> list[nbformat.NotebookNode]:
    return [make_notebook(SOURCE.format(name=name, number=1)) for name in ("swap", "climb", "news")]


def _staged(server: RunningServer) -> RunningServer:
    """Add the versions that get traffic."""
    for name, number in (("swap", 2), ("swap", 3), ("climb", 2)):
        notebook = make_notebook(SOURCE.format(name=name, number=number))
        found = server.publish(notebook, f"{name}.ipynb", stage="true")
        assert found["state"] == "ready", found
    return server


def run(server: RunningServer, kills: int, seed: int = 0) -> Counter[str]:
    """Kill the server again and again; return the acknowledged changes by kind."""
    chance = random.Random(seed)
    keys = Keys(server, random.Random(seed))
    kinds = (
        Publishing(server, chance), Switching(server, random.Random(seed)),
        Promoting(server, chance), keys,
    )  # fmt: skip
    began = time.monotonic()
    for number in range(1, kills + 1):
        threads = [threading.Thread(target=kind.run) for kind in kinds]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.0, WINDOW))
        assert server.process is not None
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(30)
        for thread in threads:
            thread.join()
        for kind in kinds:
            if kind.problem is not None:
                raise kind.problem
        server.stop()  # closes the client
        server.start()
        for kind in kinds:
            kind.check()
        if number % 10 == 0:
            print(f"  {number} kills in {time.monotonic() - began:.0f} s", flush=True)
    keys.check_audit()
    return Counter({type(kind).__name__: kind.acknowledged for kind in kinds})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="Only this one.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name, make in (("sqlite", sqlite), ("postgresql", postgresql)):
        if given.database in (None, name):
            with tempfile.TemporaryDirectory() as path, make(Path(path)) as server:
                print(f"{name}:", flush=True)
                done = run(server, given.kills, given.seed)
                print(f"  {given.kills} kills, nothing lost; acknowledged: {dict(done)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
