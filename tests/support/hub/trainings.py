"""A training that depends on its random numbers, and what an uninterrupted run of it returns."""

import json
from pathlib import Path
from typing import Any

import numpy

from support.hub.hub import User

SOURCE = """
import os, subprocess, sys, time
from pathlib import Path
import numpy
import easymlnb as ml

@ml.service
def fit(folder: str, steps: int, seed: int) -> list[float]:
    # Takes steps as far as the file "limit" allows, and writes down who took each.
    marks, attempt = Path(folder), ml.job().attempt
    checkpoint = ml.checkpoint()
    state = checkpoint.load()
    if state is None:
        numpy.random.seed(seed)
        step, weights = 0, numpy.zeros(5)
    else:
        step, weights = state.step, state["weights"]
    while step < steps:
        if checkpoint.leaving:
            checkpoint.leave()
        if step >= int((marks / "limit").read_text()):
            time.sleep(0.01)
            continue
        weights = 0.9 * weights + numpy.random.standard_normal(weights.shape)
        step += 1
        checkpoint.save(step, weights=weights)
        time.sleep(0.06)  # progress is sent no more often
        ml.progress(step / steps)
        with (marks / "steps").open("a") as file:
            print(attempt, step, os.getpid(), file=file)
    return [float(one) for one in weights]

@ml.service
def careless(folder: str, saves: bool) -> int:
    # Pays no attention to the end of its node.
    checkpoint = ml.checkpoint()
    if (state := checkpoint.load()) is not None:
        return state.step
    if saves:
        checkpoint.save(7)
    (Path(folder) / f"{saves}").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.1)
    return 0

@ml.service
def stubborn(folder: str) -> None:
    # Ignores all that can be ignored, with a child process.
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    text = f"{os.getpid()} {child.pid} {os.environ.get('CUDA_VISIBLE_DEVICES')}"
    (Path(folder) / "stubborn").write_text(text)
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass
"""


def expected(steps: int, seed: int) -> list[float]:
    """Return the weights of a run without interruptions."""
    random = numpy.random.RandomState(seed)
    weights = numpy.zeros(5)
    for _ in range(steps):
        weights = 0.9 * weights + random.standard_normal(weights.shape)
    return [float(one) for one in weights]


class Training:
    """A job that trains in a lane, as far as its test allows."""

    def __init__(self, user: User, folder: Path, lane: str, *, steps: int, seed: int) -> None:
        self.steps, self.seed = steps, seed
        self._user, self._folder = user, folder
        folder.mkdir()
        self.allow(0)
        values = {"folder": str(folder), "steps": steps, "seed": seed}
        answer = user.http.post(f"services/fit/jobs?lane={lane}", json=values)
        assert answer.status_code == 202, answer.text
        self.id = answer.json()["id"]
        self.shown = 0.0

    @property
    def row(self) -> dict[str, Any]:
        """The job; its progress must not have gone back."""
        found: dict[str, Any] = self._user.http.get(f"jobs/{self.id}").json()
        if found["state"] in ("running", "succeeded"):
            assert found["progress"] >= self.shown, (found, self.shown)
            self.shown = found["progress"]
        return found

    @property
    def taken(self) -> list[tuple[int, int, int]]:
        """Attempt, step and process of each step that was taken."""
        file = self._folder / "steps"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(a), int(s), int(p)) for a, s, p in map(str.split, lines)]

    @property
    def attempt(self) -> int:
        """The attempt that took the last step; 0 before the first."""
        return self.taken[-1][0] if self.taken else 0

    @property
    def outcomes(self) -> list[str]:
        return [one["outcome"] for one in self.row["attempts"]]

    def allow(self, steps: int) -> None:
        half = self._folder / "limit.half"
        half.write_text(str(steps))
        half.rename(self._folder / "limit")

    def reach(self, steps: int) -> None:
        """Allow steps and wait until they are taken."""
        self.allow(steps)
        self._user.hub.wait_for(
            lambda: self.taken and self.taken[-1][1] >= steps,
            f"step {steps} is not taken: {self.row} {self.taken[-3:]}",
        )

    def wait_checkpoint(self, attempt: int) -> None:
        """Wait until the server has a checkpoint of an attempt."""
        with self._user.http.stream("GET", f"jobs/{self.id}/events") as events:
            kind = ""
            for line in events.iter_lines():
                kind = line[7:] if line.startswith("event: ") else kind
                found = json.loads(line[6:]) if line.startswith("data: ") else {}
                if kind == "checkpoint" and found.get("attempt") == attempt:
                    return
        raise AssertionError(f"there is no checkpoint of attempt {attempt}: {self.row}")

    def finish(self) -> list[float]:
        """Allow all steps; return the weights."""
        self.allow(self.steps)
        self._user.hub.wait_for(
            lambda: self.row["state"] not in ("queued", "running"), f"it does not end: {self.row}"
        )
        assert self.row["state"] == "succeeded", self.row
        found: list[float] = self._user.http.get(f"jobs/{self.id}/result").json()
        return found
