"""What authors say of workers: bounds, times, sizes, GPUs, and what is refused."""

from typing import Any

import pytest

from easymlnb.contract import units
from easymlnb.contract.errors import DefinitionError
from easymlnb.contract.resources import WorkerResources
from easymlnb.contract.spec import Batch, ServiceSpec
from easymlnb.publishing.bundle.static_analysis import read_cells
from easymlnb.services.definition import define


def spec_of(**options: Any) -> ServiceSpec:
    def f(x: int) -> int:
        return x

    return define(f, **options).spec


@pytest.mark.parametrize(
    ("options", "bounds"),
    [
        ({}, (1, 1)),
        ({"workers": 3}, (3, 3)),
        ({"max_workers": 3}, (1, 3)),
        ({"min_workers": 0}, (0, 1)),
        ({"min_workers": 2}, (2, 2)),
        ({"min_workers": 0, "max_workers": 4}, (0, 4)),
    ],
)
def test_bounds(options: dict[str, Any], bounds: tuple[int, int]) -> None:
    spec = spec_of(**options)
    assert (spec.min_workers, spec.workers) == bounds
    assert ServiceSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"workers": 0}, "workers must be a whole number of at least 1"),
        ({"workers": True}, "workers must be"),
        ({"workers": 1.5}, "workers must be"),
        ({"min_workers": -1}, "min_workers must be a whole number of at least 0"),
        ({"max_workers": 0}, "max_workers must be"),
        ({"min_workers": 2, "max_workers": 1}, "must not be greater than"),
        ({"workers": 2, "min_workers": 0}, "sets both limits"),
        ({"target_calls": 0}, "target_calls must be a number greater than 0"),
        ({"idle": -1}, "idle: Invalid duration -1"),
        ({"idle": "soon"}, "idle: Invalid duration 'soon'"),
        ({"memory": 0}, "memory: Invalid size 0"),
        ({"memory": "2X"}, "memory: Invalid size '2X'"),
        ({"gpu": -1}, "gpu must be"),
        ({"gpu": 1.5}, "gpu must be"),
        ({"gpu": "yes"}, "gpu must be"),
        ({"gpu": True}, "gpu must be"),
        ({"idempotent": 1}, "idempotent must be True or False"),
    ],
)
def test_what_makes_no_sense_is_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        spec_of(**options)


def test_words_become_numbers() -> None:
    spec = spec_of(idle="10m", memory="2G", gpu=1, target_calls=3)
    assert spec.resources == WorkerResources(
        target_calls=3.0, idle=600.0, memory=2 * 2**30, gpu=1.0
    )
    assert spec_of(gpu="prefer").resources.gpu == "prefer"
    assert spec_of().resources == WorkerResources()


def test_calls_per_worker_are_what_it_runs_at_once() -> None:
    spec = ServiceSpec(name="f", title="f", input={}, output={})
    assert spec.target_calls == 1
    assert ServiceSpec(name="f", title="f", input={}, output={}, concurrency=16).target_calls == 16
    batched = ServiceSpec(name="f", title="f", input={}, output={}, batch=Batch(max_size=8))
    assert batched.target_calls == 8
    assert spec_of(target_calls=0.5).target_calls == 0.5


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("1K", 1024), ("500M", 500 * 2**20), ("1.5 GB", 3 * 2**29), ("2gib", 2**31)],
)
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("0.5s", 0.5), ("10m", 600), ("1h", 3600), ("2 d", 172800)]
)
def test_times(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "M", "-1", "1e9", "1 MB MB", "nan", "inf", None, [], True])
def test_neither_size_nor_time(text: Any) -> None:
    with pytest.raises(ValueError, match="Invalid size"):
        units.parse_size(text)
    with pytest.raises(ValueError, match="Invalid duration"):
        units.parse_duration(text)


def test_sizes_are_shown_as_people_write_them() -> None:
    assert [units.format_size(n) for n in (5, 400 * 2**20, 3 * 2**29)] == [
        "5 bytes",
        "400 MB",
        "1.5 GB",
    ]


@pytest.mark.parametrize(
    ("source", "gpu"),
    [
        ("@ml.service\ndef f(): pass", 0),
        ("@ml.service(gpu=1)\ndef f(): pass", 1),
        ("@service(gpu=0.5)\nasync def f(): pass", 0.5),
        ("@ml.service(gpu='prefer')\ndef f(): pass", "prefer"),
        ("@ml.service(gpu='prefer')\ndef f(): pass\n@ml.service(gpu=2)\ndef g(): pass", 2),
        ("@ml.service(gpu=N)\ndef f(): pass", 0),
        ("@ml.service(gpu=-1)\ndef f(): pass", 0),
        ("@other(gpu=1)\ndef f(): pass", 0),
    ],
)
def test_gpu_is_read_from_the_source(source: str, gpu: Any) -> None:
    assert read_cells([{"cell_type": "code", "source": source, "metadata": {}}]).gpu == gpu


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "3 s"), (3.0, "3 s"), (2.99999, "3 s"), (2.9951, "3 s"), (2.5, "2.5 s"),
        (0.05, "0.05 s"), (0.9999, "1 s"), (1.25, "1.25 s"), (1e6, "1000000 s"),
    ],
)  # fmt: skip
def test_seconds_are_shown_as_people_write_them(seconds: float, text: str) -> None:
    assert units.format_seconds(seconds) == text
