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
LOCAL_SEATS = 8
"""Workers of one user that share a node where nothing is said of it, on a shared service."""
MARGIN = 600.0
"""Seconds before the end of a node at most, when its workers are replaced."""


class PlacementProfile(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A kind of node.

    profile: what the Hub's spawner is asked for, as ``user_options={"profile": ...}``.
    user_options: more of them, for spawners that want other words.
    kernel: the kernelspec on the node; default: the one of the notebook, or ``python3``.
    title: how a kernel there is called in JupyterLab's launcher.
    idle: how long a node stays without any kernel, seconds or ``"10m"``; default 10 minutes.
    lifetime: how long a node may run (Slurm's time limit), seconds or ``"4h"``; default: no end.
    max_workers: how many kernels one user may have there at a time, default 1.
    seats: how many of them share a node, default 1.
    gpus: how many GPUs a node has, for services that name none; default: it is not known.
    """

    profile: str = ""
    user_options: dict[str, Any] = {}
    kernel: str = ""
    title: str = ""
    idle: str | float = 600.0
    lifetime: str | float = 0.0
    max_workers: int = 1
    seats: int = 1
    gpus: int | None = None

    @property
    def nodes(self) -> int:
        """How many nodes one user may have at a time; one more where old ones make room."""
        return math.ceil(self.max_workers / self.seats) + bool(units.parse_duration(self.lifetime))

    @property
    def seconds(self) -> float:
        """``idle`` in seconds."""
        return units.parse_duration(self.idle)

    @property
    def life(self) -> float:
        """``lifetime`` in seconds, less what workers need to be replaced; ``inf`` without end."""
        whole = units.parse_duration(self.lifetime)
        return whole - min(MARGIN, whole / 4) if whole else math.inf

    @property
    def options(self) -> dict[str, Any]:
        """What the spawner is given."""
        return {**self.user_options, **({"profile": self.profile} if self.profile else {})}


def each(name: str, spot: PlacementProfile) -> float:
    """Return how many GPUs a worker has in a placement, as far as can be told.

    Where ``gpus`` is not said, one whose name or profile speaks of GPUs is taken to have one.
    """
    named = "gpu" in name or "gpu" in spot.profile.lower()
    return (named if spot.gpus is None else spot.gpus) / spot.seats


def offers(name: str, spot: PlacementProfile, gpu: Gpu) -> bool:
    """Say whether a worker has so many GPUs in a placement, as far as can be told."""
    return gpu in (PREFER, 0) or gpu <= each(name, spot)


def read(placements: Mapping[str, Any]) -> dict[str, PlacementProfile]:
    """Return the placements of ``c.EasyMLNB.placements``; raises ``ValueError`` in a sentence.

    ``local`` may be among them: on a shared service it is a placement like the others.
    """
    found = {}
    for name, told in placements.items():
        if not isinstance(name, str) or not NAME.match(name):
            raise ValueError(
                f"Invalid placement name {name!r}: use up to 16 lowercase letters, digits and "
                "single dashes, starting with a letter."
            )
        spot = found[name] = spelling.struct(told, PlacementProfile, f"the placement {name!r}")
        for setting in ("idle", "lifetime"):
            try:
                units.parse_duration(getattr(spot, setting))
            except ValueError as error:
                raise ValueError(f"{setting!r} of the placement {name!r}: {error}") from error
        if spot.max_workers < 1 or spot.seats < 1:
            raise ValueError(f"max_workers and seats of the placement {name!r} must be at least 1.")
        if spot.gpus is not None and spot.gpus < 0:
            raise ValueError(f"gpus of the placement {name!r} must be at least 0.")
    return found


def on_own_server(placements: Mapping[str, Any]) -> dict[str, PlacementProfile]:
    """Return the placements beside the server's own machine."""
    return {name: spot for name, spot in read(placements).items() if name != LOCAL}


def on_shared_service(placements: Mapping[str, Any]) -> dict[str, PlacementProfile]:
    """Return the placements of a service that runs nothing on its own machine."""
    return {LOCAL: PlacementProfile(max_workers=LOCAL_SEATS, seats=LOCAL_SEATS), **read(placements)}
