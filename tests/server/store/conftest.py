"""Databases to test on: SQLite always, a PostgreSQL of our own where its programs are installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest


@dataclass
class Postgres:
    """A server on a socket in a temporary folder, run by an ordinary user."""

    programs: Path
    folder: Path
    user: str

    def run(self, program: str, *arguments: str, check: bool = True) -> None:
        command = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            command = ["runuser", "-u", self.user, "--", *command]
        subprocess.run(
            command, check=check, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True
        )

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", str(self.data), "-l", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop", check=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str) -> str:
        return f"postgresql:///{database}?host={self.folder}&user={self.user}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
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
    made = Postgres(found[-1].parent, folder, user)
    try:
        made.run(
            "initdb", "-D", str(made.data), "-A", "trust", "-U", user, "--no-sync", "-E", "UTF8"
        )
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


_numbers = count()


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    name = f"store{next(_numbers)}"
    postgres.run("createdb", "-h", str(postgres.folder), name)
    return postgres.url(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind; the URL for SQLite is empty: the default place."""
    if request.param == "sqlite":
        return ""
    found: str = request.getfixturevalue("postgres_url")
    return found
