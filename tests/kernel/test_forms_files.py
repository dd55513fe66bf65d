"""Choosing files: what is taken, what is refused, what is seen of it."""

import base64
import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from easymlnb.forms.fields import MISSING
from easymlnb.forms.files import Picker, accepted
from easymlnb.forms.node import HINTS, Node
from easymlnb.forms.previews import size

CSV = b"time,load\n2026-01-01T00:00,50\n2026-01-01T01:00,52.5\n2026-01-01T02:00,51\n"


def png(array: np.ndarray, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind)
    return out.getvalue()


def picker(kind: str = "file", **hints) -> Picker:
    return Picker(kind, Node.root({HINTS: {"widget": kind, **hints}}))


def choose(one: Picker, data: bytes, name: str, media_type: str = "") -> None:
    """Do what the browser does when a person chooses a file."""
    one._chooser.value = (
        {
            "name": name,
            "type": media_type,
            "size": len(data),
            "content": memoryview(data),
            "last_modified": datetime.now(UTC),
        },
    )


def test_a_file_becomes_a_json_value_with_its_name_and_type():
    one = picker()
    choose(one, b"hello", "a.txt", "text/plain")
    code = base64.b64encode(b"hello").decode()
    assert one.get() == {"name": "a.txt", "media_type": "text/plain", "b64": code}
    assert "a.txt" in one._about.value
    one._away.click()
    assert one.get() is MISSING


def test_the_same_file_can_be_chosen_again_after_it_was_removed():
    one = picker()
    choose(one, b"1", "a.txt")
    one._away.click()
    choose(one, b"1", "a.txt")
    assert one.get()["name"] == "a.txt"


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\temp\\passwd", "/etc/passwd"])
def test_only_the_last_part_of_a_name_is_kept(name):
    one = picker()
    choose(one, b"x", name)
    assert one.get()["name"] == "passwd"


def test_a_file_that_is_too_large_is_refused_at_once():
    one = picker(max_bytes=2048)
    choose(one, b"x" * 2049, "big.bin")
    assert one.get() is MISSING
    assert "at most 2 kB" in one._about.value
    assert one.check() == ""
    choose(one, b"x", "small.bin")
    assert one.check() is None


def test_a_file_of_the_wrong_kind_is_refused_at_once():
    one = picker("table", accept=["text/csv", ".csv"])
    choose(one, b"x", "letter.pdf", "application/pdf")
    assert one.get() is MISSING
    assert "letter.pdf is not one of the kinds read here: csv." in one._about.value
    # Windows calls a CSV file a sheet of Excel.
    choose(one, CSV, "load.csv", "application/vnd.ms-excel")
    assert one.get()["name"] == "load.csv"


def test_files_whose_media_type_nobody_knows_are_told_by_their_ending():
    one = picker("table", accept=["application/vnd.apache.parquet"])
    choose(one, b"PAR1", "load.parquet", "")
    assert one.get()["name"] == "load.parquet"
    assert accepted(["*/*"]) == ()


@pytest.mark.parametrize(
    ("array", "facts"),
    [
        (np.zeros((4, 6), np.uint8), "6 \u00d7 4"),
        (np.linspace(0, 60000, 24, dtype=np.uint16).reshape(4, 6), "6 \u00d7 4, 16 bit"),
        (np.zeros((4, 6, 3), np.uint8), "6 \u00d7 4"),
        (np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6), "6 \u00d7 4"),
    ],
)
def test_an_image_shows_a_thumbnail_and_its_size(array, facts):
    one = picker("image", accept=["image/tiff"])
    choose(one, png(array, "TIFF"), "cells.tif", "image/tiff")
    assert "em-thumb" in one._about.value
    assert facts in one._about.value


def test_a_deep_image_is_stretched_over_its_own_range():
    one = picker("image")
    one.take(png(np.linspace(100, 300, 16, dtype=np.uint16).reshape(4, 4), "TIFF"), "a.tif")
    code = one._about.value.partition("base64,")[2].partition('"')[0]
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(code))))
    assert seen.min() == 0
    assert seen.max() >= 254


def test_an_image_with_too_many_pixels_is_refused_before_it_is_opened():
    one = picker("image", max_pixels=10)
    one.take(png(np.zeros((4, 4), np.uint8)), "a.png")
    assert one.get() is MISSING
    assert "4 \u00d7 4 pixels" in one._about.value


def test_what_cannot_be_shown_is_still_taken_for_the_service_to_judge():
    one = picker("image")
    one.take(b"not an image", "a.png")
    assert one.get()["name"] == "a.png"
    assert "no preview" in one._about.value
    other = picker("table")
    other.take(b"\xff\xfe\x00broken", "a.csv")
    assert other.get()["name"] == "a.csv"


def test_a_table_shows_its_first_rows_and_a_series_its_curve():
    one = picker("table")
    one.take(CSV.replace(b"load", b"<b>load</b>"), "load.csv")
    assert "<td>52.5</td>" in one._below.value
    assert "<b>load" not in one._below.value
    other = picker("timeseries")
    other.take(CSV, "load.csv")
    assert "<polyline" in other._below.value
    assert "load, 50 to 52.5" in other._below.value
    assert "2 columns, 3 rows" in other._about.value


@pytest.mark.parametrize(
    "value",
    [
        [{"time": at, "load": at * 2} for at in range(4)],
        {"time": [0, 1, 2, 3], "load": [0, 2, 4, 6]},
    ],
)
def test_values_given_as_json_are_seen_like_a_file(value):
    one = picker("timeseries")
    one.set(value)
    assert one.get() == value
    assert "2 columns, 4 rows" in one._about.value
    assert "load, 0 to 6" in one._below.value


def test_a_recording_gets_a_player():
    one = picker("audio")
    one.take(b"RIFF", "a.wav", "audio/wav")
    assert "<audio" in one._below.value


@pytest.mark.parametrize(
    "value",
    [
        {"name": "a.txt", "media_type": "text/plain", "b64": "eA=="},
        {"b64": "eA=="},
        "data:text/plain;base64,eA==",
        [{"time": 1, "load": 2}],
        {"time": [1], "load": [2]},
    ],
)
def test_examples_come_out_in_the_form_their_author_gave(value):
    one = picker()
    one.set(value)
    assert one.get() == value
    assert one.check() is None
    one.set(None)
    assert one.get() is MISSING


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 bytes"), (1500, "1.5 kB"), (100 * 2**20, "100 MB")]
)
def test_sizes_are_said_in_words(count, words):
    assert size(count) == words
