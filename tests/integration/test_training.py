"""A published training on a real server: each job that succeeds adds a version, and no other."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import easymlnb as ml
from easymlnb.contract.errors import CallerError
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NOTEBOOK = """
import os, signal
import pandas as pd
import easymlnb as ml
from sklearn.linear_model import Ridge

@ml.train(model="line", metric="mae", examples=[{"data": pd.DataFrame({"x": [1.0], "y": [2.0]})}])
def fit(data: pd.DataFrame, alpha: float = 0.1, die: bool = False) -> ml.Model:
    job = ml.job()
    if die and job.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if data["y"].nunique() == 1:
        raise ml.CallerError("The target 'y' is the same in every row.")
    x, y = data[["x"]], data["y"]
    half = len(x) // 2
    for step in range(3):
        ml.metric("loss", 1 / (step + 1), step=step)
    model = Ridge(alpha).fit(x[:half], y[:half])
    return ml.Model(model, test=(x[half:], y[half:]), example=x.head(2), tags={"kind": "line"})
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("training")
    with running_server(folder, make_notebook(NOTEBOOK)) as made:
        yield made


@pytest.fixture
def client(server: RunningServer) -> Iterator[Any]:
    with ml.connect(server.url, server.token) as made:
        yield made


def table(rows: int = 40) -> pd.DataFrame:
    x = np.arange(float(rows))
    return pd.DataFrame({"x": x, "y": 3 * x + 1})


def test_a_job_adds_a_version_with_all_that_it_knows(client: Any) -> None:
    job = client.fit.submit(table(), alpha=0.5)
    result = job.result(timeout=120)
    assert result["model"] == "line" and result["format"] == "skops"
    assert result["params"] == {"alpha": 0.5, "die": False} and result["production"] is None
    info = job.info()
    assert info["kind"] == "train" and info["lane"] == "train"
    assert info["model"] == {
        "name": "line", "version": 1, "file": "model/model.skops", "may_use": True, "used": False,
    }  # fmt: skip
    version = client.models.version("line", 1)
    assert version["job"] == job.id and version["tags"] == {"kind": "line"}
    assert version["metrics"]["mae"] == pytest.approx(result["metrics"]["mae"])
    assert version["lineage"]["service"] == "fit"
    (data,) = version["lineage"]["data"]
    assert (data["name"], data["rows"], data["columns"]) == ("data", 40, 2)
    paths = {file["path"] for file in version["files"]}
    assert {"model.skops", "input_example.json", "plots/Residuals.json"} <= paths
    curve = [(point["name"], point["value"]) for point in version["curves"]]
    assert curve == [("loss", 1), ("loss", 1 / 2), ("loss", 1 / 3)]


def test_only_success_adds_a_version(server: RunningServer, client: Any) -> None:
    before = len(client.models.versions("line"))
    flat = table().assign(y=1.0)
    with pytest.raises(CallerError, match="same in every row"):
        client.fit.submit(flat).result(timeout=120)
    assert len(client.models.versions("line")) == before

    # The kernel is killed in its first attempt; the second one makes the only version.
    job = client.fit.submit(table(), die=True)
    job.result(timeout=120)
    assert job.info()["attempt"] == 2
    assert len(client.models.versions("line")) == before + 1


def test_the_next_one_is_compared_with_the_one_in_production(
    server: RunningServer, client: Any
) -> None:
    first = client.fit.submit(table(), alpha=50.0)
    first.result(timeout=120)
    number = first.info()["model"]["version"]
    used = server.http.post(f"jobs/{first.id}/use")
    assert used.status_code == 200 and used.json()["used"], used.text
    assert client.models.get("line")["aliases"] == {"production": number}

    # A call of a training is a job, too; it is answered with the result if that is quick.
    answer = server.call("fit", data=table().to_dict("list"), alpha=0.001)
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert result["production"]["version"] == number
    assert result["production"]["metrics"]["mae"] > result["metrics"]["mae"]
