"""Values that lie in files: mapped, and read when they are used."""

import gc
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest

import easymlnb as ml
from easymlnb.contract.errors import CallCancelled, InvalidInput
from easymlnb.contract.worker_protocol import LARGE, Call
from easymlnb.runtime import body_files
from easymlnb.services import codec
from easymlnb.services.definition import Service, define
from easymlnb.services.schema import Schema
from easymlnb.types import uploaded_files
from easymlnb.types.temp_files import scratch

KINDS = [".bin", "application/x-bin"]


def _file(f: Annotated[ml.File, ml.File(max_bytes=4 * LARGE, accept=KINDS)]) -> ml.File: ...
def _path(f: Path) -> Path: ...
def _array(a: np.ndarray) -> np.ndarray: ...


@pytest.fixture(autouse=True)
def in_a_call() -> Iterator[None]:
    with scratch():
        yield


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "0123"
    path.write_bytes(b"x" * (2 * LARGE))
    return path


def read(
    function: Any, body: Any, path: Path | None = None, kind: str = "application/x-bin"
) -> Any:
    found = codec.decode_request(Schema.of(function), kind, body, path)
    return next(iter(found.values()))


# ml.File


def test_a_large_file_is_read_when_it_is_used(large: Path) -> None:
    file = read(_file, uploaded_files.contents(large), large)
    assert (file.size, isinstance(file._data, memoryview)) == (2 * LARGE, True)
    with file.open() as opened:
        assert opened.read(3) == b"xxx"
    assert isinstance(file._data, memoryview)
    assert file.data == b"x" * (2 * LARGE)


def test_its_path_has_its_name_and_is_no_copy(large: Path) -> None:
    with uploaded_files.sent({"ID": large}):
        body = json.dumps({"f": {"upload": "ID", "name": "../my film.bin"}}).encode()
        file = read(_file, body, kind="application/json")
    assert (file.path.name, file.path.resolve()) == ("my film.bin", large.resolve())


def test_it_outlives_the_name_of_its_file(large: Path) -> None:
    file = read(_file, uploaded_files.contents(large), large)
    large.unlink()
    assert file.data[:2] == b"xx"


def test_a_small_value_has_path_and_open_too() -> None:
    file = ml.File(b"abc", "x.txt")
    assert (file.path.read_bytes(), file.path.name, file.open().read()) == (b"abc", "x.txt", b"abc")


def test_a_path_hint_gets_the_file_itself(large: Path) -> None:
    assert read(_path, uploaded_files.contents(large), large).resolve() == large.resolve()


def test_a_path_as_a_result_is_not_read_into_memory(large: Path) -> None:
    written = codec.encode_response(Schema.of(_path), large, "application/octet-stream")
    assert isinstance(written.body, memoryview)
    assert bytes(written.body) == large.read_bytes()


# limits


@pytest.mark.parametrize("way", ["raw", "form", "json", "upload"])
def test_the_limit_of_a_parameter_holds_whatever_the_way(tmp_path: Path, way: str) -> None:
    path = tmp_path / "ab"
    path.write_bytes(b"x" * (4 * LARGE + 1))
    data = uploaded_files.contents(path)
    form = b'--B\r\nContent-Disposition: form-data; name="f"; filename="x.bin"\r\n\r\n'
    bodies = {
        "raw": ("application/x-bin", data),
        "form": ("multipart/form-data; boundary=B", memoryview(form + data + b"\r\n--B--\r\n")),
        "json": ("application/json", json.dumps({"f": {"b64": "eHh4" * (2 * LARGE)}}).encode()),
        "upload": ("application/json", b'{"f": {"upload": "ID", "name": "x.bin"}}'),
    }
    kind, body = bodies[way]
    with (
        uploaded_files.sent({"ID": path}),
        pytest.raises(InvalidInput, match="larger than the limit of 4 MB"),
    ):
        codec.decode_request(Schema.of(_file), kind, body)


def test_the_kind_of_an_upload_is_checked_again(large: Path) -> None:
    body = b'{"f": {"upload": "ID", "name": "x.exe"}}'
    with (
        uploaded_files.sent({"ID": large}),
        pytest.raises(InvalidInput, match="one of these types"),
    ):
        read(_file, body, kind="application/json")


@pytest.mark.parametrize(
    "value",
    [
        {"upload": "other"},
        {"upload": "/etc/passwd"},
        {"upload": 1},
        {"upload": "ID", "b64": "eHg="},
        {"upload": "ID", "path": "/etc/passwd"},
        {"upload": "ID", "name": 1},
    ],
)
def test_only_what_came_with_the_call_is_found(large: Path, value: Any) -> None:
    with uploaded_files.sent({"ID": large}), pytest.raises(InvalidInput):
        read(_file, json.dumps({"f": value}).encode(), kind="application/json")
    with pytest.raises(InvalidInput, match="X-Easymlnb-Uploads"):
        read(_file, b'{"f": {"upload": "ID"}}', kind="application/json")


# other types


def mapped(tmp_path: Path, data: bytes) -> Any:
    path = tmp_path / "cd"
    path.write_bytes(data)
    return uploaded_files.contents(path)


@pytest.mark.parametrize("dtype", ["float32", ">f8", "int16", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_a_view_that_may_be_written_to(tmp_path: Path, dtype: str, order: Any) -> None:
    array = np.arange(60_000).reshape(200, 300).astype(dtype, order=order)
    target = io.BytesIO()
    np.save(target, array)
    found = read(_array, mapped(tmp_path, target.getvalue()), kind="application/x-npy")
    np.testing.assert_array_equal(found, array)
    assert found.dtype.isnative
    found[0, 0] = 1
    assert (tmp_path / "cd").read_bytes() == target.getvalue()
    gc.collect()
    assert found.sum() > 0


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_written_as_numpy_writes_it(order: Any) -> None:
    for array in (
        np.asarray(np.random.default_rng(1).random((30, 40)), order=order),
        np.zeros((0, 3)), np.array(5), np.arange(10)[::2], np.arange(3, dtype=">i4"),
    ):  # fmt: skip
        target = io.BytesIO()
        np.save(target, array)
        body = codec.encode_response(Schema.of(_array), array, "application/x-npy").body
        assert bytes(body) == target.getvalue()


def test_a_form_in_a_file(tmp_path: Path) -> None:
    def both(a: np.ndarray, f: ml.File, n: int, t: pd.DataFrame) -> None: ...

    target = io.BytesIO()
    np.save(target, np.ones((600, 600)))
    parts = {
        'name="a"; filename="a.npy"': target.getvalue(),
        'name="f"; filename="x.bin"': b"y" * (2 * LARGE),
        'name="n"': b"7",
        'name="t"; filename="t.csv"': b"a\n1\n2\n",
    }
    body = b"".join(
        b"--B\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (head.encode(), data)
        for head, data in parts.items()
    )
    data = mapped(tmp_path, body + b"--B--\r\n")
    found = codec.decode_request(Schema.of(both), "multipart/form-data; boundary=B", data)
    assert found["a"].sum() == 360_000
    assert (found["f"].size, found["f"].data[-1:], found["f"].name) == (2 * LARGE, b"y", "x.bin")
    assert (found["n"], found["t"]["a"].sum()) == (7, 3)


def test_tables_and_images_from_files(tmp_path: Path) -> None:
    def table(t: pd.DataFrame) -> None: ...
    def image(i: PIL.Image.Image) -> None: ...

    assert read(table, mapped(tmp_path, b"a,b\n1,2\n"), kind="text/csv")["b"].sum() == 2
    target = io.BytesIO()
    PIL.Image.new("L", (30, 20)).save(target, "PNG")
    found = read(image, mapped(tmp_path, target.getvalue()), kind="image/png")
    assert found.size == (30, 20)


# calls


def service() -> Service:
    def size(f: ml.File, g: ml.File | None = None) -> int: ...

    return define(size)


def test_a_call_whose_body_is_a_file(large: Path) -> None:
    call = Call(id=1, service="size", content_type="application/x-bin", file=str(large))
    assert body_files.read_arguments(service(), call, b"")["f"].size == 2 * LARGE


def test_a_call_whose_file_is_gone_was_cancelled(tmp_path: Path) -> None:
    call = Call(id=1, service="size", content_type="text/plain", file=str(tmp_path / "gone"))
    with pytest.raises(CallCancelled):
        body_files.read_arguments(service(), call, b"")


def test_uploads_behind_the_body_for_a_kernel_elsewhere() -> None:
    body = b'{"f": {"upload": "A"}, "g": {"upload": "B"}}'
    call = Call(id=1, service="size", uploads=(("A", "", 3), ("B", "", 4)))
    found = body_files.read_arguments(service(), call, body + b"one" + b"four")
    assert (found["f"].data, found["g"].data) == (b"one", b"four")


def test_a_large_result_is_left_in_the_room(tmp_path: Path) -> None:
    call = Call(id=1, service="size", result_folder=str(tmp_path))
    assert body_files.store_result(call, b"x" * LARGE) == ""
    name = body_files.store_result(call, b"x" * (LARGE + 1))
    assert (tmp_path / name).stat().st_size == LARGE + 1
    assert body_files.store_result(Call(id=1, service="size"), b"x" * (LARGE + 1)) == ""


def test_without_a_room_or_space_a_result_goes_in_the_frame(tmp_path: Path) -> None:
    body = b"x" * (LARGE + 1)
    assert body_files.store_in(str(tmp_path / "gone"), body) == ""
    full = Path("/dev/full")
    assert not full.exists() or body_files.store_in(str(full), body) == ""


def test_a_probe_is_answered_only_where_it_can_be_read(tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    probe.write_bytes(b"p" * 32)
    assert body_files.answer_probe(str(probe)).proof == b"p" * 32  # type: ignore[union-attr]
    assert body_files.answer_probe(str(tmp_path / "elsewhere")) is None
