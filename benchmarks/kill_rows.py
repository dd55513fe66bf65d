"""``kill -9`` of processes that publish, change traffic, promote, make and revoke keys.

The tests of these kills, with as many as wanted: on the rows and files of a store, without a
server. Children are forks of this process, so they need no time to import. ``kills.py`` kills a
whole server.

    python benchmarks/kill_rows.py --kills 200
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import IO

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.postgres import running
from unit.server.store import test_crash_safety, test_key_crashes, test_traffic_crashes

MODULES = (test_crash_safety, test_key_crashes, test_traffic_crashes)


class Forked:
    """A fork that runs the script of a command; as much of ``Popen`` as the tests use."""

    def __init__(self, command: list[str], **options: object) -> None:
        _, _, source, *arguments = command
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _run(source, arguments, writing)
        os.close(writing)
        self.stdout: IO[str] = os.fdopen(reading, encoding="utf-8")
        self.returncode: int | None = None

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def communicate(self, timeout: float) -> tuple[str, None]:
        """Return the rest of what it printed, when it has ended."""
        with self.stdout:
            rest = self.stdout.read()
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        return rest, None


def _run(source: str, arguments: list[str], output: int) -> None:
    """Run a script with this process; does not return."""
    try:
        os.dup2(output, 1)
        sys.argv = ["-c", *arguments]
        exec(compile(source, "<child>", "exec"), {"__name__": "__main__"})
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    os._exit(1)


@contextmanager
def databases(name: str) -> Iterator[Callable[[], str]]:
    """Yield what makes an empty database and returns its URL."""
    if name == "sqlite":
        yield lambda: ""
        return
    with running() as postgres:
        yield postgres.create


def kill(module: ModuleType, make: Callable[[], str], kills: int) -> None:
    """Run the tests of one module."""
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        if module is test_key_crashes:
            module.test_keys_survive_kills(make(), folder)
        elif module is test_traffic_crashes:
            module.test_traffic_survives_kills(make(), folder)
        else:
            for seed in range(kills):
                (folder / str(seed)).mkdir()
                module.test_kills_at_random_moments(make(), folder / str(seed), seed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="Only this one.")
    given = parser.parse_args()
    for module in MODULES:
        module.KILLS = given.kills
        module.subprocess = SimpleNamespace(Popen=Forked, PIPE=subprocess.PIPE)
    for name in ("sqlite", "postgresql"):
        if given.database in (None, name):
            with databases(name) as make:
                for module in MODULES:
                    began = time.monotonic()
                    kill(module, make, given.kills)
                    seconds = time.monotonic() - began
                    title = module.__name__.rpartition(".")[2]
                    print(f"{name}, {title}: {given.kills} kills in {seconds:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
