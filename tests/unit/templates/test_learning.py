"""Train models of each template, and predict with them."""

import base64
import importlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from easymlnb.contract.errors import CallerError
from easymlnb.model_store.formats import LoadOptions, SaveOptions, load_model, save_model
from easymlnb.templates import forecast, images, pictures, tabular
from easymlnb.templates.cache import Loaded, ModelCache
from easymlnb.templates.config import parse
from easymlnb.templates.exposed import parameter_names, service_of
from easymlnb.training import image_folders


def _silent(fraction: float, text: str) -> None:
    assert 0 <= fraction <= 1


def _houses(rows: int = 120) -> bytes:
    random = np.random.default_rng(0)
    lines = ["area,rooms,district,Built on,price"]
    for _ in range(rows):
        area, rooms = random.uniform(40, 200), random.integers(1, 6)
        district = ("north", "south", "west")[random.integers(3)]
        price = 3000 * area + 5000 * rooms + 40_000 * (district == "south")
        day = f"{random.integers(1950, 2020)}-0{random.integers(1, 9)}-15"
        lines.append(f"{area:.1f},{rooms},{district},{day},{price + random.normal(0, 2000):.0f}")
    return "\n".join(lines).encode()


@pytest.fixture(scope="module")
def houses() -> tabular.Learned:
    config = parse({"target": "price", "algorithm": "linear", "time": "-", "folds": 3})
    return tabular.train(_houses(), config, _silent)


@pytest.fixture(scope="module")
def predictor(houses: tabular.Learned) -> tabular.TabularPredictor:
    return tabular.TabularPredictor(houses.model, json.loads(json.dumps(houses.signature)))


def test_a_table_is_learned_with_a_baseline_and_plots(houses: tabular.Learned) -> None:
    assert houses.metrics["r2"] > 0.95
    rows = houses.report["comparison"]["rows"]
    assert {row["name"] for row in rows} == {"baseline", "linear"}
    assert {plot["kind"] for plot in houses.report["plots"]} == {"scatter", "histogram", "bars"}
    json.dumps(houses.report, allow_nan=False)


def test_rows_are_predicted(predictor: tabular.TabularPredictor) -> None:
    row = {"area": 100, "rooms": 3, "district": "south", "Built on": "1980-05-01"}
    result = predictor.predict([row, {**row, "area": "120"}])
    first, second = result["predictions"]
    assert first == pytest.approx(355_000, rel=0.05)
    assert second > first
    assert "warnings" not in result


def test_a_row_without_a_column_is_an_error_with_its_name(
    predictor: tabular.TabularPredictor,
) -> None:
    with pytest.raises(CallerError, match=r"Row 1 lacks the column 'area'.*district"):
        predictor.predict([{"rooms": 3, "district": "south", "Built on": "1980-05-01"}])
    with pytest.raises(CallerError, match=r"'big' in the column 'area' is not a number"):
        predictor.predict(
            [{"area": "big", "rooms": 3, "district": "south", "Built on": "1980-05-01"}]
        )


def test_new_categories_other_units_and_gaps_are_warnings(
    predictor: tabular.TabularPredictor,
) -> None:
    row = {"area": 1_000_000, "rooms": None, "district": "moon", "Built on": "1980-05-01"}
    found = {one["column"]: one["message"] for one in predictor.predict([row])["warnings"]}
    assert "another unit" in found["area"]
    assert "new value 'moon'" in found["district"]
    assert "missing" in found["rooms"]


def test_a_model_is_a_service_with_its_columns_as_parameters(
    predictor: tabular.TabularPredictor,
) -> None:
    service = service_of("houses", predictor)
    properties = service.spec.input["properties"]
    assert list(properties) == ["area", "rooms", "district", "Built_on"]
    assert properties["Built_on"]["title"] == "Built on"
    assert properties["district"]["enum"] == ["north", "south", "west"]
    assert service.spec.input["required"] == ["area", "rooms", "district", "Built_on"]
    values = service.schema.load(dict(service.spec.examples[0]))
    assert service.function(**values)["prediction"] > 0


def test_names_of_columns_become_different_parameters() -> None:
    columns = [{"name": name} for name in ("a b", "a-b", "1", "class", "ü", "?")]
    names = parameter_names({"inputs": columns})
    assert list(names.values()) == ["a b", "a-b", "1", "class", "ü", "?"]
    assert all(name.isidentifier() for name in names)


def test_exact_relations_are_found() -> None:
    data = json.dumps([{"x1": n, "y": n} for n in range(12)]).encode()
    config = parse({"target": "y", "question": "regression", "time": "-", "folds": 2})
    learned = tabular.train(data, config, _silent)
    assert learned.report["algorithm"] == "linear"
    predictor = tabular.TabularPredictor(learned.model, learned.signature)
    found = predictor.predict([{"x1": 36}, {"x1": 54}])["predictions"]
    # Up to scikit-learn 1.7, RidgeCV is a little less exact.
    assert found == pytest.approx([36.0, 54.0], rel=1e-5)


class _Job:
    """A job whose checkpoint stays after a run of its function."""

    id = "job"
    leaving = False

    def __init__(self) -> None:
        self.state: dict[str, object] | None = None
        self.files: dict[str, str] = {}

    def checkpoint(self) -> "_Job":
        return self

    def load(self) -> dict[str, object] | None:
        return self.state

    def save(self, step: int, **state: object) -> None:
        self.state = json.loads(json.dumps(state))

    def save_file(self, label: str, data: str, media_type: str) -> None:
        self.files[label] = data


def test_a_training_that_ends_early_continues_with_the_next_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = _Job()
    monkeypatch.setattr("easymlnb.training.progress.job", lambda: job)
    config = parse({"target": "price", "algorithm": "linear", "time": "-", "folds": 2})
    told: list[str] = []

    def stop(fraction: float, text: str) -> None:
        told.append(text)
        if "fold 2" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tabular.train(_houses(), config, stop)
    assert told[1:3] == ["baseline, fold 1 of 2", "linear, fold 1 of 2"]
    kept = json.loads(job.files["comparison.json"])
    assert not kept["complete"] and {row["folds"] for row in kept["rows"]} == {1}

    told.clear()
    learned = tabular.train(_houses(), config, lambda fraction, text: told.append(text))
    assert told[1:3] == ["baseline, fold 2 of 2", "linear, fold 2 of 2"]
    assert learned.report["algorithm"] == "linear"


def test_a_classification_has_probabilities() -> None:
    rows = "".join(f"{n},{'yes' if n >= 30 else 'no'}\n" for n in range(60))
    config = parse({"target": "bought", "algorithm": "boosting", "folds": 2})
    learned = tabular.train(f"age,bought\n{rows}".encode(), config, _silent)
    predictor = tabular.TabularPredictor(learned.model, learned.signature)
    result = predictor.predict([{"age": 5}, {"age": 55}])
    assert result["predictions"] == ["no", "yes"]
    assert result["probabilities"][1]["yes"] > 0.9
    assert learned.report["plots"][0]["kind"] == "confusion"


@pytest.mark.parametrize(
    ("data", "config", "words"),
    [
        (b"", {"target": "b"}, "empty"),
        (b"a,b\n", {"target": "b"}, "0 rows|no rows"),
        (b"a,b\n1,2\n", {"target": "b"}, "1 row"),
        (b"a,b\n" + b"1,2\n" * 30, {"target": "b"}, "cannot be predicted|only one value"),
        (b"a,b\n" + b"1,\n" * 30, {"target": "b"}, "cannot be predicted|0 values"),
        (b"a,b\n" + b"1,x\n" * 30, {"target": "b", "question": "classification"}, "one class"),
        (
            b"a,b\n" + b"".join(b"%d,id%d\n" % (n, n) for n in range(400)),
            {"target": "b", "question": "classification"},
            "400 classes",
        ),
        (
            b"a,b\n" + b"".join(b"%d,%s\n" % (n, b"x" if n % 3 else b"1") for n in range(60)),
            {"target": "b", "question": "regression"},
            "values|numbers",
        ),
        (b"a,b\n" + b"1,2\n" * 30, {}, "Choose the column"),
        (b"a,b\n" + b"1,2\n" * 30, {"target": "c"}, "no column 'c'"),
    ],
)
def test_data_from_which_nothing_can_be_learned(data: bytes, config: dict, words: str) -> None:
    with pytest.raises(CallerError, match=words):
        tabular.train(data, parse(config), _silent)


def _hours(count: int) -> bytes:
    rows = []
    for n in range(count):
        day, hour = divmod(n, 24)
        value = 100 + 20 * np.sin(2 * np.pi * hour / 24) + day * 0.1
        stamp = np.datetime64("2024-01-01T00") + np.timedelta64(n, "h")
        rows.append(f"{str(stamp).replace('T', ' ')}:00,{value:.2f}")
    return ("time,load\n" + "\n".join(rows)).encode()


@pytest.fixture(scope="module")
def load() -> forecast.Learned:
    config = parse({"target": "load", "algorithm": "linear", "folds": 3})
    return forecast.train(_hours(24 * 30), config, _silent)


def test_a_series_is_continued(load: forecast.Learned) -> None:
    assert load.signature["horizon"] == 24
    predictor = forecast.ForecastPredictor(load.model, json.loads(json.dumps(load.signature)))
    result = predictor.predict([])
    assert result["times"][0] == "2024-01-31T00:00:00"
    assert len(result["predictions"]) == 24
    expected = [100 + 20 * np.sin(2 * np.pi * hour / 24) + 3 for hour in range(24)]
    assert np.abs(np.array(result["predictions"]) - expected).max() < 3
    assert load.report["comparison"]["split"].startswith("Split by time")


@pytest.mark.parametrize("algorithm", ["linear", "forest"])
def test_a_forecast_of_one_year_continues_at_new_year(algorithm: str) -> None:
    chance, lines = np.random.default_rng(0), ["time,load"]
    for number in range(365):
        day = np.datetime64("2023-01-01") + np.timedelta64(number, "D")
        lines.append(f"{day},{100 + 20 * np.cos(number / 365 * 2 * np.pi) + chance.normal():.2f}")
    config = parse({"target": "load", "algorithm": algorithm})
    learned = forecast.train("\n".join(lines).encode(), config, _silent)
    predictor = forecast.ForecastPredictor(learned.model, learned.signature)
    assert all(90 < value < 150 for value in predictor.predict([])["predictions"])


def test_newer_values_move_the_forecast(load: forecast.Learned) -> None:
    predictor = forecast.ForecastPredictor(load.model, load.signature)
    rows = [{"time": "2024-01-31 00:00", "load": 103.0}, {"time": "2024-01-31 01:00", "load": 108}]
    assert predictor.predict(rows)["times"][0] == "2024-01-31T02:00:00"
    with pytest.raises(CallerError, match=r"'x' in the column 'load' is not a number\.$"):
        predictor.predict([{"time": "2024-01-31", "load": "x"}])
    with pytest.raises(CallerError, match="lacks the column 'load'"):
        predictor.predict([{"time": "2024-01-31"}])
    with pytest.raises(CallerError, match="in between"):
        predictor.predict([{"time": "2025-01-31", "load": 1}])


def test_hours_that_repeat_are_named_and_their_order_does_not_matter() -> None:
    head, *rows = _hours(24 * 10).decode().splitlines()
    mixed = "\n".join([head, *reversed(rows), *rows[:3]]).encode()
    found = forecast.look(mixed, parse({"target": "load"}))
    messages = [finding["message"] for finding in found["findings"]]
    assert any(one.startswith("3 rows repeat the time of another row") for one in messages)
    expected = forecast.look(_hours(24 * 10), parse({"target": "load"}))["findings"]
    assert found["findings"][0] == expected[0] and len(expected) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a,b\n" + b"".join(b"x%d,%d\n" % (n, n) for n in range(60)), "column of times"),
        (_hours(10), "10 different times"),
        (b"time,load\n" + b"".join(b"2024-01-01 %02d:00,5\n" % n for n in range(24)) * 2, "24"),
    ],
)
def test_tables_that_are_no_series(data: bytes, words: str) -> None:
    target = "b" if data.startswith(b"a,b") else "load"
    with pytest.raises(CallerError, match=words):
        forecast.train(data, parse({"target": target}), _silent)


def _picture(color: tuple[int, int, int], seed: int) -> bytes:
    random = np.random.default_rng(seed)
    pixels = np.clip(np.array(color) + random.normal(0, 20, (40, 50, 3)), 0, 255)
    target = io.BytesIO()
    Image.fromarray(pixels.astype("uint8")).save(target, "PNG")
    return target.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small networks are slower in several threads, on a machine with other work."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


RED, BLUE = (200, 40, 40), (40, 40, 200)


def test_a_mistyped_year_does_not_fill_the_memory() -> None:
    rows = "".join(f"2024-01-01 00:00:{n:02d},{n * n}\n" for n in range(60))
    data = f"t,y\n{rows}2204-01-01 00:01:00,5\n".encode()
    config = parse({"target": "y", "time": "t", "horizon": 2})
    (finding,) = forecast.look(data, config)["findings"]
    assert "5,680,195,200 of 5,680,195,261 steps of 1s" in finding["message"]


def test_images_in_folders_are_told_apart() -> None:
    files = {f"all/red/{n}.png": _picture(RED, n) for n in range(12)}
    files |= {f"all/blue/{n}.png": _picture(BLUE, 50 + n) for n in range(12)}
    data = _zip({**files, "all/red/notes.txt": b"x", "__MACOSX/all/._1.png": b"x"})
    about = images.look(data, parse({}))
    assert about["columns"][0]["top"] == [["blue", 12], ["red", 12]]
    assert "no images" in about["findings"][0]["message"]
    learned = images.train(data, parse({"algorithm": "linear", "folds": 2}), _silent)
    predictor = images.ImagePredictor(learned.model, learned.signature)
    sent = base64.b64encode(_picture(BLUE, 99)).decode()
    result = predictor.predict([{"image": sent}, {"image": _picture(RED, 98)}])
    assert result["predictions"] == ["blue", "red"]
    with pytest.raises(CallerError, match="cannot be read"):
        predictor.predict([{"image": base64.b64encode(b"no image").decode()}])


@pytest.mark.usefixtures("one_thread")
def test_a_network_learns_images_and_begins_with_weights_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("easymlnb.training.image_network.EPOCHS", (15, 15))
    files = {f"red/{n}.png": _picture(RED, n) for n in range(12)}
    files |= {f"blue/{n}.png": _picture(BLUE, 50 + n) for n in range(12)}
    given = parse({"algorithm": "network", "folds": 2})
    learned = images.train(_zip(files), given, _silent)
    assert learned.report["algorithm"] == "network" and learned.metrics["accuracy"] == 1.0
    assert len(learned.report["comparison"]["rows"]) == 2, "the baseline is next to it"
    options = SaveOptions(config=learned.model.config)
    saved = save_model(learned.model.module, tmp_path, options=options)
    loaded = load_model(tmp_path, saved.format, saved.flavor, LoadOptions(build=images.build))
    predictor = images.ImagePredictor(loaded, learned.signature)
    rows = [{"image": _picture(BLUE, 99)}, {"image": _picture(RED, 98)}]
    result = predictor.predict(rows)
    assert result["predictions"] == ["blue", "red"]
    before = images.ImagePredictor(learned.model, learned.signature).predict(rows)
    assert result == before

    weights = (tmp_path / "model.safetensors").read_bytes()
    again = images.train(_zip({**files, "weights.safetensors": weights}), given, _silent)
    assert any("began with the weights" in note for note in again.report["notes"])
    other = images.train(
        _zip({**files, "weights.safetensors": weights}), parse({"algorithm": "baseline"}), _silent
    )
    assert any("'network' only" in note for note in other.report["notes"])
    torch, weight_files = map(importlib.import_module, ("torch", "safetensors.torch"))
    strange = weight_files.save({"x": torch.zeros(3)})
    for data, words in ((b"pickle", "cannot be read"), (strange, "None of the 1 tensors")):
        with pytest.raises(CallerError, match=words):
            images.train(_zip({**files, "weights.safetensors": data}), given, _silent)
    with pytest.raises(CallerError, match="no candidate 'network'"):
        tabular.train(_houses(), parse({"algorithm": "network", "target": "price"}), _silent)
    monkeypatch.setattr("easymlnb.contract.installation.missing", lambda *names: ("torch",))
    with pytest.raises(CallerError, match="pip install torch"):
        images.train(_zip(files), given, _silent)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.txt": b"x"}, "no images"),
        ({f"{n}.png": b"x" for n in range(9)}, "in no folder"),
        ({f"cats/{n}.png": b"x" for n in range(9)}, "in no folder|one folder"),
        ({"cats/1.png": b"x", "dogs/1.png": b"x"}, "at least 5"),
        ({f"{part}/{n}/1.png": b"x" for part in ("test", "Train") for n in "ab"}, "no classes"),
        ({f"{kind}/{n}.png": b"x" for kind in "ab" for n in range(6)}, "cannot be read"),
    ],
)
def test_zips_without_classes(files: dict[str, bytes], words: str) -> None:
    with pytest.raises(CallerError, match=words):
        images.train(_zip(files), parse({}), _silent)
    with pytest.raises(CallerError, match="not a zip"):
        images.look(b"no zip", parse({}))


def test_images_of_cameras_printers_and_phones_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def saved(image: Image.Image, kind: str = "PNG", **more: object) -> bytes:
        target = io.BytesIO()
        image.save(target, kind, **more)
        return target.getvalue()

    dark = np.zeros((20, 40), "uint16")
    dark[:, 20:] = 200  # microscopes use few of the 16 bits
    assert pictures.scaled(saved(Image.fromarray(dark)))[0, [0, -1], 0].tolist() == [0, 255]
    assert pictures.scaled(saved(Image.fromarray(dark * 0)))[0, 0, 0] == 0
    printed = Image.new("CMYK", (20, 20), (0, 255, 255, 0))
    red, green, blue = pictures.scaled(saved(printed, "JPEG")).mean((0, 1))
    assert red > 200 > 60 > max(green, blue)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    half = Image.new("RGB", (40, 40))
    half.paste((255, 255, 255), (0, 0, 40, 20))
    turned = pictures.scaled(saved(half, "JPEG", exif=exif))
    assert turned[:, 60].mean() > 200 > 60 > turned[:, 3].mean()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError) as large:
        pictures.scaled(saved(half))
    assert "0 million pixels" in image_folders.problem_of(large.value)


def test_classes_that_lose_their_images_are_named() -> None:
    files = {f"red/{n}.png": _picture(RED, n) for n in range(8)}
    files |= {f"blue/{n}.png": _picture(BLUE, n) if n < 3 else b"x" for n in range(8)}
    with pytest.raises(
        CallerError, match=r"too few are in: 'blue' \(3\).* 5 files, such as 'blue/3"
    ):
        images.train(_zip(files), parse({"algorithm": "baseline"}), _silent)


def test_the_models_used_last_stay_loaded() -> None:
    cache: ModelCache[str] = ModelCache(limit=100)
    loads = []

    def load(name: str, size: int) -> str:
        def read() -> Loaded[str]:
            loads.append(name)
            return Loaded(name, size)

        return cache.get(name, read)

    for name in ("a", "b", "a", "c", "a"):
        load(name, 40)
    assert loads == ["a", "b", "c"]
    assert "b" not in cache
    load("large", 500)
    assert len(cache) == 1
