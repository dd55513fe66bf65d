"""Checkpoints in the folder of an attempt: whole or refused, and with random states."""

import random
import threading
from pathlib import Path
from typing import Any

import numpy
import pytest

from easymlnb.contract.checkpoint_file import files_in, is_whole
from easymlnb.runtime.checkpoints import Checkpoint


class Run:
    """What a checkpoint uses of the run of its job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.offered: tuple[tuple[str, int], ...] = ()
        self.leaving = False
        self.saved: list[Path] = []
        self.stored: dict[str, bytes] = {}

    def save_checkpoint(self, path: Path) -> None:
        self.saved.append(path)

    def fetch_checkpoint(self, file: str, size: int, path: Path) -> bool:
        if file not in self.stored:
            return False
        path.write_bytes(self.stored[file])
        return True


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_the_newest_is_loaded_and_two_are_kept(run: Run) -> None:
    checkpoint = Checkpoint(lambda: run)
    assert checkpoint.load() is None
    for step in range(4):
        checkpoint.save(step, weights=[step], rng=numpy.random.default_rng(step))
    assert len(files_in(run.folder)) == 2 and len(run.saved) == 4
    found = checkpoint.load()
    assert found is not None and (found.step, found["weights"]) == (3, [3])
    assert found["rng"].random() == numpy.random.default_rng(3).random()


@pytest.mark.parametrize("cut", [1, 40, 10_000])
def test_a_cut_off_file_is_refused_and_the_former_one_used(run: Run, cut: int) -> None:
    checkpoint = Checkpoint(lambda: run)
    for step in (1, 2):
        checkpoint.save(step, weights=numpy.arange(1000))
    newest = files_in(run.folder)[0]
    data = newest.read_bytes()
    newest.write_bytes(data[: max(0, len(data) - cut)])
    assert not is_whole(newest)
    with pytest.warns(RuntimeWarning, match="incomplete"):
        found = checkpoint.load()
    assert found is not None and found.step == 1
    newest.write_bytes(b"x" + data[1:])
    assert not is_whole(newest)


def test_another_attempt_reads_the_newest_stored_one_that_it_can(run: Run, tmp_path: Path) -> None:
    former = Run(tmp_path / "former")
    former.folder.mkdir()
    for step in (1, 2):
        Checkpoint(lambda: former).save(step, value=step)
    new, old = (path.read_bytes() for path in files_in(former.folder))
    run.offered = (("new", len(new)), ("old", len(old)))
    run.stored = {"old": old}
    found = Checkpoint(lambda: run).load()
    assert found is not None and found["value"] == 1
    (run.folder / "checkpoint-0").unlink()
    run.stored["new"] = new
    found = Checkpoint(lambda: run).load()
    assert found is not None and found.step == 2
    Checkpoint(lambda: run).save(3, value=3)
    assert [path.name for path in files_in(run.folder)] == ["checkpoint-1", "checkpoint-0"]


def test_random_states_continue(run: Run) -> None:
    checkpoint = Checkpoint(lambda: run)
    random.seed(1)
    numpy.random.seed(1)
    checkpoint.save(0)
    expected = [random.random(), numpy.random.random()]
    checkpoint.load()
    assert [random.random(), numpy.random.random()] == expected
    checkpoint.load(random=False)
    assert [random.random(), numpy.random.random()] != expected


@pytest.mark.parametrize(
    ("step", "state", "error", "message"),
    [
        (-1, {}, ValueError, "at least 0, not -1"),
        (0.5, {}, TypeError, "float"),
        (1, {"lock": threading.Lock()}, TypeError, "cannot pickle the value 'lock', a lock"),
    ],
)
def test_what_cannot_be_saved_is_refused(
    run: Run, step: Any, state: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Checkpoint(lambda: run).save(step, **state)
    assert not list(run.folder.iterdir())


def test_a_full_disk_is_a_warning(run: Run) -> None:
    run.folder = run.folder / "missing"
    with pytest.warns(RuntimeWarning, match="was not saved"):
        Checkpoint(lambda: run).save(1, value=1)
    assert run.saved == []
