"""How a worker finds its server: the first time, and again when it was lost.

A server that was killed leaves its workers running. Each waits for the next server on the same
data folder, which writes its address there, and dials it with the secret it was given for that.
Nobody else is dialled: the old port may belong to somebody else by now.
"""

import json
import os
import time
from pathlib import Path
from typing import NoReturn

from easymlnb.contract.worker_protocol import ReconnectGrant
from easymlnb.runtime.link import Link, LinkLost, LinkRefused

MARK = "EASYMLNB_WORKER"
"""Variable with this worker's name, which all that it starts inherits."""

PAUSE = 0.25
"""Seconds between two looks for the next server."""


class ServerAddress:
    """The server of this worker, from the environment; the secret is taken out of it.

    Without a file for addresses (a worker on another machine) the first address stays.
    """

    def __init__(self) -> None:
        self._link = os.environ["EASYMLNB_LINK"]
        self._cafile = os.environ.get("EASYMLNB_CAFILE", "")
        self._secret = os.environ.pop("EASYMLNB_SECRET")
        self._file = os.environ.get("EASYMLNB_HOME", "")
        self._run = self._read().get("run")

    def dial(self) -> Link:
        """Return the link to the server that started this worker."""
        return Link(self._link, self._secret, self._cafile)

    def dial_again(self, back: ReconnectGrant) -> Link | None:
        """Return a link to the next server; ``None`` when none took this worker in in time."""
        until = time.monotonic() + back.seconds
        while time.monotonic() < until:
            found = self._read() if self._file else {"link": self._link, "cafile": self._cafile}
            if not self._file or found.get("run", self._run) != self._run:
                try:
                    link = Link(found["link"], back.secret, found["cafile"])
                except LinkRefused as refused:
                    if refused.skew:
                        return None  # the next server has another version, and starts new workers
                except (OSError, LinkLost):
                    pass  # it has not got so far, or is gone too
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


class _Anybody(int):
    """A process id that every parent has."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


def outlive_parent() -> None:
    """Let this kernel run on without its parent; ipykernel would end it within a second."""
    from ipykernel.kernelapp import IPKernelApp

    poller = getattr(IPKernelApp.instance(), "poller", None)
    if poller is not None and hasattr(poller, "parent_pid"):
        poller.parent_pid = _Anybody(1)


def end() -> NoReturn:
    """End this process and all that it started, wherever they moved to: nobody else would."""
    try:
        _end_others(os.environ.get(MARK, ""))
    finally:
        os._exit(0)


def _end_others(mark: str) -> None:
    import psutil

    for process in psutil.process_iter() if mark else ():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                process.kill()
        except (psutil.Error, OSError):
            continue
