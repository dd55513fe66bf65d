"""File fields: which files are accepted, which are refused, and the message on the page."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from easymlnb.contract.jsonschema import HINTS, SchemaNode
from easymlnb.forms.fields import MISSING, Field
from easymlnb.forms.files import FilePicker, accepted
from easymlnb.forms.previews import as_csv, format_size, thumbnail
from easymlnb.forms.shared_style import FormContext, UploadSettings

CSV = b"time,load\n2026-01-01T00:00,50\n2026-01-01T01:00,52.5\n2026-01-01T02:00,51\n"
UPLOADS = UploadSettings("/easymlnb/uploads", "easymlnb-pass x", "look")


def png(array: np.ndarray, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind)
    return out.getvalue()


def picker(kind: str = "file", uploads: UploadSettings | None = None, **hints: Any) -> FilePicker:
    with FormContext(uploads).active():
        made = FilePicker(kind, SchemaNode.root({HINTS: {"widget": kind, **hints}}))
    made.heard = []  # type: ignore[attr-defined]
    made.widget.send = lambda content, buffers=None: made.heard.append((content, buffers))  # type: ignore[attr-defined]
    return made


def told(one: FilePicker) -> Any:
    """Return the last message to the page."""
    return one.heard[-1][0]  # type: ignore[attr-defined]


def choose(one: FilePicker, data: bytes, name: str, media_type: str = "", piece: int = 3) -> None:
    """Do what the script does when a person chooses a file under a cell."""
    say = one.widget.on_message
    say({"action": "uploading", "name": name}, [])
    say({"action": "begin", "name": name, "type": media_type}, [])
    for at in range(0, len(data), piece):
        say({"action": "chunk"}, [memoryview(data[at : at + piece])])
    say({"action": "end"}, [])


def test_a_file_becomes_a_json_value_with_its_name_and_type():
    one = picker()
    choose(one, b"hello", "a.txt", "text/plain")
    code = base64.b64encode(b"hello").decode()
    assert one.get() == {"name": "a.txt", "media_type": "text/plain", "b64": code}
    one.widget.on_message({"action": "removed"}, [])
    assert one.get() is MISSING


def test_an_empty_file_is_a_file():
    one = picker()
    choose(one, b"", "a.txt")
    assert one.get()["b64"] == ""


def test_each_piece_is_acknowledged_so_that_few_are_on_their_way():
    one = picker()
    choose(one, b"hello", "a.txt")
    assert [content["action"] for content, _ in one.heard] == ["received", "received"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\temp\\passwd", "/etc/passwd"])
def test_only_the_last_part_of_a_name_is_kept(name):
    one = picker()
    choose(one, b"x", name)
    assert one.get()["name"] == "passwd"


def test_a_file_that_is_too_large_is_refused_whatever_the_page_says_of_its_size():
    one = picker(max_bytes=2048)
    choose(one, b"x" * 2049, "big.bin", piece=500)
    assert one.get() is MISSING
    one.use(b"x" * 2049, "big.bin")
    assert one.get() is MISSING
    assert "the maximum is 2 kB" in told(one)["problem"]
    assert one.check() == ""
    choose(one, b"x", "small.bin")
    assert one.check() is None


def test_a_file_of_the_wrong_kind_is_refused_at_once():
    one = picker("table", accept=["text/csv", ".csv"])
    choose(one, b"x", "letter.pdf", "application/pdf")
    assert one.get() is MISSING
    assert told(one)["problem"] == "letter.pdf has an unsupported file type. Supported types: csv."
    choose(one, b"PK", "load.XLSX", "")
    said = "load.XLSX is a spreadsheet, which is not supported. Save it as CSV."
    assert told(one)["problem"] == said
    # Windows calls a CSV file a sheet of Excel.
    choose(one, CSV, "load.csv", "application/vnd.ms-excel")
    assert one.get()["name"] == "load.csv"


def test_files_whose_media_type_nobody_knows_are_told_by_their_ending():
    one = picker("table", accept=["application/vnd.apache.parquet"])
    choose(one, b"PAR1", "load.parquet", "")
    assert one.get()["name"] == "load.parquet"
    assert accepted(["*/*"]) == ()


def test_what_the_page_refused_is_known_here_and_gone_with_the_next_file():
    one = picker()
    choose(one, b"x", "a.txt")
    one.widget.on_message({"action": "rejected", "problem": "Too large."}, [])
    assert one.get() is MISSING
    assert one.check() == ""
    choose(one, b"x", "a.txt")
    assert one.check() is None


def test_a_required_file_that_is_being_sent_is_not_missing():
    with FormContext().active():
        one = FilePicker("file", SchemaNode.root({}))
        field = Field(SchemaNode.root({"type": "object"}), one, required=True)
    assert not field.check()
    one.widget.on_message({"action": "uploading", "name": "a.txt"}, [])
    assert field.check()
    one.widget.on_message({"action": "removed"}, [])
    assert not field.check()


def test_an_uploaded_file_is_its_name_on_the_server():
    one = picker(uploads=UPLOADS)
    assert one.widget.target == {
        "url": "/easymlnb/uploads",
        "service": "look",
        "authorization": "easymlnb-pass x",
    }
    one.widget.on_message(
        {"action": "uploaded", "upload": "abc", "name": "x/a.txt", "type": "text/plain"}, []
    )
    assert one.get() == {"upload": "abc", "name": "a.txt", "media_type": "text/plain"}


def test_a_page_that_uploads_cannot_send_a_file_through_the_kernel():
    one = picker(uploads=UPLOADS)
    choose(one, b"x" * 10, "a.txt")
    assert one.get() is MISSING
    assert one.widget._chunks == []


@pytest.mark.parametrize(
    "said",
    [None, [], "sent", {"action": "uploaded"}, {"action": "uploaded", "upload": 7},
     {"action": "uploaded", "upload": ""}, {"action": "chunk"}, {"action": "end"},
     {"action": "uploaded", "upload": "x" * 1000}],
)  # fmt: skip
def test_nonsense_from_a_page_changes_nothing(said):
    one = picker(uploads=UPLOADS)
    other = picker()
    for each in (one, other):
        each.widget.on_message(said, [])
        assert each.get() is MISSING


def test_an_id_of_an_upload_is_not_taken_where_nothing_is_uploaded():
    one = picker()
    one.widget.on_message({"action": "uploaded", "upload": "abc", "name": "a.txt"}, [])
    assert one.get() is MISSING


def test_a_page_that_comes_later_is_told_what_is_chosen():
    one = picker()
    one.set({"name": "a.txt", "media_type": "text/plain", "b64": "eA=="})
    one.heard.clear()
    one.widget.on_message({"action": "ready"}, [])
    content, buffers = one.heard[0]
    shown = {"action": "show", "name": "a.txt", "type": "text/plain", "facts": "1 bytes"}
    # As the first word it gives way to a file that was chosen before it came.
    assert content == shown | {"first": True}
    assert buffers == [b"x"]
    one.set({"name": "a.txt", "media_type": "text/plain", "b64": "eA=="})
    assert one.heard[1][0] == shown | {"first": False}


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 6), np.uint8),
        np.linspace(0, 60000, 24, dtype=np.uint16).reshape(4, 6),
        np.zeros((4, 6, 3), np.uint8),
        np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6),
    ],
)
def test_pictures_of_all_depths_have_a_thumbnail(array):
    assert 'class="em-thumb"' in thumbnail(png(array, "TIFF"))


def test_a_thumbnail_is_upright():
    exif, out = Image.Exif(), io.BytesIO()
    exif[274] = 6
    Image.new("RGB", (8, 4)).save(out, "JPEG", exif=exif)
    code = thumbnail(out.getvalue()).partition("base64,")[2].partition('"')[0]
    assert Image.open(io.BytesIO(base64.b64decode(code))).size == (4, 8)


def test_a_deep_image_is_stretched_over_its_own_range():
    shown = thumbnail(png(np.linspace(100, 300, 16, dtype=np.uint16).reshape(4, 4), "TIFF"))
    code = shown.partition("base64,")[2].partition('"')[0]
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(code))))
    assert seen.min() == 0
    assert seen.max() >= 254


@pytest.mark.parametrize(
    "value",
    [
        [{"time": at, "load": at * 2} for at in range(2)],
        {"time": [0, 1], "load": [0, 2]},
    ],
)
def test_values_given_as_json_are_seen_like_a_file(value):
    one = picker("timeseries")
    one.set(value)
    assert one.get() == value
    assert one.heard[-1][1] == [b"time,load\r\n0,0\r\n1,2\r\n"]
    assert as_csv("other") is None


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
    assert format_size(count) == words
