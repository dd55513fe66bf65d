"""What was acknowledged survives ``kill -9`` at any moment, and the database stays sound."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from easymlnb_server.store import BundleState, Store

pytestmark = pytest.mark.slow

# Publishes one bundle after another and prints each step once it is acknowledged. It can be killed
# at the n-th passage of a point: before or after a commit, or in the middle of a file.
PUBLISHER = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.store import Store

url, folder, point, left = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def reached(name):
    global left
    if name == point:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

def hook(module, name):
    real = getattr(module, name)
    def wrapped(*arguments):
        reached("before-" + name)
        result = real(*arguments)
        reached("after-" + name)
        return result
    setattr(module, name, wrapped)

hook(os, "fsync")
hook(os, "replace")
event.listen(Engine, "commit", lambda connection: reached("before-commit"))
event.listen(Engine, "after_cursor_execute", lambda *arguments: reached("statement"))

store = Store.open(url, folder)
say("open")
for number in range(1, 1000):
    data = b"bundle %d " % number * 500
    file = store.files.put(data)
    say("file", file)
    id = "b%d" % number
    store.bundles.add(id, owner="a", manifest={"n": number}, file=file)
    reached("after-commit")
    say("added", id)
    if number % 5 == 0:
        store.bundles.set_failed(id, {"code": "x"}, log=store.files.put(b"log"))
        say("failed", id)
        continue
    specs = [ServiceSpec(name=n, title=n, input={}, output={}) for n in ("roll", "cast")]
    done = store.services.publish(id, specs, owner="a")
    reached("after-commit")
    say("published", id, *(version.number for version in done))
    if number % 4 == 0:
        store.services.delete("cast")
        say("deleted")
"""


def publisher(url: str, folder: Path, point: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PUBLISHER, url, str(folder), point, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def check(url: str, folder: Path, told: list[list[str]]) -> None:
    """Reopen and compare with what was acknowledged; one step more may have happened."""
    store = Store.open(url, folder)
    states = {
        "added": BundleState.STARTING,
        "failed": BundleState.FAILED,
        "published": BundleState.READY,
    }
    last: dict[str, BundleState] = {}
    for word, *rest in told:
        if word == "file":
            assert store.files.get(rest[0])
        elif word in states:
            last[rest[0]] = states[word]
    for id, state in last.items():
        found = store.bundles.get(id)
        assert store.files.get(found.file)
        assert found.state is state or (
            found.state is not BundleState.STARTING and id == list(last)[-1]
        )
    numbers = [int(rest[1]) for word, *rest in told if word == "published"]
    assert numbers == sorted(set(numbers))
    if numbers:
        versions = store.services.versions("roll")
        kept = [version.number for version in versions]
        assert set(numbers) <= set(kept)
        assert kept == list(range(1, len(kept) + 1))
        assert [version.current for version in versions] == [False] * (len(kept) - 1) + [True]
    # What was cut off can simply be done again.
    for bundle in store.bundles.unfinished():
        specs = [one.spec for found in store.services.serving().values() for one in found]
        store.services.publish(bundle.id, specs, owner="a")
    assert store.bundles.unfinished() == []
    store.close()
    if not url:
        connection = sqlite3.connect(folder / "easymlnb.sqlite")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()


POINTS = [
    ("before-fsync", 1),
    ("after-fsync", 4),
    ("before-replace", 2),
    ("after-replace", 2),
    ("before-commit", 1),
    ("before-commit", 2),
    ("before-commit", 3),
    ("before-commit", 11),
    ("after-commit", 1),
    ("after-commit", 2),
    ("statement", 3),
    ("statement", 40),
    ("statement", 43),
    ("statement", 47),
]


@pytest.mark.parametrize(("point", "count"), POINTS)
def test_a_kill_at_a_bad_moment(tmp_path: Path, point: str, count: int) -> None:
    child = publisher("", tmp_path, point, count)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    check("", tmp_path, [line.split() for line in output.splitlines()])


@pytest.mark.parametrize("seed", range(4))
def test_kills_at_random_moments(database_url: str, tmp_path: Path, seed: int) -> None:
    child = publisher(database_url, tmp_path, "never", 0)
    assert child.stdout
    first = child.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.0, 0.3))
    os.kill(child.pid, signal.SIGKILL)
    output, _ = child.communicate(timeout=60)
    lines = (first + output).splitlines(keepends=True)
    # A line that is cut off was not said: what it tells was not acknowledged.
    told = [line.split() for line in lines if line.endswith("\n")]
    assert told[0] == ["open"]
    check(database_url, tmp_path, told)
