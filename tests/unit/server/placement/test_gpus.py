"""GPUs of this machine: which there are, who gets which, who waits, who is refused."""

import asyncio
from pathlib import Path

import pytest

from easymlnb.contract.errors import DeploymentFailed
from easymlnb_server.placement.base import Reservation
from easymlnb_server.placement.gpus import Gpus, detect_gpus, parse_listing, visible_gpus

TWO = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000001)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-22222222-aaaa-bbbb-cccc-000000000002)
"""
PARTED = """\
GPU 0: NVIDIA H100 (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000001)
  MIG 3g.40gb     Device  0: (UUID: MIG-33333333-aaaa-bbbb-cccc-000000000003)
  MIG 3g.40gb     Device  1: (UUID: MIG-44444444-aaaa-bbbb-cccc-000000000004)
GPU 1: NVIDIA H100 (UUID: GPU-22222222-aaaa-bbbb-cccc-000000000002)
"""
ONE, OTHER = parse_listing(TWO)


def test_gpus_are_named_by_uuid() -> None:
    assert parse_listing(TWO) == (
        "GPU-11111111-aaaa-bbbb-cccc-000000000001", "GPU-22222222-aaaa-bbbb-cccc-000000000002",
    )  # fmt: skip
    assert parse_listing("") == parse_listing("No devices were found\n") == ()


def test_gpu_in_parts_is_its_parts() -> None:
    assert [name[:12] for name in parse_listing(PARTED)] == [
        "MIG-33333333", "MIG-44444444", "GPU-22222222",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, (ONE, OTHER)),
        ({"CUDA_VISIBLE_DEVICES": "1"}, (OTHER,)),
        ({"CUDA_VISIBLE_DEVICES": "1, 0"}, (OTHER, ONE)),
        ({"CUDA_VISIBLE_DEVICES": "GPU-222"}, (OTHER,)),
        ({"CUDA_VISIBLE_DEVICES": "GPU-"}, ()),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, ()),
        ({"CUDA_VISIBLE_DEVICES": "0,7,1"}, (ONE,)),
        ({"CUDA_VISIBLE_DEVICES": "0,0"}, (ONE,)),
        ({"NVIDIA_VISIBLE_DEVICES": "none"}, ()),
        ({"NVIDIA_VISIBLE_DEVICES": "all"}, (ONE, OTHER)),
    ],
)
def test_environment_says_which_may_be_used(
    environment: dict[str, str], names: tuple[str, ...]
) -> None:
    assert visible_gpus(environment, (ONE, OTHER)) == names


def smi(folder: Path, script: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_machine_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    smi(tmp_path, f'[ "$1" = -L ] && cat <<END\n{TWO}END')
    assert detect_gpus() == (ONE, OTHER)


@pytest.mark.parametrize("script", ["exit 9", "echo nonsense", "kill $$"])
def test_machine_whose_driver_is_broken_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    smi(tmp_path, script)
    assert detect_gpus() == ()


def test_machine_without_driver_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert detect_gpus() == ()


def test_each_worker_has_its_own() -> None:
    gpus = Gpus((ONE, OTHER))
    assert gpus.reserve(1) == Reservation((ONE,), 1.0)
    assert gpus.reserve(1) == Reservation((OTHER,), 1.0)
    assert gpus.reserve(1) is None
    gpus.release(Reservation((ONE,), 1.0))
    assert gpus.reserve(1.0) == Reservation((ONE,), 1.0)


def test_shares_fill_one_before_the_next() -> None:
    gpus = Gpus((ONE, OTHER))
    assert [gpus.reserve(0.5) for _ in range(2)] == [Reservation((ONE,), 0.5)] * 2
    assert gpus.reserve(1) == Reservation((OTHER,), 1.0)
    assert gpus.reserve(0.1) is None
    thirds = Gpus((ONE,))
    assert [thirds.reserve(1 / 3) is not None for _ in range(4)] == [True, True, True, False]


def test_several_for_one_worker() -> None:
    gpus = Gpus((ONE, OTHER))
    assert gpus.reserve(0.5) == Reservation((ONE,), 0.5)
    assert gpus.reserve(2) is None
    gpus.release(Reservation((ONE,), 0.5))
    room = gpus.reserve(2)
    assert room is not None
    assert set(room.gpus or ()) == {ONE, OTHER}


def test_too_many_are_refused_with_what_to_do() -> None:
    with pytest.raises(
        DeploymentFailed, match=r"requests 1 GPU, but this server can use no GPU.*pref"
    ):
        Gpus(()).reserve(1)
    with pytest.raises(DeploymentFailed, match=r"requests 3 GPUs, but this server can use 2 GPUs"):
        Gpus((ONE, OTHER)).reserve(3)
    with pytest.raises(
        DeploymentFailed, match=r"requests 0\.5 GPU, but this server can use no GPU"
    ):
        Gpus(()).reserve(0.5)


def test_preferred_one_is_not_demanded() -> None:
    assert Gpus(()).reserve("prefer") == Reservation()
    assert Gpus((ONE,)).reserve("prefer") == Reservation((ONE,), 1.0)


def test_others_see_none_where_there_are_any() -> None:
    assert Gpus(()).reserve(0) == Reservation(None)
    assert Gpus((ONE,)).reserve(0) == Reservation(())


def test_worker_of_a_former_server_may_have_one_that_is_gone() -> None:
    gpus = Gpus((ONE,))
    gpus.occupy(Reservation((OTHER,), 1.0))
    assert gpus.reserve(1) == Reservation((ONE,), 1.0)
    gpus.release(Reservation((OTHER,), 1.0))


async def test_who_waits_is_told_when_one_is_free() -> None:
    gpus = Gpus((ONE,))
    room = gpus.reserve(1)
    assert room is not None
    waiting = [asyncio.create_task(gpus.freed()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    gpus.release(room)
    await asyncio.wait_for(asyncio.gather(*waiting[1:]), 20)
