"""The cell segmentation: better than thresholding on a real image, and a good service."""

import base64
import io
import json
import pickle
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage
from skimage import feature, filters, segmentation

from easymlnb.contract.errors import CallerError, InvalidInput
from easymlnb.services import codec
from easymlnb.services.definition import SERVICES
from easymlnb.services.presentation import to_parts
from support.notebooks import data, run

SERVICE = "cell_segmentation"

# The first of these tests waits for the training: under a minute on two idle cores.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def notebook() -> Iterator[dict[str, Any]]:
    pytest.importorskip("torch")
    yield run("02_cell_segmentation")
    for name in (SERVICE, "fine_tune"):
        SERVICES.pop(name, None)


@pytest.fixture
def example(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the first example, read as from a caller."""
    service = notebook[SERVICE].service
    body = json.dumps(service.spec.examples[0]).encode()
    found: dict[str, Any] = service.schema.load_json(body)
    return found


def baseline(image: np.ndarray, blur: float, smooth: float, apart: int) -> np.ndarray:
    """Return labels by Otsu's threshold and a watershed of the distance to the background."""
    blurred = filters.gaussian(image.astype(float), blur)
    inside = ndimage.binary_fill_holes(blurred > filters.threshold_otsu(blurred))
    height = filters.gaussian(ndimage.distance_transform_edt(inside), smooth)
    seeds = np.zeros(image.shape, int)
    peaks = feature.peak_local_max(height, min_distance=apart, labels=inside.astype(int))
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels: np.ndarray = segmentation.watershed(-height, seeds, mask=inside)
    labels[np.bincount(labels.ravel())[labels] < 30] = 0
    return labels


def test_finds_more_nuclei_than_otsu_and_watershed(notebook: dict[str, Any]) -> None:
    image = np.array(Image.open(data("nuclei.tif")))
    truth = np.array(Image.open(data("nuclei_mask.tif"))).astype(int)
    precision = notebook["average_precision"]
    # The baseline gets the best of its settings, chosen with the truth in hand.
    tried = product((0.7, 1, 2), (1, 2), (3, 5, 7, 9))
    best = max(precision(baseline(image, *settings), truth) for settings in tried)
    assert best > 0.5, "the baseline is broken"

    labels = notebook[SERVICE](image)
    assert labels.shape == image.shape
    assert precision(labels, truth) > best + 0.05


def test_average_precision_counts_hits_misses_and_inventions(notebook: dict[str, Any]) -> None:
    precision = notebook["average_precision"]
    truth = np.zeros((10, 10), int)
    truth[:4, :4], truth[6:, 6:] = 1, 5  # numbers need not be without gaps
    assert precision(truth, truth) == 1.0
    assert precision(np.zeros_like(truth), truth) == 0.0
    one = np.where(truth == 1, 3, 0)
    assert precision(one, truth) == 1 / 2
    invented = one.copy()
    invented[8:, :2] = 1
    assert precision(invented, truth) == 1 / 3
    half = np.zeros_like(truth)
    half[:4, :2] = 1  # an overlap of exactly one half is no hit
    assert precision(half, truth) == 0.0


@pytest.mark.parametrize(
    "shape", [(1, 1), (7, 300), (65, 33, 1), (40, 50, 2), (96, 96, 3), (64, 99, 4)]
)
def test_takes_any_size_and_number_of_colors(
    notebook: dict[str, Any], shape: tuple[int, ...]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    labels = notebook[SERVICE](image)
    assert (labels.shape, labels.dtype) == (shape[:2], np.uint16)


def test_flat_images_have_no_cells(notebook: dict[str, Any]) -> None:
    for value in (0, 255):
        assert notebook[SERVICE](np.full((50, 60), value, np.uint8)).max() == 0


def test_numbers_of_the_camera_do_not_matter(notebook: dict[str, Any]) -> None:
    image, _ = notebook["synthetic_cells"](np.random.default_rng(5), 160)
    deep = (1000 + 60_000 * (image - image.min()) / np.ptp(image)).astype(np.uint16)
    dim = (deep // 250).astype(np.uint16)
    color = np.stack([deep // 256] * 3, axis=-1).astype(np.uint8)
    labels = notebook[SERVICE](deep)
    assert labels.max() > 3
    for other in (dim, color):
        assert notebook["average_precision"](notebook[SERVICE](other), labels) > 0.8


def test_tiles_fit_together(notebook: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = notebook["synthetic_cells"](np.random.default_rng(6), 300)
    whole = notebook["predict"](notebook["net"], image)
    monkeypatch.setitem(notebook, "TILE", 128)
    tiled = notebook["predict"](notebook["net"], image)
    for one, other in zip(whole, tiled, strict=True):
        assert one.shape == image.shape
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_threshold_and_smallest_do_what_they_say(notebook: dict[str, Any]) -> None:
    image, _ = notebook["synthetic_cells"](np.random.default_rng(8), 160)
    segment = notebook[SERVICE]
    areas = [(segment(image, threshold) > 0).sum() for threshold in (0.2, 0.5, 0.8)]
    assert areas[0] > areas[1] > areas[2] > 0
    labels = segment(image, smallest=200)
    sizes = np.bincount(labels.ravel())[1:]
    assert sizes.min() >= 200
    assert len(sizes) < segment(image, smallest=30).max()


def test_tiff_in_and_exact_labels_out(notebook: dict[str, Any]) -> None:
    schema = notebook[SERVICE].service.schema
    image, _ = notebook["synthetic_cells"](np.random.default_rng(9), 100)
    body = io.BytesIO()
    Image.fromarray((1000 * (image - image.min())).astype(np.uint16)).save(body, "TIFF")
    labels = notebook[SERVICE](**codec.decode_request(schema, "image/tiff", body.getvalue()))
    for kind in ("image/png", "image/tiff"):
        answer = codec.encode_response(schema, labels, kind)
        assert answer.content_type == kind
        assert (np.array(Image.open(io.BytesIO(answer.body))) == labels).all()


def test_huge_images_are_refused_with_a_word(notebook: dict[str, Any]) -> None:
    body = io.BytesIO()
    Image.new("L", (3000, 2000)).save(body, "PNG")
    with pytest.raises(InvalidInput, match="4 million pixels"):
        codec.decode_request(notebook[SERVICE].service.schema, "image/png", body.getvalue())


def test_people_see_outlines_numbers_and_a_file(
    notebook: dict[str, Any], example: dict[str, Any]
) -> None:
    service = notebook[SERVICE].service
    labels = notebook[SERVICE](**example)
    shown = to_parts(service.view_function(image=example["image"], result=labels))
    assert [part["kind"] for part in shown] == ["image", "number", "number", "file"]
    assert shown[1]["data"] == labels.max() > 1
    cells = pd.read_csv(io.BytesIO(base64.b64decode(shown[3]["data"])))
    assert list(cells["label"]) == list(range(1, labels.max() + 1))
    assert cells["area"].sum() == (labels > 0).sum()
    assert shown[2]["data"] == pytest.approx(cells["area"].mean(), abs=0.1)
    assert cells["centroid-0"].between(cells["bbox-0"], cells["bbox-2"]).all()
    assert cells["intensity_mean"].gt(0).all()

    nothing = {"image": np.zeros((20, 20), np.uint8), "result": np.zeros((20, 20), np.uint16)}
    assert to_parts(service.view_function(**nothing))[1]["data"] == 0


def test_every_parameter_has_a_word_of_help(notebook: dict[str, Any]) -> None:
    properties = notebook[SERVICE].service.spec.input["properties"]
    assert all(node["description"] for node in properties.values())


def test_same_seed_same_cells(notebook: dict[str, Any]) -> None:
    first, second = (notebook["synthetic_cells"](np.random.default_rng(3), 64) for _ in range(2))
    assert (first[0] == second[0]).all()
    prepared = [notebook["prepare"](*notebook["synthetic_cells"](np.random.default_rng(3)))]
    net, same = untrained(notebook), untrained(notebook)
    for one in (net, same):
        assert len(notebook["train"](one, prepared, steps=2, seed=1)) == 2
    for one, other in zip(net.parameters(), same.parameters(), strict=True):
        np.testing.assert_allclose(one.detach(), other.detach(), atol=1e-4)


def untrained(notebook: dict[str, Any]) -> Any:
    import torch

    torch.manual_seed(1)
    return notebook["UNet"]()


class Checkpoint:
    """A checkpoint in memory, of a node that ends after two steps."""

    def __init__(self) -> None:
        self.saved: dict[str, Any] | None = None
        self.leaving = False

    def load(self) -> dict[str, Any] | None:
        self.leaving = self.saved is None
        return pickle.loads(self.saved["content"]) if self.saved else None

    def save(self, step: int, **state: Any) -> None:
        self.saved = {"step": step, "content": pickle.dumps(state)}

    def leave(self) -> None:
        raise InterruptedError


def test_training_goes_on_with_the_same_weights_on_another_node(
    notebook: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = [notebook["prepare"](*notebook["synthetic_cells"](np.random.default_rng(3)))]
    straight, first, second = (untrained(notebook) for _ in range(3))
    notebook["train"](straight, prepared, steps=3, seed=1)
    checkpoint = Checkpoint()
    monkeypatch.setattr(notebook["ml"], "checkpoint", lambda: checkpoint)
    with pytest.raises(InterruptedError):
        notebook["train"](first, prepared, steps=3, seed=1)
    assert checkpoint.saved is not None and checkpoint.saved["step"] == 1
    assert len(notebook["train"](second, prepared, steps=3, seed=1)) == 3
    for one, other in zip(straight.parameters(), second.parameters(), strict=True):
        np.testing.assert_allclose(one.detach(), other.detach(), atol=1e-6)


def test_tuned_on_real_nuclei_it_is_measured_on_the_last_image(notebook: dict[str, Any]) -> None:
    image = np.array(Image.open(data("nuclei.tif")))
    truth = np.array(Image.open(data("nuclei_mask.tif"))).astype(np.uint16)
    images = [image[:, :256], image[:, 256:]]
    masks = [truth[:, :256], truth[:, 256:]]
    model = notebook["fine_tune"](images, masks, steps=10)
    assert model.metrics["average_precision"] > 0.3
    assert list(model.plots) == ["Loss"]
    for given, known, words in (
        (images[:1], masks[:1], "Send two images or more"),
        (images, masks[:1], "not 2 images and 1 masks"),
        (images, [masks[0], masks[1][:99]], "Image 2 is .512, 256., and its mask .99, 256."),
        ([images[0], images[1][:50]], [masks[0], masks[1][:50]], "fewer than 128 pixels"),
        (images, [masks[0], 0 * masks[1]], "Mask 2 has no cells"),
    ):
        with pytest.raises(CallerError, match=words):
            notebook["fine_tune"](given, known)


def test_training_reduces_the_loss(notebook: dict[str, Any]) -> None:
    losses = notebook["losses"]
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) / 2
