"""Which placement a worker gets: the one it names, else where the GPUs are that it needs."""

from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.errors import DeploymentFailed
from easymlnb.contract.resources import PREFER, Gpu
from easymlnb_server.placement.gpus import Gpus
from easymlnb_server.placement.hub import profiles
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.placement import HubPlacement
from easymlnb_server.placement.registry import PlacementSet, requested_placement
from easymlnb_server.workers.registration import WorkerRegistration
from support.fakes import FakePlacement, spec


def places(here: int, told: dict[str, Any]) -> PlacementSet:
    local = FakePlacement(WorkerRegistration())
    local.gpus = Gpus(tuple(f"GPU-{number}" for number in range(here)))
    spots = profiles.parse_profiles(told).items()
    others = {name: HubPlacement(name, spot, HubCredentials(), Path()) for name, spot in spots}
    return PlacementSet(local, others)


@pytest.mark.parametrize(
    ("gpu", "here", "chosen"),
    [
        (0.0, 0, "local"),
        (PREFER, 0, "local"),
        (1.0, 1, "local"),
        (1.0, 0, "some-gpu"),
        (0.5, 0, "some-gpu"),
        (2.0, 1, "big"),
        (4.0, 0, "big"),
        (8.0, 1, "local"),  # whose words then say what there is
    ],
)
def test_workers_that_name_no_place_get_one_with_their_gpus(
    gpu: Gpu, here: int, chosen: str
) -> None:
    there = places(
        here,
        {
            "cpu": {"profile": "small"},
            "halves": {"gpus": 1, "slots": 4},
            "some-gpu": {"profile": "any"},
            "big": {"profile": "dgx", "gpus": 8, "slots": 2},
        },
    )
    assert there.choose("", gpu) == chosen
    assert there.choose("cpu", gpu) == "cpu"


def test_what_a_place_surely_has_not_is_refused() -> None:
    there = places(0, {"gpu": {"gpus": 2, "slots": 2}, "open": {"profile": "gpu"}})
    assert there.get("gpu").reserve(1.0) is not None
    assert there.get("open").reserve(4.0) is not None
    with pytest.raises(DeploymentFailed, match=r"requests gpu=4, but a worker in .* gets 1"):
        there.get("gpu").reserve(4.0)
    with pytest.raises(DeploymentFailed, match="Its placements: local, gpu, open"):
        there.get("mars")


def test_services_of_a_notebook_share_the_place_that_some_name() -> None:
    assert requested_placement([spec(), spec()]) == ""
    assert requested_placement([spec(), spec(placement="gpu"), spec(placement="gpu")]) == "gpu"
    with pytest.raises(DeploymentFailed, match=r"different placements \(gpu, local\)"):
        requested_placement([spec(placement="gpu"), spec(placement="local")])


@pytest.mark.parametrize(
    "told",
    [
        {"Gpu": {}},
        {"gpu": {"gpus": -1}},
        {"gpu": {"slots": 0}},
        {"gpu": {"lifetime": "soon"}},
        {"gpu": {"profiel": "gpu"}},
    ],
)
def test_what_an_administrator_got_wrong_is_told(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"placement|gpus"):
        profiles.parse_profiles(told)
