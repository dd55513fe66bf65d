"""MLflow's own client and loaders, in an environment of their own, against a real server."""

import importlib
import json
import subprocess
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rocrate.rocrate import ROCrate
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from typer.testing import CliRunner

import easymlnb as ml
from easymlnb.cli.app import app
from easymlnb.contract.errors import ModelNotTrusted
from easymlnb.model_store import source
from support.environments import Installed, install
from support.server import RunningServer, running_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SCRIPT = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import mlflow, pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LinearRegression

exported, folder = sys.argv[1:]
rows = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
client, found = MlflowClient(), {}
found["names"] = [one.name for one in client.search_registered_models()]
model = client.get_registered_model("forest")
found["aliases"] = dict(model.aliases)
found["versions"] = sorted(
    int(one.version) for one in client.search_model_versions("name='forest'")
)
version = client.get_model_version_by_alias("forest", "production")
found["version"] = [version.version, version.user_id, version.tags]
for name, uri in (
    ("alias", "models:/forest@production"), ("number", "models:/forest/1"),
    ("latest", "models:/forest/latest"), ("exported", exported),
):
    found[name] = [float(one) for one in mlflow.pyfunc.load_model(uri).predict(rows)]
found["sklearn"] = type(mlflow.sklearn.load_model("models:/forest@production")).__name__
found["signature"] = mlflow.models.get_model_info(exported).signature.inputs.input_names()
for name, call in (
    ("absent", lambda: client.get_registered_model("absent")),
    ("write", lambda: client.set_registered_model_alias("forest", "x", "1")),
    ("stage", lambda: client.transition_model_version_stage("forest", "1", "Production")),
):
    try:
        call()
    except MlflowException as error:
        found[name] = [error.error_code, error.message]
fitted = LinearRegression().fit(rows, rows["a"])
for form in ("skops", "pickle"):
    mlflow.sklearn.save_model(
        fitted, f"{folder}/{form}", serialization_format=form, input_example=rows
    )
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("mlflow") / "environment"
    return install(folder, "mlflow-skinny>=3", "pandas", "scikit-learn", "skops")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        with running_server(folder) as made:
            patch.setenv("EASYMLNB_URL", made.url)
            patch.setenv("EASYMLNB_TOKEN", made.token)
            source.close()
            yield made
            source.close()


ROWS = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})


def invoke(*arguments: str) -> str:
    ran = CliRunner().invoke(app, ["models", *arguments])
    assert ran.exit_code == 0, ran.output
    return ran.output


def run_mlflow(
    environment: Installed, server: RunningServer, exported: Path, folder: Path
) -> dict[str, Any]:
    variables = {
        "MLFLOW_TRACKING_URI": f"{server.url}easymlnb/mlflow",
        "MLFLOW_TRACKING_TOKEN": server.token,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HOME": str(folder),
        "PATH": "/usr/bin:/bin",
    }
    ran = subprocess.run(
        [environment.python, "-c", SCRIPT, str(exported), str(folder)],
        env=variables, cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, f"{ran.stderr[-3000:]}\n{server.log[-2000:]}"
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.mark.nightly
def test_mlflow_reads_our_models_and_we_read_its_folders(
    environment: Installed, server: RunningServer, tmp_path: Path
) -> None:
    data = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    forests = [RandomForestRegressor(n, random_state=0).fit(data, data["a"]) for n in (3, 5)]
    for forest in forests:
        ml.registry.save(forest, "forest", example=data, tags={"kind": "test"})
    invoke("alias", "forest", "production", "1")
    zipped = tmp_path / "forest.zip"
    invoke("export", "forest@production", str(zipped))
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(tmp_path / "exported")

    found = run_mlflow(environment, server, tmp_path / "exported", tmp_path)

    assert found["names"] == ["forest"]
    assert (found["aliases"], found["versions"]) == ({"production": "1"}, [1, 2])
    assert found["version"][0] == "1" and found["version"][2] == {"kind": "test"}
    first, second = (list(forest.predict(ROWS)) for forest in forests)
    assert np.allclose(found["alias"], first) and np.allclose(found["number"], first)
    assert np.allclose(found["exported"], first) and np.allclose(found["latest"], second)
    assert (found["sklearn"], found["signature"]) == ("RandomForestRegressor", ["a", "b"])
    assert found["absent"][0] == "RESOURCE_DOES_NOT_EXIST"
    assert "only reads" in found["write"][1] and "aliases, not stages" in found["stage"][1]

    imported = json.loads(invoke("import", str(tmp_path / "skops"), "linear", "--json"))
    assert (imported["format"], imported["origin"], imported["runs_code"]) == (
        "skops", "imported", False,
    )  # fmt: skip
    assert [one["name"] for one in imported["signature"]["inputs"]] == ["a", "b"]
    assert np.allclose(ml.model("linear").predict(ROWS), ROWS["a"])
    assert "No service opens it" not in invoke("import", str(tmp_path / "pickle"), "linear")
    with pytest.raises(ModelNotTrusted):
        ml.model("linear", version=2)
    invoke("trust", "linear@2", "--yes")
    assert np.allclose(ml.model("linear", version=2).predict(ROWS), ROWS["a"])
    # A folder of MLflow leaves as it came.
    invoke("export", "linear@1", str(zipped))
    with zipfile.ZipFile(zipped) as archive:
        assert archive.read("MLmodel") == (tmp_path / "skops/MLmodel").read_bytes()


def test_a_version_is_a_crate(server: RunningServer, tmp_path: Path) -> None:
    forest = RandomForestRegressor(3).fit(ROWS, ROWS["a"])
    saved = ml.registry.save(
        forest, "wheat", metrics={"mae": 0.5}, lineage={"data": [{"name": "load.csv"}]}
    )
    zipped = tmp_path / "crate.zip"
    invoke("export", "wheat@1", str(zipped), "--as", "crate")
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(tmp_path / "crate")
    crate = ROCrate(tmp_path / "crate")
    assert "wheat, version 1" in crate.root_dataset["name"]
    entity = crate.dereference("model.skops")
    assert entity is not None and entity["sha256"] == saved["files"][0]["sha256"]
    (training,) = crate.get_by_type("CreateAction")
    assert {one.id for one in training["result"]} >= {"model.skops", "#metric-mae"}
    assert training["object"][0]["name"] == "load.csv"


def test_the_command_line_shows_models(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("files")
    for note in ("first", "second"):
        invoke("import", str(tmp_path / "notes.txt"), "notes", "--note", note)
    assert "notes" in invoke("list") and "second" in invoke("versions", "notes")
    assert "notes.txt" in invoke("show", "notes@2")
    assert json.loads(invoke("compare", "notes", "1", "2", "--json"))["versions"][1]["version"] == 2
    invoke("alias", "notes", "best", "1")
    failed = CliRunner().invoke(app, ["models", "delete", "notes@1", "--yes"])
    assert failed.exit_code and "best" in str(failed.output) + str(failed.exception)
    invoke("alias", "notes", "best", "--remove")
    invoke("delete", "notes@1", "--yes")
    assert [one["version"] for one in json.loads(invoke("versions", "notes", "--json"))] == [2]
    invoke("delete", "notes", "--yes")


@pytest.mark.nightly
@pytest.mark.parametrize("form", ["skops", "cloudpickle"])
def test_a_model_folder_becomes_a_service_that_mlflows_client_reads(
    server: RunningServer, tmp_path: Path, form: str
) -> None:
    mlflow = pytest.importorskip("mlflow")
    importlib.import_module("mlflow.sklearn")
    protocol = importlib.import_module("mlflow.utils.proto_json_utils")
    deployments = importlib.import_module("mlflow.deployments")
    fitted = LinearRegression().fit(ROWS, ROWS["a"] * 2 + ROWS["b"])
    name = f"line_{form}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            fitted, tmp_path / name, serialization_format=form, input_example=ROWS
        )
    made = CliRunner().invoke(
        app, ["from-mlflow", str(tmp_path / name), str(tmp_path / "out"), "--json"]
    )
    about = json.loads(made.stdout)
    assert about["runs_code"] is (form == "cloudpickle")
    published = CliRunner().invoke(app, ["publish", about["notebook"], "--include", "model"])
    assert published.exit_code == 0, published.output
    spec = server.http.get(f"services/{name}").json()
    assert spec["examples"] and ("runs-code" in spec["tags"]) is about["runs_code"]
    by_name = json.dumps({"inputs": ROWS.to_dict("list")})
    for body in (*map(protocol.dump_input_data, (ROWS, ROWS.to_numpy())), by_name):
        answer = server.http.post(
            f"services/{name}/invocations",
            content=body,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 200, answer.text
        found = deployments.PredictionsResponse.from_json(answer.text).get_predictions()
        assert np.allclose(np.asarray(found, float).ravel(), fitted.predict(ROWS))
    refused = server.http.post(f"services/{name}/invocations", json={"instances": [{"a": "x"}]})
    assert refused.status_code == 400 and "error_code" in refused.json()
