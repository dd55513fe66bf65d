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
QUERY_TIMEOUT = 20.0
"""Seconds for ``nvidia-smi``, which is slow if the driver is not loaded permanently."""

_LINE = re.compile(r"^([ \t]*)(?:GPU|MIG) .*\(UUID: ([A-Za-z0-9/-]+)\)", re.MULTILINE)


def parse_listing(text: str) -> tuple[str, ...]:
    """Return the usable devices in the output of ``nvidia-smi -L``: GPUs, or their MIG devices."""
    names: list[str] = []
    whole = ""
    for indent, name in _LINE.findall(text):
        if not indent:
            whole = name
        elif names and names[-1] == whole:
            names.pop()  # a GPU in MIG mode cannot be used as a whole
        names.append(name)
    return tuple(names)


def visible_gpus(environment: Mapping[str, str], present: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the ``present`` GPUs that a process with this environment can use.

    CUDA accepts numbers and prefixes of names, and ignores everything after the first invalid one.
    """
    if environment.get("NVIDIA_VISIBLE_DEVICES") in ("none", "void"):
        return ()
    if VISIBLE not in environment:
        return present
    visible: list[str] = []
    for word in environment[VISIBLE].split(","):
        word = word.strip()
        match = [name for name in present if word and name.startswith(word)]
        if word.isdecimal() and int(word) < len(present):
            match = [present[int(word)]]
        if len(match) != 1 or match[0] in visible:
            break
        visible += match
    return tuple(visible)


def detect_gpus() -> tuple[str, ...]:
    """Return the names of this machine's GPUs; none if ``nvidia-smi`` is missing or fails."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    try:
        done = subprocess.run(
            [command, "-L"], capture_output=True, text=True, timeout=QUERY_TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_listing(done.stdout)


def assigned_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs that a scheduler assigned to this process, or else all that it can use."""
    assigned = environment.get(VISIBLE)
    if assigned is not None:
        return tuple(word.strip() for word in assigned.split(",") if word.strip())
    return visible_gpus(environment, detect_gpus())


class Gpus:
    """Reservations of a machine's GPUs. The shares of one GPU add up to at most 1."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._free = dict.fromkeys(names, 1.0)
        self._released = asyncio.Event()

    def offers(self, gpu: Gpu) -> bool:
        """Return whether the machine has that many GPUs."""
        return gpu == PREFER or gpu <= len(self.names)

    def reserve(self, gpu: Gpu) -> Reservation | None:
        """Reserve GPUs for one worker; ``None`` if too many are in use.

        Raises ``DeploymentFailed`` if the machine has fewer.
        """
        if gpu == PREFER:
            gpu = 1.0 if self.names else 0.0
        if gpu == 0:
            # GPUs are for workers that request one: a worker that used one without a request
            # could take the memory that another worker's model needs.
            return Reservation(gpus=()) if self.names else Reservation()
        count = max(1, int(gpu))
        if not self.offers(gpu):
            raise DeploymentFailed(_too_few(gpu, len(self.names)))
        share = min(1.0, float(gpu))
        # Shares go to the fullest GPU that fits, so whole GPUs stay free for workers that need one.
        fullest = sorted(self.names, key=lambda name: self._free[name])
        chosen = tuple(name for name in fullest if self._free[name] > share - 1e-9)[:count]
        if len(chosen) < count:
            return None
        self.occupy(Reservation(chosen, share))
        return Reservation(chosen, share)

    def occupy(self, reservation: Reservation) -> None:
        """Count a reservation, also one that a worker of a former server holds."""
        self._add(reservation, -reservation.share)

    def release(self, reservation: Reservation) -> None:
        """Release a reservation and wake all that wait for one."""
        self._add(reservation, reservation.share)
        self._released.set()
        self._released = asyncio.Event()

    async def freed(self) -> None:
        """Wait until a reservation is released."""
        await self._released.wait()

    def _add(self, reservation: Reservation, share: float) -> None:
        for name in reservation.gpus or ():
            if name in self._free:
                self._free[name] += share


def _too_few(gpu: float, present: int) -> str:
    has = "no GPU" if not present else "one GPU" if present == 1 else f"{present} GPUs"
    requested = f"{gpu:g} GPU" + ("s" if gpu > 1 else "")
    return (
        f"The service requests {requested}, but this server can use {has}. Publish the service on "
        "a server with more GPUs, or set gpu='prefer' to run the service without a GPU if none is "
        "available."
    )
