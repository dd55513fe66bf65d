"""The classifier of plants: learns from folders of images, and says what is wrong with others."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from easymlnb.contract.errors import CallerError
from easymlnb.services.definition import SERVICES
from easymlnb.services.presentation import to_parts
from support.notebooks import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def notebook() -> Iterator[dict[str, Any]]:
    yield run("03_classifier")
    for name in ("plant", "train_plants"):
        SERVICES.pop(name, None)


def packed(notebook: dict[str, Any], count: int, species: tuple[str, ...]) -> bytes:
    rng, target = np.random.default_rng(5), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in species:
            for number in range(count):
                picture = io.BytesIO()
                flower = notebook["draw_flower"](rng, notebook["PETALS"][name], 64)
                Image.fromarray(flower).save(picture, "JPEG")
                archive.writestr(f"plants/{name}/{number}.jpg", picture.getvalue())
    return target.getvalue()


def test_flowers_that_it_has_not_seen_are_recognized(notebook: dict[str, Any]) -> None:
    assert notebook["trained"].metrics["balanced_accuracy"] > 0.8
    rng, right = np.random.default_rng(11), 0
    for species, petals in notebook["PETALS"].items():
        for _ in range(10):
            found = notebook["plant"](notebook["draw_flower"](rng, petals))
            right += next(iter(found)) == species
    assert right >= 24


def test_classes_that_differ_in_nothing_but_color_are_told_apart(notebook: dict[str, Any]) -> None:
    rng, target = np.random.default_rng(3), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, color in (("red", (180, 20, 20)), ("green", (20, 180, 20))):
            for number in range(15):
                pixels = (np.array(color) + rng.integers(0, 60, (48, 48, 3))).astype(np.uint8)
                picture = io.BytesIO()
                Image.fromarray(pixels).save(picture, "PNG")
                archive.writestr(f"{name}/{number}.png", picture.getvalue())
    model = notebook["train_plants"](target.getvalue())
    assert model.metrics["balanced_accuracy"] == 1.0


def test_the_view_has_the_class_and_the_probabilities(notebook: dict[str, Any]) -> None:
    result = notebook["plant"](notebook["sample"])
    parts = to_parts(notebook["plant"].service.view_function(result=result))
    assert [part["kind"] for part in parts] == ["text", "plotly"]


def test_a_zip_of_folders_trains_a_model(notebook: dict[str, Any]) -> None:
    photos = packed(notebook, 12, ("lily", "daisy"))
    model = notebook["train_plants"](photos)
    assert list(model.obj.classes_) == ["daisy", "lily"]
    assert {"balanced_accuracy", "roc_auc"} <= set(model.metrics)
    assert {"Confusion", "ROC curve"} <= set(model.plots)


def test_other_files_are_refused_with_a_sentence(notebook: dict[str, Any]) -> None:
    for photos, words in (
        (b"no zip", "not a zip"),
        (packed(notebook, 12, ("lily",)), "All images are in one folder"),
        (packed(notebook, 3, ("lily", "daisy")), "Each class needs at least 10 images"),
    ):
        with pytest.raises(CallerError, match=words):
            notebook["train_plants"](photos)
