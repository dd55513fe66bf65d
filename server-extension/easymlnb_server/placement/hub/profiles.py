"""Placement profiles that an administrator defines: which servers, and how many."""

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from easymlnb.contract import units
from easymlnb.contract.resources import PREFER, Gpu
from easymlnb_server import spelling

NAME = re.compile(r"[a-z](?:-?[a-z0-9]){0,15}\Z")
LOCAL = "local"
LOCAL_SLOTS = 8
"""Default number of one user's workers that share a node of ``local``, on a shared service."""
MARGIN = 600.0
"""Maximum seconds before the end of a node at which its workers are replaced."""


JOB_MARGIN = 900.0
"""Seconds of a node for a job in addition to the job's: to start, and to leave the node."""


class PlacementProfile(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A kind of node.

    profile: passed to the Hub's spawner as ``user_options={"profile": ...}``.
    user_options: more options, for spawners with other names.
    kernel: the kernelspec on the node; default: that of the notebook, or ``python3``.
    title: the kernel's name in JupyterLab's launcher.
    idle: how long a node runs without any kernel, seconds or ``"10m"``; default 10 minutes.
    lifetime: how long a node may run (Slurm's time limit), seconds or ``"4h"``; default: no end.
    max_workers: how many kernels one user may have there at a time, default 1.
    slots: how many of them share a node, default 1.
    gpus: how many GPUs a node has, for services that request none; default: unknown.
    time_option: the user option in which the spawner gets how many minutes a node is needed: its
        lifetime, or less for a node that runs one job; empty: none.
    shared_files: whether nodes have the server's folder of locked environments, and its Python,
        under the same paths; only then do locked versions run there.
    """

    profile: str = ""
    user_options: dict[str, Any] = {}
    kernel: str = ""
    title: str = ""
    idle: str | float = 600.0
    lifetime: str | float = 0.0
    max_workers: int = 1
    slots: int = 1
    gpus: int | None = None
    time_option: str = ""
    shared_files: bool = False

    @property
    def max_nodes(self) -> int:
        """Number of nodes that one user may have; one more if nodes with an end are replaced."""
        return math.ceil(self.max_workers / self.slots) + bool(units.parse_duration(self.lifetime))

    @property
    def idle_seconds(self) -> float:
        """``idle`` in seconds."""
        return units.parse_duration(self.idle)

    @property
    def lifetime_seconds(self) -> float:
        """``lifetime`` in seconds; ``inf`` without an end."""
        return units.parse_duration(self.lifetime) or math.inf

    @property
    def usable_seconds(self) -> float:
        """``lifetime`` minus the time to replace workers, in seconds; ``inf`` without an end."""
        whole = self.lifetime_seconds
        return whole - min(MARGIN, whole / 4)

    @property
    def spawner_options(self) -> dict[str, Any]:
        """What the spawner receives."""
        options = {**self.user_options, **({"profile": self.profile} if self.profile else {})}
        if self.time_option and self.lifetime_seconds < math.inf:
            options[self.time_option] = math.ceil(self.lifetime_seconds / 60)
        return options

    def for_job(self, seconds: float) -> "PlacementProfile":
        """Return the profile of a node for one job of ``seconds`` at most.

        A scheduler starts a node that is needed for a short time sooner. The node ends with the
        job, because the next one may need more time.
        """
        if not seconds or not self.time_option or self.slots > 1:
            return self
        needed = min(self.lifetime_seconds, seconds + JOB_MARGIN)
        return msgspec.structs.replace(self, lifetime=needed, idle=0.0)


def gpus_per_worker(name: str, profile: PlacementProfile) -> float:
    """Return how many GPUs a worker has in a placement.

    If ``gpus`` is not set, a name or profile that contains "gpu" counts as one GPU.
    """
    named = "gpu" in name or "gpu" in profile.profile.lower()
    return (named if profile.gpus is None else profile.gpus) / profile.slots


def offers(name: str, profile: PlacementProfile, gpu: Gpu) -> bool:
    """Return whether a worker can have that many GPUs in a placement."""
    return gpu in (PREFER, 0) or gpu <= gpus_per_worker(name, profile)


def parse_profiles(placements: Mapping[str, Any]) -> dict[str, PlacementProfile]:
    """Return the profiles in ``c.EasyMLNB.placements``; raises ``ValueError`` with a sentence.

    ``local`` may be among them: on a shared service it is a placement like the others.
    """
    profiles = {}
    for name, settings in placements.items():
        if not isinstance(name, str) or not NAME.match(name):
            raise ValueError(
                f"Invalid placement name {name!r}: use up to 16 lowercase letters, digits and "
                "single dashes, starting with a letter."
            )
        profile = spelling.struct(settings, PlacementProfile, f"the placement {name!r}")
        profiles[name] = profile
        for setting in ("idle", "lifetime"):
            try:
                units.parse_duration(getattr(profile, setting))
            except ValueError as error:
                raise ValueError(f"{setting!r} of the placement {name!r}: {error}") from error
        if profile.max_workers < 1 or profile.slots < 1:
            raise ValueError(f"max_workers and slots of the placement {name!r} must be at least 1.")
        if profile.gpus is not None and profile.gpus < 0:
            raise ValueError(f"gpus of the placement {name!r} must be at least 0.")
    return profiles


def for_personal_server(placements: Mapping[str, Any]) -> dict[str, PlacementProfile]:
    """Return the profiles for a user's own server, where ``local`` is the server's machine."""
    profiles = parse_profiles(placements)
    profiles.pop(LOCAL, None)
    return profiles


def for_shared_service(placements: Mapping[str, Any]) -> dict[str, PlacementProfile]:
    """Return the profiles for a service that runs nothing on its own machine."""
    local = PlacementProfile(max_workers=LOCAL_SLOTS, slots=LOCAL_SLOTS)
    return {LOCAL: local, **parse_profiles(placements)}
