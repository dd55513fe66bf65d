"""Lanes: how many kernels may run jobs, of which kinds, and where."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.training import TRAIN_LANE
from easymlnb_server.jobs.models import BATCH, CALL, SWEEP, TRAIN, TRIAL

GRACE, TRAIN_GRACE = 5.0, 30.0
"""Default seconds that a canceled job has to stop: a fit often stops only after its next step."""

BATCHES, SWEEPS = "batches", "sweeps"

LANE_OF_KIND = {CALL: "jobs", TRAIN: TRAIN_LANE, BATCH: BATCHES, SWEEP: SWEEPS, TRIAL: "jobs"}
"""The lane of a kind of job that names none."""


class Lane(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The kernels of one lane.

    - ``workers``: maximum number of kernels of all users
    - ``per_user``: maximum number of running jobs of one user; 0 for no limit
    - ``placement``: where kernels start; empty for the placement of the service
    - ``idle``: seconds that a kernel waits for the next job of the same bundle
    - ``grace``: seconds that a canceled job has to stop before its kernel is ended; by default 30
      in the lane ``train``, else 5
    """

    workers: int = 1
    per_user: int = 0
    placement: str = ""
    idle: float = 120.0
    grace: float = GRACE

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")
        if self.per_user < 0 or self.idle < 0 or self.grace < 0:
            raise ValueError("per_user, idle and grace must not be negative")


DRIVEN = {BATCHES: Lane(workers=4), SWEEPS: Lane(workers=50)}
"""Lanes of jobs that the server itself drives; ``workers`` is how many of them run at a time."""


def parse(configured: Mapping[str, Any]) -> dict[str, Lane]:
    """Return the lanes of a setting; raises ``ValueError`` that names the lane."""
    lanes = dict(DRIVEN)
    for name, values in configured.items():
        try:
            lanes[name] = msgspec.convert(values, Lane)
            if name == TRAIN_LANE and "grace" not in values:
                lanes[name] = msgspec.structs.replace(lanes[name], grace=TRAIN_GRACE)
        except (msgspec.ValidationError, ValueError) as error:
            raise ValueError(f"the lane {name!r} is invalid: {error}") from error
    if LANE_OF_KIND[CALL] not in lanes:
        raise ValueError(f"there must be a lane {LANE_OF_KIND[CALL]!r}, which jobs use by default")
    return lanes


def check_placements(lanes: Mapping[str, Lane], known: Collection[str]) -> None:
    """Raise ``ValueError`` if a lane names a placement that is not ``known``."""
    for name, lane in lanes.items():
        if lane.placement and lane.placement not in known:
            raise ValueError(
                f"the lane {name!r} names the placement {lane.placement!r}, which does not exist. "
                f"Placements: {', '.join(known)}"
            )


def choose(lanes: Mapping[str, Lane], kind: str, wanted: str) -> str:
    """Return the lane of a new job; raises ``BadRequest`` for an unknown one."""
    name = wanted or LANE_OF_KIND[kind]
    allowed = lanes.keys() - DRIVEN.keys() | {LANE_OF_KIND[kind]}
    if name not in allowed:
        raise BadRequest(f"There is no lane named {name!r}. Lanes: {', '.join(sorted(allowed))}.")
    return name
