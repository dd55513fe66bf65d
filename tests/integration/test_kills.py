"""A short form of ``benchmarks/kills.py``: the server is killed while it makes changes."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import kills

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_was_acknowledged_survives(database: str, tmp_path: Path) -> None:
    make = kills.sqlite if database == "sqlite" else kills.postgresql
    with make(tmp_path) as server:
        assert all(kills.run(server, 4, seed=1).values())
