"""A PostgreSQL of the tests' own, where its programs are installed."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil
import pytest


@dataclass
class Postgres:
    """A server on a socket in a temporary folder, run by an ordinary user."""

    programs: Path
    folder: Path
    user: str
    fsync: bool = False

    def run(self, program: str, *arguments: str, check: bool = True) -> None:
        command = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            command = ["runuser", "-u", self.user, "--", *command]
        subprocess.run(
            command, check=check, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True
        )

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c fsync={'on' if self.fsync else 'off'}"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", str(self.data), "-l", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop", check=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str) -> str:
        return f"postgresql:///{database}?host={self.folder}&user={self.user}"

    def create(self) -> str:
        """Make an empty database and return its URL."""
        name = f"store{next(_numbers)}"
        self.run("createdb", "-h", str(self.folder), name)
        return self.url(name)


_numbers = count()


@contextmanager
def running(*, fsync: bool = False) -> Iterator[Postgres]:
    """Run a PostgreSQL; skips the test where that is not possible.

    Tests do not need ``fsync``: they never cut the power.
    """
    pytest.importorskip(
        "psycopg", reason="psycopg is not installed: pip install 'easymlnb[postgres]'"
    )
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    user = pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        user = "nobody"
        if not shutil.which("runuser"):
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
    folder = Path(tempfile.mkdtemp(prefix="easymlnb-pg-"))
    shutil.chown(folder, user)
    made = Postgres(found[-1].parent, folder, user, fsync)
    try:
        made.run(
            "initdb", "-D", str(made.data), "-A", "trust", "-U", user, "--no-sync", "-E", "UTF8"
        )
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


@contextmanager
def paused(postgres: Postgres) -> Iterator[None]:
    """Stop all processes of the server, which then neither answers nor closes a connection."""
    main = psutil.Process(int((postgres.data / "postmaster.pid").read_text().split()[0]))
    stopped = [main, *main.children(recursive=True)]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(stopped):
            process.send_signal(signal.SIGCONT)
