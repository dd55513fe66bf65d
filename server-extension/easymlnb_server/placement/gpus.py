"""The GPUs of this machine, and which worker uses which of them."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Mapping

from easymlnb.contract.errors import DeploymentFailed
from easymlnb.contract.resources import PREFER, Gpu
from easymlnb_server.placement.base import Reservation

VISIBLE = "CUDA_VISIBLE_DEVICES"
ASK_TIMEOUT = 20.0
"""Seconds for ``nvidia-smi``, which is slow when the driver is not kept loaded."""

_LINE = re.compile(r"^([ \t]*)(?:GPU|MIG) .*\(UUID: ([A-Za-z0-9/-]+)\)", re.MULTILINE)


def listed(text: str) -> tuple[str, ...]:
    """Return what can be used of the output of ``nvidia-smi -L``: a GPU, or its MIG devices."""
    found: list[str] = []
    whole = ""
    for indent, name in _LINE.findall(text):
        if not indent:
            whole = name
        elif found and found[-1] == whole:
            found.pop()  # a GPU in parts is not to be had as a whole
        found.append(name)
    return tuple(found)


def usable(environment: Mapping[str, str], there: tuple[str, ...]) -> tuple[str, ...]:
    """Return the GPUs that a process with this environment may use, of those that are there.

    CUDA counts GPUs by number, or by the beginning of their name, and takes none from the first
    word on that names none.
    """
    if environment.get("NVIDIA_VISIBLE_DEVICES") in ("none", "void"):
        return ()
    if VISIBLE not in environment:
        return there
    found: list[str] = []
    for word in environment[VISIBLE].split(","):
        word = word.strip()
        match = [name for name in there if word and name.startswith(word)]
        if word.isdecimal() and int(word) < len(there):
            match = [there[int(word)]]
        if len(match) != 1 or match[0] in found:
            break
        found += match
    return tuple(found)


def ask() -> tuple[str, ...]:
    """Return the names of this machine's GPUs; none where ``nvidia-smi`` is not, or fails."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    try:
        done = subprocess.run(
            [command, "-L"], capture_output=True, text=True, timeout=ASK_TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return listed(done.stdout)


def given(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs that a scheduler gave this process, as it names them, else those it sees."""
    named = environment.get(VISIBLE)
    if named is not None:
        return tuple(word.strip() for word in named.split(",") if word.strip())
    return usable(environment, ask())


class Gpus:
    """Who has what of the GPUs there are. Shares of one GPU add up to 1 at most."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._free = dict.fromkeys(names, 1.0)
        self._waiting: list[asyncio.Future[None]] = []

    def offers(self, gpu: Gpu) -> bool:
        """Say whether there are ever so many."""
        return gpu == PREFER or gpu <= len(self.names)

    def reserve(self, gpu: Gpu) -> Reservation | None:
        """Keep GPUs for one worker; ``None`` when too many are taken now.

        Raises ``DeploymentFailed`` when there are never so many.
        """
        if gpu == PREFER:
            gpu = 1.0 if self.names else 0.0
        if gpu == 0:
            # Where there are GPUs they are for those that ask: a worker that took one unasked
            # would be in the memory of the model that it was given to.
            return Reservation(gpus=()) if self.names else Reservation()
        count = max(1, int(gpu))
        if not self.offers(gpu):
            raise DeploymentFailed(_too_few(gpu, len(self.names)))
        share = min(1.0, float(gpu))
        # The fullest that still has room: whole ones stay free for those that need them whole.
        free = sorted(self.names, key=lambda name: self._free[name])
        chosen = tuple(name for name in free if self._free[name] > share - 1e-9)[:count]
        if len(chosen) < count:
            return None
        self.take(Reservation(chosen, share))
        return Reservation(chosen, share)

    def take(self, room: Reservation) -> None:
        """Count this room as taken; a worker of a former server may have been there already."""
        for name in room.gpus or ():
            if name in self._free:
                self._free[name] -= room.share

    def release(self, room: Reservation) -> None:
        """Give room back; whoever waits looks again."""
        for name in room.gpus or ():
            if name in self._free:
                self._free[name] += room.share
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def freed(self) -> None:
        """Wait until room is given back."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


def _too_few(gpu: float, there: int) -> str:
    has = "no GPU" if not there else "one GPU" if there == 1 else f"{there} GPUs"
    asked = f"{gpu:g} GPU" + ("s" if gpu > 1 else "")
    return (
        f"The service requests {asked}, but this server can use {has}. Publish the service on a "
        "server with more GPUs, or set gpu='prefer' to run the service without a GPU if none is "
        "available."
    )
