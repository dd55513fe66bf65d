"""Jobs that are canceled in each state, and in fits that end late, or never, when asked to."""

import time
from collections.abc import Iterator

import pytest

from support.invariants import workers
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

SOURCE = """
import subprocess
import sys
import time
from pathlib import Path
import numpy
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC
import easymlnb as ml

def torch_loop(x, y):
    import torch
    layer = torch.nn.Linear(x.shape[1], 2)
    rows = torch.tensor(x, dtype=torch.float32)
    while True:
        layer(rows).sum().backward()

def endless(model):
    def fit(x, y):
        while True:
            model.fit(x, y)
    return fit

FITS = {
    "boosting": endless(HistGradientBoostingClassifier(max_iter=10_000, early_stopping=False)),
    "ridge": endless(RidgeCV(alphas=numpy.logspace(-3, 3, 200))),
    "torch": torch_loop,
    "forest in processes": endless(RandomForestClassifier(2000, n_jobs=2)),
    "grid": endless(GridSearchCV(RandomForestClassifier(500), {"max_depth": [3, 9]}, n_jobs=2)),
    "forest": endless(RandomForestClassifier(2000, n_jobs=1)),
    "svm": endless(SVC(kernel="rbf", C=1e6)),
}

@ml.service
def fit(kind: str, folder: str, rows: int = 40_000) -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # not ended by anyone
    random = numpy.random.default_rng(0)
    x = random.standard_normal((rows, 40))
    y = (x[:, 0] + random.standard_normal(rows) > 0).astype(int)
    (Path(folder) / "begun").touch()
    FITS[kind](x, y)
"""

KINDS = ("boosting", "ridge", "torch", "forest in processes", "grid", "forest", "svm")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("cancel")
    with running_server(folder, make_notebook(SOURCE)) as made:
        yield made


def submit(server: RunningServer, kind: str, folder: object) -> str:
    values = {"kind": kind, "folder": str(folder)}
    answer = server.http.post("services/fit/jobs?lane=train", json=values)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def cancel(server: RunningServer, id: str) -> float:
    """Cancel a job and wait for its end; return how many seconds that took."""
    began = time.monotonic()
    assert server.http.post(f"jobs/{id}/cancel").status_code == 202
    ended = server.http.get(f"jobs/{id}", params={"wait": 60}).json()
    assert (ended["state"], ended["error"]["code"]) == ("cancelled", "cancelled"), ended
    return time.monotonic() - began


def wait_for_nothing(server: RunningServer) -> None:
    """Wait until there is nothing but the worker that serves calls."""
    server.wait_for(
        lambda: [len(pids) for pids in workers(server).values()] == [1],
        f"processes are left: {workers(server)}",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_ends_with_all_that_it_started(
    server: RunningServer, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    folder = tmp_path_factory.mktemp("fit")
    id = submit(server, kind, folder)
    server.wait_for((folder / "begun").exists, "the fit did not begin", 120)
    time.sleep(2)  # it must be in the middle of the fit
    # 30 seconds to stop, and a moment to end what does not.
    assert cancel(server, id) <= 35
    wait_for_nothing(server)


def test_jobs_that_wait_and_start_are_canceled(server: RunningServer, tmp_path: object) -> None:
    first, second = (submit(server, "torch", tmp_path) for _ in range(2))
    for id in (second, first):  # one waits for the only kernel of its lane, one starts it
        assert server.http.get(f"jobs/{id}").json()["state"] == "queued"
        cancel(server, id)
    wait_for_nothing(server)
