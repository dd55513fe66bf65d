"""``easymlnb serve-bundle`` in a process of its own, as a container runs it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from support.server import free_port

START_SECONDS = 120.0
PROGRAM = str(Path(sys.executable).with_name("easymlnb"))


@dataclass
class BundleServer:
    """A server for the bundles in a folder. ``variables`` are those of the container."""

    folder: Path
    bundles: Path
    variables: dict[str, str]
    program: str = PROGRAM
    port: int = field(default_factory=free_port)
    base: str = "/"
    process: subprocess.Popen[bytes] | None = None
    statuses: list[int] = field(default_factory=list)
    """What the readiness probe got until it succeeded."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base}"

    @property
    def log(self) -> str:
        return (self.folder / "bundle-server.log").read_text(errors="replace")

    def start(self) -> None:
        # Nothing of this account's: a container has none of it.
        kept = {name: os.environ[name] for name in ("PATH", "VIRTUAL_ENV") if name in os.environ}
        (self.folder / "tmp").mkdir()
        environment = {
            **kept,
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "PORT": str(self.port),
            **self.variables,
        }
        with (self.folder / "bundle-server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve-bundle", str(self.bundles)],
                env=environment, cwd="/", stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait_ready(self) -> None:
        """Wait as a cluster's readiness probe does."""
        assert self.process is not None
        until = time.monotonic() + START_SECONDS
        with httpx.Client(base_url=self.url) as client:
            while time.monotonic() < until:
                assert self.process.poll() is None, self.log
                try:
                    self.statuses.append(client.get("health/ready").status_code)
                except httpx.TransportError:
                    time.sleep(0.05)
                    continue
                if self.statuses[-1] == 200:
                    return
                time.sleep(0.05)
        raise AssertionError(self.log)

    def stop(self, how: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(60)


@contextmanager
def bundle_server(
    folder: Path, bundles: Path, *, base: str = "/", **variables: str
) -> Iterator[BundleServer]:
    server = BundleServer(folder, bundles, variables, base=base)
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop(signal.SIGKILL)
