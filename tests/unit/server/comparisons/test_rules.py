"""Results are compared by what they are: numbers, labels, texts, tables, images, arrays."""

import base64
import io
from typing import Any

import numpy as np
import PIL.Image
import pytest

from easymlnb_server.comparisons.findings import MAX_DIFFERENCES, Tolerance
from easymlnb_server.comparisons.pixels import mean_iou
from easymlnb_server.comparisons.rules import compare


def png(array: Any, mode: str | None = None) -> str:
    file = io.BytesIO()
    PIL.Image.fromarray(np.asarray(array), mode).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def packed(array: Any) -> dict[str, Any]:
    array = np.asarray(array)
    data = base64.b64encode(array.tobytes()).decode()
    return {"b64": data, "dtype": str(array.dtype), "shape": list(array.shape)}


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (1, 1, "equal"),
        (1, 1.0, "equal"),
        (1.0, 1.0 + 1e-9, "within"),
        (100.0, 101.0, "different"),
        (10**400, 1.5, "different"),
        ("cat", "cat", "equal"),
        ("cat", "dog", "different"),
        (True, False, "different"),
        (True, 1, "different"),
        (None, None, "equal"),
        (None, 0, "different"),
        ({"a": [1, 2]}, {"a": [1, 2]}, "equal"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "different"),
        ([1, 2], [1, 2, 3], "different"),
        ({"a": 1}, {"b": 1}, "different"),
    ],
)
def test_outcomes(before: Any, after: Any, outcome: str) -> None:
    assert compare(before, after).outcome == outcome
    assert compare(after, before).outcome == outcome


def test_numbers_have_a_distance_and_a_tolerance() -> None:
    found = compare({"loss": [0.5, 0.7]}, {"loss": [0.5, 0.8]})
    (difference,) = found.differences
    assert (difference.path, difference.kind) == ("loss.1", "number")
    assert found.largest == pytest.approx(0.1)
    assert compare(0.7, 0.8, Tolerance(relative=0.2)).outcome == "within"
    assert compare(0.0, 0.1, Tolerance(absolute=0.2)).outcome == "within"


def test_labels_flip_and_texts_are_similar() -> None:
    assert compare({"label": "cat"}, {"label": "dog"}).flips == [("cat", "dog")]
    assert compare(True, False).flips == [("True", "False")]
    (text,) = compare("one line\n" * 20, "one line\n" * 19 + "another\n").differences
    assert (text.kind, text.before) == ("text", ("one line\n" * 20))
    assert "similar" in text.note


def test_differences_are_counted_and_few_are_stored() -> None:
    found = compare(list(range(1000)), list(range(1, 1001)))
    assert (found.count, len(found.differences)) == (1000, MAX_DIFFERENCES)
    assert found.largest == 1


def test_deep_and_large_values_end() -> None:
    deep: Any = 1
    other: Any = 2
    for _ in range(200):
        deep, other = [deep], [other]
    assert compare(deep, other).outcome == "different"
    large = compare([[n] for n in range(30_000)], [[n + 1] for n in range(30_000)])
    assert any("as a whole" in one.note for one in large.differences) or large.count >= 9_000


def test_tables_by_cell() -> None:
    before = [{"t": 1, "y": 0.5}, {"t": 2, "y": 0.25}]
    after = [{"t": 1, "y": 0.5}, {"t": 2, "y": 0.75}]
    (difference,) = compare(before, after).differences
    assert (difference.kind, difference.share, difference.difference) == ("table", 0.25, 0.5)
    assert not difference.within
    near = [{"t": 1, "y": 0.5}, {"t": 2, "y": 0.25 + 1e-12}]
    assert compare(before, near).outcome == "within"
    columns = compare({"t": [1, 2], "y": [3, 4]}, {"t": [1, 2], "z": [3, 4]})
    assert "removed columns: y" in columns.differences[0].note
    assert "new columns: z" in columns.differences[0].note
    assert "2 and 1 rows" in compare(before, before[:1]).differences[0].note


def test_images_by_pixel() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    second = first.copy()
    second[0, :15] ^= 8
    (difference,) = compare({"picture": png(first)}, {"picture": png(second)}).differences
    assert (difference.path, difference.kind, difference.difference) == ("picture", "image", 8)
    assert difference.share == pytest.approx(15 / 600)
    assert difference.iou is None
    assert compare(png(first), png(first)).outcome == "equal"
    assert "sizes" in compare(png(first), png(first[:10])).differences[0].note


def test_label_images_by_overlap() -> None:
    first = np.zeros((20, 20), np.uint16)
    first[2:10, 2:10] = 1
    first[12:18, 12:18] = 2
    second = first.copy()
    second[2:10, 6:10] = 0
    found = compare(png(first), png(second))
    assert found.ious == [pytest.approx((0.5 + 1) / 2)]
    assert found.differences[0].iou == found.ious[0]
    assert compare(png(first), png(first)).outcome == "equal"
    assert mean_iou(first, first) == 1
    assert mean_iou(first, np.zeros_like(first)) == 0
    assert mean_iou(np.zeros_like(first), np.zeros_like(first)) == 1


def test_arrays_by_element() -> None:
    first = np.arange(12, dtype=np.float32).reshape(3, 4)
    second = first.copy()
    second[0, 0] = 3
    (difference,) = compare(packed(first), packed(second)).differences
    assert (difference.kind, difference.difference) == ("array", 3)
    assert difference.share == pytest.approx(1 / 12)
    gaps = np.array([np.nan, 1.0])
    assert compare(packed(gaps), packed(gaps.copy())).outcome == "equal"
    assert "sizes" in compare(packed(first), packed(first[:2])).differences[0].note


@pytest.mark.parametrize(
    "broken",
    [
        {"b64": "!", "dtype": "float32", "shape": [1]},
        {"b64": "AAAA", "dtype": "object", "shape": [1]},
        {"b64": "AAAA", "dtype": "float32", "shape": [99]},
        {"b64": "AAAA", "dtype": "nonsense", "shape": "x"},
    ],
)
def test_damaged_values_are_different_and_no_error(broken: Any) -> None:
    good = packed(np.zeros(1, np.float32))
    assert compare(good, broken).outcome == "different"
    picture = "data:image/png;base64," + base64.b64encode(b"no picture").decode()
    assert compare(png(np.zeros((2, 2), np.uint8)), picture).outcome == "different"
    assert compare({"b64": "AAAA", "name": "a"}, {"b64": "AAAB", "name": "a"}).count == 1
