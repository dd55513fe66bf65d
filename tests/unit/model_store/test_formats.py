"""Models in files: what is saved comes back, and what could run code does not."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from easymlnb.contract.errors import ModelNotTrusted, ModelUnsupported
from easymlnb.model_store.formats import (
    LoadOptions,
    SavedModel,
    SaveOptions,
    format_of,
    load_model,
    save_model,
)
from easymlnb.model_store.saving import Description, describe
from easymlnb.model_store.signatures import example_json, signature_of
from easymlnb.model_store.sklearn_format import OtherVersionWarning

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 3)), RNG.integers(0, 2, 60)
MINE = LoadOptions(own=True)


def square(values: Any) -> Any:
    return values**2


def again(saved: SavedModel, folder: Path, options: LoadOptions | None = None) -> Any:
    return load_model(folder, saved.format, saved.flavor, options or LoadOptions())


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5),
        HistGradientBoostingRegressor(max_iter=5),
        make_pipeline(StandardScaler(), KNeighborsClassifier(3)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_of_scikit_learn(model: Any, tmp_path: Path) -> None:
    saved = save_model(model.fit(X, Y), tmp_path)
    assert (saved.format, saved.flavor["main"]) == ("skops", "model.skops")
    assert saved.flavor["packages"]["scikit-learn"]
    assert np.array_equal(again(saved, tmp_path).predict(X), model.predict(X))


def test_types_of_others_are_named_to_the_author(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(square), LinearRegression()).fit(X, Y)
    with pytest.raises(ModelUnsupported, match=r"test_formats\.square") as raised:
        save_model(model, tmp_path)
    named = f"{__name__}.square"
    assert f"trusted=['{named}']" in raised.value.message
    saved = save_model(model, tmp_path, options=SaveOptions(trusted=(named,)))
    assert saved.flavor["types"] == [named]
    assert np.allclose(again(saved, tmp_path, MINE).predict(X), model.predict(X))
    # Somebody else must know the type too.
    with pytest.raises(ModelNotTrusted, match=r"test_formats\.square"):
        again(saved, tmp_path)
    assert again(saved, tmp_path, LoadOptions(trusted=(named,)))


def test_another_version_of_scikit_learn_is_a_warning(tmp_path: Path) -> None:
    saved = save_model(LinearRegression().fit(X, Y), tmp_path)
    saved.flavor["packages"]["scikit-learn"] = "1.0.2"
    with pytest.warns(OtherVersionWarning, match=r"scikit-learn 1\.0\.2"):
        again(saved, tmp_path)


def test_weights_of_torch_fit_the_module_that_the_caller_builds(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    saved = save_model(module, tmp_path, options=SaveOptions(config={"hidden": 4}))
    assert saved.format == "safetensors"
    assert {path.name for path in saved.files.values()} == {"model.safetensors", "config.json"}

    def build(hidden: int) -> Any:
        return torch.nn.Sequential(
            torch.nn.Linear(3, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 1)
        )

    loaded = again(saved, tmp_path, LoadOptions(build=build))
    values = torch.ones(2, 3)
    assert torch.equal(loaded(values), module(values)) and not loaded.training
    with pytest.raises(ModelUnsupported, match="build="):
        again(saved, tmp_path)
    with pytest.raises(ModelUnsupported, match="do not fit"):
        again(saved, tmp_path, LoadOptions(build=lambda hidden: torch.nn.Linear(7, 7)))
    state = save_model(module.state_dict(), tmp_path / "state")
    assert torch.equal(again(state, tmp_path / "state")["0.weight"], module[0].weight)


def test_what_can_run_code_opens_for_its_own_author_only(tmp_path: Path) -> None:
    for format in ("joblib", "pickle"):
        folder = tmp_path / format
        saved = save_model({"a": 1}, folder, format=format)
        with pytest.raises(ModelNotTrusted, match="easymlnb models trust"):
            again(saved, folder)
        assert again(saved, folder, MINE) == {"a": 1}


def test_a_forged_file_is_not_opened(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (canary,)

    (tmp_path / "model.skops").write_bytes(pickle.dumps(Bomb()))
    for format in ("skops", "pickle", "joblib", "safetensors"):
        with pytest.raises((ModelNotTrusted, ModelUnsupported)):
            load_model(tmp_path, format, {"main": "model.skops"}, LoadOptions())
    assert not canary.exists()


def test_a_model_of_onnx_answers_as_the_one_it_was_made_of(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    skl2onnx = pytest.importorskip("skl2onnx")
    linear = LinearRegression().fit(X, X[:, 0] * 2)
    made = skl2onnx.to_onnx(linear, X[:1].astype("float32"))
    saved = save_model(made, tmp_path / "array")
    assert saved.format == "onnx"
    loaded = again(saved, tmp_path / "array")
    for rows in (X, X.astype("float32"), X.tolist(), pd.DataFrame(X)):
        assert np.allclose(loaded.predict(rows).ravel(), X[:, 0] * 2, atol=1e-5)
    assert np.allclose(loaded.predict({"X": X[:2]}).ravel(), X[:2, 0] * 2, atol=1e-5)

    table = pd.DataFrame(X, columns=["a", "b", "c"])
    trees = make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)).fit(table, Y)
    save_model(skl2onnx.to_onnx(trees, table[:1]), tmp_path / "table")
    saved = save_model(tmp_path / "table/model.onnx", tmp_path / "again")
    columns = again(saved, tmp_path / "again")
    assert np.mean(columns.predict(table) == trees.predict(table)) > 0.95
    (tmp_path / "again/model.onnx").write_bytes(b"cut off")
    with pytest.raises(ModelUnsupported, match="cannot load"):
        again(saved, tmp_path / "again")


def test_files_and_onnx_are_stored_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "in/more").mkdir(parents=True)
    (tmp_path / "in/a.txt").write_text("a")
    (tmp_path / "in/more/b.txt").write_text("b")
    saved = save_model(tmp_path / "in", tmp_path / "out")
    assert (saved.format, sorted(saved.files)) == ("files", ["a.txt", "more/b.txt"])
    onnx = tmp_path / "net.onnx"
    onnx.write_bytes(b"onnx")
    assert format_of(onnx) == "onnx"
    assert save_model(onnx, tmp_path / "onnx").files["model.onnx"].read_bytes() == b"onnx"
    with pytest.raises(ModelUnsupported, match="no file"):
        save_model(tmp_path / "absent.onnx", tmp_path / "onnx")


@pytest.mark.parametrize(
    ("model", "format", "text"),
    [
        (object(), "", "no safe format"),
        (object(), "tar", "Unknown format 'tar'"),
        (lambda: 1, "pickle", "cannot be pickled"),
        ({"a": np.ones(1), "b": 3}, "", "no safe format"),
    ],
)
def test_what_cannot_be_saved_says_why(model: Any, format: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnsupported, match=text):
        save_model(model, tmp_path, format=format)


def test_weights_next_to_other_values_have_no_safe_format(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ModelUnsupported, match="no safe format"):
        save_model({"a": torch.ones(1), "b": 3}, tmp_path)


def test_a_description_has_plain_values(tmp_path: Path) -> None:
    model = LinearRegression().fit(X, Y)
    saved = save_model(model, tmp_path)
    about = Description(
        metrics={"mae": np.float64(1.5)},
        params={"n": np.int64(3), "path": tmp_path, "odd": float("nan"), "list": (1, 2)},
        example=pd.DataFrame({"a": [1.0], "b": [2.0], "c": [3.0]}),
        curves=[("loss", 1, np.float32(0.5))],
    )
    with pytest.warns(UserWarning):  # the model was fitted without names of columns
        found = describe(saved, about, model)
    assert found["metrics"] == {"mae": 1.5} and found["curves"] == [["loss", 1, 0.5]]
    assert found["params"] == {"n": 3, "path": str(tmp_path), "odd": "nan", "list": [1, 2]}
    assert [one["name"] for one in found["signature"]["inputs"]] == ["a", "b", "c"]
    with pytest.raises(ModelUnsupported, match="finite"):
        describe(saved, Description(metrics={"mae": float("nan")}))
    with pytest.raises(ModelUnsupported, match="must be a number"):
        describe(saved, Description(metrics={"mae": "good"}))  # type: ignore[dict-item]


def test_signatures_use_the_words_of_mlflow() -> None:
    frame = pd.DataFrame(
        {"n": [1], "x": [1.0], "b": [True], "s": ["a"], "t": [pd.Timestamp("2026-01-01")]}
    )
    found = signature_of(frame, np.ones(1))
    assert found is not None
    kinds = [one["type"] for one in found["inputs"]]
    assert kinds == ["long", "double", "boolean", "string", "datetime"]
    assert found["outputs"][0]["tensor-spec"] == {"dtype": "float64", "shape": [-1]}
    assert signature_of("text") is None
    assert b'"columns"' in (example_json(frame) or b"")
    assert (
        example_json(np.ones((9, 2)))
        == b'{"inputs": ' + b"[" + b", ".join([b"[1.0, 1.0]"] * 5) + b"]}"
    )
