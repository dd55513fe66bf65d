"""A short form of ``benchmarks/chaos.py``: jobs while workers and servers are killed and paused."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import chaos

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_job_is_lost_and_none_succeeds_twice(database: str, tmp_path: Path) -> None:
    random.seed(1)
    make = chaos.sqlite if database == "sqlite" else chaos.postgresql
    with make(tmp_path) as world:
        assert chaos.run(world, 15, tmp_path)
