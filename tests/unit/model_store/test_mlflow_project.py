"""Notebooks of MLflow's model folders: parameters by signature, files, packages and marks."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from easymlnb.cli.app import app
from easymlnb.contract.errors import ModelUnsupported
from easymlnb.model_store.mlflow_project import Project, make_project
from easymlnb.services.definition import define

SKOPS = {
    "python_function": {"loader_module": "mlflow.sklearn", "python_version": "3.1.0"},
    "sklearn": {"serialization_format": "skops", "pickled_model": "model.skops"},
}
PICKLE = {
    "python_function": {"loader_module": "mlflow.sklearn"},
    "sklearn": {"serialization_format": "cloudpickle", "pickled_model": "model.pkl"},
}
COLUMNS = [
    {"type": "double", "name": "load", "required": True},
    {"type": "integer", "name": "hour", "required": True},
    {"type": "string", "name": "note", "required": False},
]


def tensor(dtype: str, *shape: int, **more: Any) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}, **more}


def model_folder(
    path: Path,
    inputs: list[dict[str, Any]] | None,
    params: Any = None,
    flavors: Any = None,
    example: Any = None,
) -> Path:
    path.mkdir(exist_ok=True)
    described: dict[str, Any] = {"flavors": flavors or SKOPS, "mlflow_version": "3.17.2"}
    if inputs is not None:
        described["signature"] = {"inputs": json.dumps(inputs), "params": json.dumps(params)}
    (path / "MLmodel").write_text(yaml.safe_dump(described))
    (path / "model.skops").write_bytes(b"data")
    (path / "requirements.txt").write_text("mlflow==3.17.2\nscikit-learn==1.9.0\n")
    if example is not None:
        (path / "input_example.json").write_text(json.dumps(example))
    return path


class Predicts:
    """In place of MLflow: remembers what it was given."""

    def predict(self, data: Any, params: Any = None) -> Any:
        self.given = data, params
        return [1.0]


def cells(made: Project) -> list[str]:
    return ["".join(one["source"]) for one in json.loads(made.notebook.read_text())["cells"]]


def function_of(made: Project) -> tuple[Any, Predicts]:
    """Run the notebook with a stand-in for the model; return the service."""
    _, imports, code = cells(made)
    ast.parse(imports)
    names: dict[str, Any] = {}
    lines = [line for line in imports.splitlines() if "mlflow" not in line]
    exec("\n".join([*lines, "import easymlnb as ml"]), names)
    names["_model"] = model = Predicts()
    options = {}
    names["ml"] = type(
        "Ml",
        (),
        {
            **{one: getattr(names["ml"], one) for one in ("Table", "Array")},
            "service": staticmethod(lambda **found: options.update(found) or (lambda f: f)),
        },
    )
    exec(code, names)
    return define(names[made.name], **options), model


def test_columns_are_a_table_and_params_are_parameters(tmp_path: Path) -> None:
    params = [
        {"name": "alpha", "type": "double", "default": 1, "shape": None},
        {"name": "max-depth", "type": "long", "default": None, "shape": None},
        {"name": "data", "type": "string", "default": "x'y", "shape": None},
    ]
    example = {"columns": ["load", "hour"], "data": [[1.5, 2], [2.5, 3], [3.5, 4]]}
    source = model_folder(tmp_path / "My Forest", COLUMNS, params, example=example)
    made = make_project(source, tmp_path / "out")
    assert (made.name, made.runs_code) == ("my_forest", False)
    assert any("saved with Python 3.1.0" in note for note in made.notes)
    service, model = function_of(made)
    spec = service.spec
    assert list(spec.input["properties"]) == ["data", "alpha", "max_depth", "data_2"]
    assert spec.examples[0]["data"] == [{"load": 1.5, "hour": 2}, {"load": 2.5, "hour": 3}]
    assert "mlflow" in spec.tags and "runs-code" not in spec.tags
    values = service.schema.load_json(b'{"data": [{"load": 1, "hour": 2}]}')
    assert service.function(**values) == [1.0]
    frame, given = model.given
    assert dict(frame.dtypes.astype(str)) == {"load": "float64", "hour": "int32"}
    assert given == {"alpha": 1.0, "max-depth": None, "data": "x'y"}
    with pytest.raises(Exception, match="load"):
        service.schema.load_json(b'{"data": [{"hour": 2}]}')
    packages = (tmp_path / "out/requirements.txt").read_text().split()
    assert packages == ["mlflow-skinny==3.17.2", "scikit-learn==1.9.0", "pandas", "numpy"]
    assert (tmp_path / "out/model/model.skops").read_bytes() == b"data"


def test_tensors_are_arrays(tmp_path: Path) -> None:
    one = make_project(
        model_folder(tmp_path / "one", [tensor("float32", -1, 2)], example=[[1, 2], [3, 4]]),
        tmp_path / "a",
    )
    service, model = function_of(one)
    assert service.schema.load_json(b'{"x": [[1, 2]]}')["x"].dtype == "float32"
    service.function(**service.schema.load_json(b'{"x": [[1, 2]]}'))
    assert model.given[0].shape == (1, 2)
    assert len(service.spec.examples) == 1
    named = [tensor("int64", -1, name="class"), tensor("float64", -1, 3, name="a b")]
    service, model = function_of(
        make_project(model_folder(tmp_path / "two", named), tmp_path / "b")
    )
    assert list(service.spec.input["properties"]) == ["x_class", "a_b"]
    service.function(**service.schema.load_json(b'{"x_class": [1], "a_b": [[1, 2, 3]]}'))
    assert sorted(model.given[0]) == ["a b", "class"]


def test_a_service_or_parameter_named_model(tmp_path: Path) -> None:
    params = [{"name": "model", "type": "long", "default": 1, "shape": None}]
    made = make_project(model_folder(tmp_path / "model", COLUMNS, params), tmp_path / "out")
    service, model = function_of(made)
    assert made.name == "model" and list(service.spec.input["properties"]) == ["data", "model"]
    values = service.schema.load_json(b'{"data": [{"load": 1, "hour": 2}], "model": 3}')
    assert service.function(**values) == [1.0] and model.given[1] == {"model": 3}


def test_models_without_names_take_lists_and_without_signature_tables(tmp_path: Path) -> None:
    texts = make_project(model_folder(tmp_path / "texts", [{"type": "string"}]), tmp_path / "a")
    service, model = function_of(texts)
    service.function(**service.schema.load_json(b'{"data": ["a", "b"]}'))
    assert model.given[0] == ["a", "b"]
    plain = make_project(model_folder(tmp_path / "plain", None), tmp_path / "b", "any_table")
    assert function_of(plain)[0].schema.load_json(b'{"data": [{"a": 1}]}')["data"].shape == (1, 1)


@pytest.mark.parametrize(
    "flavors",
    [
        PICKLE,
        {"python_function": {"loader_module": "mlflow.pyfunc.model"}},
        {"python_function": {"loader_module": "mlflow.sklearn", "code": "code"}, **{}},
        {**SKOPS, "python_function": {"loader_module": "my.loader"}},
    ],
)
def test_models_that_run_code_are_marked(tmp_path: Path, flavors: Any) -> None:
    made = make_project(model_folder(tmp_path / "risky", COLUMNS, flavors=flavors), tmp_path / "o")
    assert made.runs_code and "runs-code" in function_of(made)[0].spec.tags
    assert "runs code" in cells(made)[0] and any("runs code" in note for note in made.notes)


def test_names_in_a_folder_never_become_code(tmp_path: Path) -> None:
    evil = "'])\nimport os\nos.abort() #"
    columns = [{"type": "double", "name": evil}, {"type": "integer", "name": '"""'}]
    params = [{"name": evil, "type": "string", "default": evil}]
    example = {"columns": [evil, '"""'], "data": [[1, 2]]}
    made = make_project(
        model_folder(tmp_path / "evil", columns, params, example=example), tmp_path / "o"
    )
    service, _ = function_of(made)
    assert service.spec.examples[0]["data"] == [{evil: 1, '"""': 2}]


@pytest.mark.parametrize(
    "example",
    [
        {"columns": ["load", "hour"], "data": [1.5, 2]},
        {"columns": ["load", "hour"], "data": [[1.5]]},
        {"columns": ["load", "hour"], "data": ["ab"]},
        {"columns": ["load", "hour"], "data": [None]},
        {"columns": "load", "data": [[1.5, 2]]},
        {"columns": ["load"], "data": {"load": 1}},
        {"columns": ["load"], "data": []},
        {"columns": ["load"], "data": [[float("nan")]]},
        [[1.5, 2]],
        "load",
        None,
    ],
)
def test_odd_examples_are_left_out(tmp_path: Path, example: Any) -> None:
    source = model_folder(tmp_path / "odd", COLUMNS)
    (source / "input_example.json").write_text(json.dumps(example))
    made = make_project(source, tmp_path / "out")
    assert not function_of(made)[0].spec.examples
    (source / "input_example.json").write_text("[" * 100_000)
    assert make_project(source, tmp_path / "deep", "deep").name == "deep"


def test_what_is_no_model_is_refused_with_a_sentence(tmp_path: Path) -> None:
    def refused(source: Path, text: str, target: str = "new") -> None:
        with pytest.raises(ModelUnsupported, match=text):
            make_project(source, tmp_path / target)
        assert not (tmp_path / "new").exists()

    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no file 'MLmodel'")
    refused(tmp_path / "absent", "no file 'MLmodel'")
    good = model_folder(tmp_path / "good", COLUMNS)
    refused(good, "not an empty folder", target="good")
    refused(model_folder(tmp_path / "spark", None, flavors={"spark": {}}), "it has: spark")
    refused(
        model_folder(tmp_path / "mixed", [*COLUMNS, tensor("int64", -1)]), "columns and tensors"
    )
    refused(model_folder(tmp_path / "odd", [tensor("int64", *["x"])]), "signature")  # type: ignore[list-item]
    refused(model_folder(tmp_path / "3d", None), "not a name of a service")
    refused(model_folder(tmp_path / "class", None), "no keyword of Python")
    flavors = {"python_function": "mlflow.sklearn"}
    refused(model_folder(tmp_path / "text", None, flavors=flavors), "no flavor 'python_function'")
    linked = model_folder(tmp_path / "linked", None)
    (linked / "secret").symlink_to("/etc/hostname")
    refused(linked, "symbolic link")
    refused(good, "own folder", target="good/out")
    (good / "requirements.txt").write_bytes(b"\xff")
    refused(good, "not text in UTF-8")
    (good / "MLmodel").write_bytes(b"\x00\xff")
    refused(good, "not valid YAML")
    (good / "MLmodel").write_text("- a list")
    refused(good, "no flavor")
    (good / "MLmodel").write_text("{")
    refused(good, "not valid YAML")


@pytest.mark.parametrize("example", [{"columns": ["load"], "data": [1]}, {"data": {}}, 7, "x", []])
def test_an_example_that_does_not_fit_is_left_out(tmp_path: Path, example: Any) -> None:
    source = model_folder(tmp_path / "forest", COLUMNS, example=example)
    assert function_of(make_project(source, tmp_path / "out"))[0].spec.examples == ()


def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    source = model_folder(tmp_path / "forest", COLUMNS, flavors=PICKLE)
    target = tmp_path / "out"
    done = CliRunner().invoke(app, ["from-mlflow", str(source), str(target)])
    assert done.exit_code == 0, done.output
    assert f"easymlnb publish {target / 'forest.ipynb'} --include model" in done.output
    assert "runs code" in done.output
    again = CliRunner().invoke(app, ["from-mlflow", str(source), str(target)])
    assert again.exit_code != 0
    other = tmp_path / "other"
    told = CliRunner().invoke(app, ["from-mlflow", str(source), str(other), "--json"])
    assert json.loads(told.stdout)["runs_code"] is True
