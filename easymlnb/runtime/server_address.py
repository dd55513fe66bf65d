"""How a worker finds its server: first, and again after the connection was lost.

Workers survive a killed server. Each waits for the next server of the same data folder, which
writes its address there, and connects with the secret of its ``ReconnectGrant``. It does not try
the old port, which another program may use by now.
"""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

from easymlnb.contract.worker_protocol import ReconnectGrant
from easymlnb.runtime.environment import WORKER_ENV
from easymlnb.runtime.link import Link, LinkLost, LinkRefused

PAUSE = 0.25
"""Seconds between two checks for the next server."""


GIVE_UP_AFTER = 300.0
"""Seconds after which a worker gives up if the server runs all the time and does not expect it."""


class ServerAddress:
    """The server of this worker, from the environment; the secret is removed from there.

    Without an address file (a worker on another machine) the first address remains valid.
    """

    def __init__(self) -> None:
        self._link = os.environ["EASYMLNB_LINK"]
        self._cafile = os.environ.get("EASYMLNB_CAFILE", "")
        self._secret = os.environ.pop("EASYMLNB_SECRET")
        self._file = os.environ.get("EASYMLNB_HOME", "")
        self._run = self._read().get("run")

    def dial(self) -> Link:
        """Open the link to the server that started this worker."""
        return Link(self._link, self._secret, self._cafile)

    def dial_again(self, grant: ReconnectGrant) -> Link | None:
        """Open a link to the next server; return ``None`` if none accepts this worker in time."""
        until = time.monotonic() + grant.seconds
        refused_since: float | None = None
        while time.monotonic() < until:
            found = self._read() if self._file else {"link": self._link, "cafile": self._cafile}
            if not self._file or found.get("run", self._run) != self._run:
                try:
                    link = Link(found["link"], grant.secret, found["cafile"])
                except LinkRefused as refused:
                    if refused.skew:
                        return None  # a server with another version starts new workers
                    now = time.monotonic()
                    refused_since = (refused_since or now) if refused.is_unexpected else None
                    if refused_since is not None and now - refused_since > GIVE_UP_AFTER:
                        return None
                except (OSError, LinkLost):
                    refused_since = None  # the server is not ready yet, or stopped
                else:
                    self._run = found.get("run")
                    return link
            time.sleep(PAUSE)
        return None

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(Path(self._file).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def outlive_parent() -> None:
    """Let this kernel continue without its parent; ipykernel would end it within a second.

    The thread that watches the parent cannot be stopped, and ipykernel has no setting for it. All
    releases from 6.29 on ask ``os.getppid`` for the parent: here, it keeps its present value.
    """
    from ipykernel import parentpoller

    parent = os.getppid()
    frozen = SimpleNamespace(**{**vars(os), "getppid": lambda: parent})
    setattr(parentpoller, "os", frozen)  # noqa: B010 - the module does not export the name


def end_process() -> NoReturn:
    """End this process and all processes that it started."""
    try:
        _end_others(os.environ.get(WORKER_ENV, ""))
    finally:
        os._exit(0)


def _end_others(worker: str) -> None:
    import psutil

    for process in psutil.process_iter() if worker else ():
        try:
            if process.pid != os.getpid() and process.environ().get(WORKER_ENV) == worker:
                process.kill()
        except (psutil.Error, OSError):
            continue
