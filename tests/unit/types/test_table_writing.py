"""Results and a client's values are written as what they are: times, cells, masks, indexes."""

import datetime
import decimal
import enum
import io
import json
import uuid
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import easymlnb.types as ml
from easymlnb.client import encoding as client_values
from easymlnb.client.decoding import decode, revive
from easymlnb.client.encoding import convert, encode_arguments
from easymlnb.contract.errors import InvalidInput, NotAcceptable, ResultNotEncodable
from easymlnb.services import codec, presentation
from easymlnb.services.schema import Schema
from easymlnb.types.npy import NPY, read_npy
from easymlnb.types.table_encoding import ARROW, CSV, PARQUET


def _any(): ...


def _table(x: pd.DataFrame) -> pd.DataFrame: ...


def _array(x: np.ndarray) -> np.ndarray: ...


def _with_gaps(
    x: Annotated[np.ndarray, ml.Array(allow_nan=True)],
) -> Annotated[np.ndarray, ml.Array(compact=True, allow_nan=True)]: ...


ANY, TABLE, ARRAY, GAPS = map(Schema.of, (_any, _table, _array, _with_gaps))


def dumped(value: Any, schema: Schema = ANY) -> Any:
    return json.loads(schema.dump(value))


# times of numpy and pandas


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (np.datetime64("2025-01-31T12:30", "ns"), "2025-01-31T12:30:00"),
        (np.datetime64("2025-01-31T12:30:00.5", "ns"), "2025-01-31T12:30:00.500000"),
        (np.datetime64("2025-01-31T12:30:00.000000001", "ns"), "2025-01-31T12:30:00.000000001"),
        (np.datetime64("2025-01-31T12", "h"), "2025-01-31T12:00:00"),
        (np.datetime64("2025-01-31", "D"), "2025-01-31"),
        (np.datetime64("2025-01", "M"), "2025-01"),
        (np.datetime64("NaT", "ns"), None),
        (np.timedelta64(90_061, "s"), "P1DT1H1M1S"),
        (np.timedelta64(-1500, "us"), "-PT0.0015S"),
        (np.timedelta64(1, "ns"), "PT0.000000001S"),
        (np.timedelta64(0, "D"), "PT0S"),
        (np.timedelta64(5, "M"), "P5M"),
        (np.array([5]).view("m8")[0], 5),
        (np.timedelta64("NaT", "ns"), None),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Timestamp("2025-01-31T12:30Z"), "2025-01-31T12:30:00Z"),
        (pd.Timedelta(minutes=1), "PT1M"),
        (pd.Period("2025-01", "M"), "2025-01"),
        (pd.Interval(0, 1), "(0, 1]"),
    ],
)
def test_times_and_gaps_are_written_at_any_depth(value: Any, written: Any) -> None:
    for wrap in (lambda v: v, lambda v: [v, [v]], lambda v: {"a": (v, {"b": v})}):
        assert dumped(wrap(value)) == json.loads(json.dumps(wrap(written)))
    json.dumps(presentation.to_parts({"a": value, "b": 1}))
    in_cells = pd.DataFrame({"a": pd.Series([value, "x"], dtype="object")})
    assert dumped(in_cells)[0]["a"] == written


def test_no_time_is_null_where_the_hint_allows_it() -> None:
    def f() -> dict[str, datetime.datetime | None]: ...

    assert dumped({"a": pd.NaT}, Schema.of(f)) == {"a": None}

    def g() -> datetime.datetime: ...

    with pytest.raises(ResultNotEncodable, match="does not match its return hint"):
        Schema.of(g).dump(pd.NaT)


@pytest.mark.parametrize("unit", ["ns", "us", "ms", "s", "m", "h"])
def test_arrays_of_times_are_nested_text(unit: str) -> None:
    times = np.array([["2025-01-31T12:00", "NaT"]], f"M8[{unit}]")
    for schema in (ANY, ARRAY):
        assert dumped(times, schema) == [["2025-01-31T12:00:00", None]]
        assert dumped(times[0, :1].reshape(()), schema) == "2025-01-31T12:00:00"
    assert dumped({"t": [times - times[0, 0]]}) == {"t": [[["PT0S", None]]]}
    assert presentation.to_parts(times)[0]["data"] == [["2025-01-31T12:00:00", None]]


@pytest.mark.parametrize(
    "length",
    [
        datetime.timedelta(days=1, seconds=5),
        datetime.timedelta(microseconds=-1),
        datetime.timedelta(hours=-21, minutes=7),
        datetime.timedelta(0),
    ],
)
def test_durations_of_numpy_are_written_as_those_of_python(length: datetime.timedelta) -> None:
    assert dumped(np.timedelta64(length)) == dumped(length)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (np.datetime64("2025-01-31T12:30", "ns"), "2025-01-31T12:30:00"),
        (np.array(["2025-01-31", "NaT"], "M8[ns]"), ["2025-01-31T00:00:00", None]),
        (np.timedelta64(90, "s"), 90.0),
        (np.array([[60, "NaT"]], "m8[s]"), [[60.0, None]]),
        (pd.Series(pd.to_datetime(["2025-01-31", None])), ["2025-01-31T00:00:00", None]),
        ([pd.NaT, pd.NA, pd.Period("2025", "Y")], [None, None, "2025"]),
    ],
)
def test_a_client_sends_times_as_text_and_durations_as_seconds(value: Any, sent: Any) -> None:
    assert convert(value) == sent
    assert convert(value, {"widget": "array"}) == sent


# cells of tables


class Color(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("cell", "written", "in_csv"),
    [
        (decimal.Decimal("1.10"), "1.10", "1.10"),
        (uuid.UUID(int=1), str(uuid.UUID(int=1)), str(uuid.UUID(int=1))),
        (Color.RED, "red", "red"),
        (pd.Interval(0, 1), "(0, 1]", '"(0, 1]"'),
        (pd.Period("2025-01", "M"), "2025-01", "2025-01"),
        ([1, None], [1, None], '"[1, null]"'),
        ({"a": 1}, {"a": 1}, '"{""a"": 1}"'),
        ({"day": datetime.date(2025, 1, 31)}, {"day": "2025-01-31"}, '"{""day"": ""2025-01-31""}"'),
        (np.array([1.5, np.nan]), [1.5, None], '"[1.5, null]"'),
        (datetime.date(2025, 1, 31), "2025-01-31", "2025-01-31"),
        (datetime.time(12, 30), "12:30:00", "12:30:00"),
        (datetime.timedelta(minutes=1), "PT1M", "PT1M"),
        (b"a", {"b64": "YQ==", "name": "", "media_type": "application/octet-stream"}, None),
    ],
)  # fmt: skip
def test_cells_are_written_as_outside_of_tables(
    cell: Any, written: Any, in_csv: str | None
) -> None:
    frame = pd.DataFrame({"n": [1, 2], "a": pd.Series([cell, None], dtype="object")})
    assert dumped(frame, TABLE) == dumped(frame) == [{"n": 1, "a": written}, {"n": 2, "a": None}]
    assert dumped([cell]) == [written]
    text = codec.encode_response(TABLE, frame, CSV).body.decode()
    assert in_csv is None or text == f"n,a\n1,{in_csv}\n2,\n"
    (part,) = presentation.to_parts(frame, TABLE)
    assert json.loads(json.dumps(part))["data"]["rows"] == [[1, written], [2, None]]
    json.dumps(presentation.to_parts(pd.concat([frame] * 600), TABLE))
    pytest.importorskip("pyarrow")
    for kind in (ARROW, PARQUET):
        found = codec.decode_request(TABLE, kind, codec.encode_response(TABLE, frame, kind).body)[
            "x"
        ]
        assert found["n"].tolist() == [1, 2] and found["a"].isna()[1]
        if isinstance(written, str) and not isinstance(cell, datetime.timedelta):
            assert str(found["a"][0]) == written


def test_whole_columns_of_categories_intervals_and_periods_are_text() -> None:
    frame = pd.DataFrame(
        {
            "bin": pd.cut([1, 5, 9], [0, 5, 10]),
            "span": pd.arrays.IntervalArray.from_breaks([0, 1, 2, 3]),
            "month": pd.PeriodIndex(["2025-01", "NaT", "2025-03"], freq="M"),
            "kind": pd.Categorical(["x", None, "y"]),
        }
    )
    row = {"bin": "(0, 5]", "span": "(0, 1]", "month": "2025-01", "kind": "x"}
    assert dumped(frame)[0] == row
    assert dumped(frame)[1] == {"bin": "(0, 5]", "span": "(1, 2]", "month": None, "kind": None}
    indexed = frame.set_index("bin")
    assert dumped(indexed)[0] == row
    pytest.importorskip("pyarrow")
    for kind in (ARROW, PARQUET):
        found = codec.decode_request(TABLE, kind, codec.encode_response(TABLE, indexed, kind).body)[
            "x"
        ]
        assert found.iloc[0].tolist() == list(row.values())


def test_mixed_columns_are_written_in_every_form() -> None:
    frame = pd.DataFrame({"a": pd.Series([1, "x", None, [2]], dtype="object")})
    assert [row["a"] for row in dumped(frame)] == [1, "x", None, [2]]
    pytest.importorskip("pyarrow")
    for kind in (ARROW, PARQUET):
        found = codec.decode_request(TABLE, kind, codec.encode_response(TABLE, frame, kind).body)[
            "x"
        ]["a"]
        assert found.dropna().tolist() == ["1", "x", "[2]"] and found.isna()[2]


def test_an_index_that_collides_with_a_column_is_named() -> None:
    frame = pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="a"))
    with pytest.raises(ResultNotEncodable, match="both have the name 'a'"):
        TABLE.dump(frame)
    with pytest.raises(TypeError, match="x: the table's index and a column both have the name"):
        encode_arguments({"x": frame}, TABLE.input)


# what a client sends


def sent(value: Any, schema: Schema = TABLE) -> Any:
    """Return what a service gets of a value that the client was given."""
    part = encode_arguments({"x": value}, schema.input)["x"]
    return schema.load({"x": ml.Upload(part.data, part.name, part.media_type)})["x"]


@pytest.fixture(params=["with Arrow", "without"])
def arrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.setattr(client_values, "find_spec", lambda name: None)
    else:
        pytest.importorskip("pyarrow")


@pytest.mark.usefixtures("arrow")
@pytest.mark.parametrize("years", [[2020, 2021, 2022], [2020, 2022, 2025]])
def test_a_named_index_is_sent(years: list[int]) -> None:
    frame = pd.DataFrame({"year": years, "load": [1.5, 2.5, 3.5]})
    pd.testing.assert_frame_equal(sent(frame.set_index("year")), frame)
    assert convert(frame.set_index("year"), {})[0] == {"year": 2020, "load": 1.5}
    two = frame.assign(city="x").set_index(["city", "year"])
    assert list(sent(two).columns) == ["city", "year", "load"]
    assert list(sent(frame["load"].iloc[1:]).columns) == ["load"]
    assert sent(frame.set_index("year")["load"])["year"].tolist() == years


@pytest.mark.usefixtures("arrow")
def test_an_index_without_a_name_that_does_not_count_is_sent() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3]})
    assert sent(frame.iloc[[2, 0, 1]]).columns.tolist() == ["index", "a"]
    times = frame.set_index(pd.date_range("2025", periods=3, tz="UTC"))
    assert sent(times).columns.tolist() == ["time", "a"]


@pytest.mark.usefixtures("arrow")
@pytest.mark.parametrize(
    "cells",
    [
        [1, "a", None],
        ["007", "7", "NA"],
        ["1.5", "true", ""],
        [2**60 + 1, 3, 4],
        [True, False, True],
        [1.5, -0.0, 1e300],
        [1, 2.5, "x"],
    ],
)
def test_a_clients_columns_keep_their_values(cells: list[Any]) -> None:
    frame = pd.DataFrame({"n": [1, 2, 3], "a": cells})
    found = sent(frame)["a"]
    assert found.isna().tolist() == frame["a"].isna().tolist()
    assert found.dropna().tolist() == frame["a"].dropna().tolist()
    assert list(map(type, found.dropna())) == list(map(type, frame["a"].dropna()))


@pytest.mark.usefixtures("arrow")
def test_a_clients_columns_with_gaps_keep_their_digits() -> None:
    frame = pd.DataFrame(
        {"n": pd.array([2**60 + 1, None], "Int64"), "b": pd.array([True, None], "boolean")}
    )
    found = sent(frame)
    assert found["n"][0] == 2**60 + 1 and found["b"][0] and found.isna().all(axis=1).tolist()[1]


@pytest.mark.usefixtures("arrow")
@pytest.mark.parametrize(
    "cell",
    [
        decimal.Decimal("1.10"),
        uuid.UUID(int=1),
        Color.RED,
        pd.Interval(0.5, 1.5),
        pd.Period("2025-01"),
    ],
)
def test_a_clients_cells_that_are_no_plain_values_are_sent(cell: Any) -> None:
    found = sent(pd.DataFrame({"a": [cell, None], "n": [1, 2]}))
    assert str(found["a"][0]) == ("red" if cell is Color.RED else str(cell))
    assert found["n"].tolist() == [1, 2]


def test_a_client_writes_csv_as_the_service_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_values, "find_spec", lambda name: None)

    def f(x: Annotated[pd.DataFrame, ml.Table(decimal=",")]): ...

    frame = pd.DataFrame({"a": [1.5, 1234.0], "b": [1, 2]})
    pd.testing.assert_frame_equal(sent(frame, Schema.of(f)), frame)


def test_a_spreadsheet_that_a_client_sends_is_named(tmp_path: Path) -> None:
    path = tmp_path / "load.xlsx"
    path.write_bytes(b"PK\x03\x04 ... xl/workbook.xml")
    with pytest.raises(InvalidInput, match="Excel files are not supported"):
        sent(path)


def test_a_client_reads_tables_without_rounding() -> None:
    output = {"x-easymlnb": {"widget": "table"}}
    found = revive([{"a": 2**60 + 1, "b": "007"}, {"a": None, "b": None}], output)
    assert found["a"][0] == 2**60 + 1 and found["b"][0] == "007"
    assert decode(CSV, b"a,b\n007,1\n", output)["a"].tolist() == ["007"]
    pa = pytest.importorskip("pyarrow")
    sink = io.BytesIO()
    table = pa.table({"a": [2**60 + 1, None]})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    assert decode(ARROW, sink.getvalue(), output)["a"][0] == 2**60 + 1


# masked arrays


WHOLE = np.ma.array([[1, 999]], mask=[[False, True]])
REAL = np.ma.array([0.5, 999.0], mask=[False, True])


def test_what_is_masked_is_null_at_any_depth() -> None:
    for schema in (ANY, ARRAY):
        assert dumped(WHOLE, schema) == [[1, None]]
        assert dumped(REAL, schema) == [0.5, None]
    assert dumped({"a": [REAL, {"b": WHOLE}], "c": np.ma.masked}) == {
        "a": [[0.5, None], {"b": [[1, None]]}],
        "c": None,
    }
    truths = np.ma.array([True, True], mask=[0, 1])
    times = np.ma.array(np.array(["2025-01-31", "2025-02-01"], "M8[D]"), mask=[0, 1])
    words = np.ma.array(["a", "secret"], mask=[0, 1])
    assert dumped([truths, times, words]) == [[True, None], ["2025-01-31", None], ["a", None]]
    assert dumped(np.ma.array([2**60, 1], mask=[1, 0])) == [None, 1]
    assert dumped(np.ma.array([1, 2])) == [1, 2]


def test_what_is_masked_is_nan_in_bytes_and_views() -> None:
    for array in (WHOLE, REAL):
        found = read_npy(codec.encode_response(ARRAY, array, NPY).body)
        np.testing.assert_array_equal(found, array.astype(float).filled(np.nan))
        assert "999" not in json.dumps(presentation.to_parts(array)[0])
        coded = dumped(array, GAPS)
        assert np.isnan(np.frombuffer(GAPS.load({"x": coded})["x"])[-1])
    long = np.ma.array([2**60, 1], mask=[False, True])
    assert dumped(long) == [2**60, None]
    with pytest.raises(NotAcceptable):
        codec.encode_response(ARRAY, long, NPY)
    json.dumps(presentation.to_parts(long))


def test_what_is_masked_is_nan_in_images() -> None:
    def f() -> Annotated[np.ndarray, ml.Image()]: ...

    masked = np.ma.array(np.full((4, 5), 7, "uint8"), mask=np.eye(4, 5, dtype=bool))
    written = codec.encode_response(Schema.of(f), masked, "image/*")
    assert written.content_type == "image/tiff"
    found = np.asarray(Image.open(io.BytesIO(written.body)))
    np.testing.assert_array_equal(np.isnan(found), masked.mask)


@pytest.mark.parametrize("array", [WHOLE, REAL])
def test_a_client_sends_nan_or_null_for_what_is_masked(array: Any) -> None:
    expected = array.astype(float).filled(np.nan)
    plain = convert(array)
    assert "999" not in json.dumps(plain) and convert([array]) == [plain]
    found = encode_arguments({"x": array}, GAPS.input)["x"]
    np.testing.assert_array_equal(GAPS.load({"x": found})["x"], expected)
    np.testing.assert_array_equal(GAPS.load({"x": array})["x"], expected)
    with pytest.raises(TypeError, match="x: a masked array of int64 has no value"):
        encode_arguments({"x": np.ma.array([2**60, 1], mask=[False, True])}, GAPS.input)
    large = np.ma.array(np.full(10_000, 999.0), mask=True)
    part = encode_arguments({"x": large}, GAPS.input)["x"]
    assert np.isnan(read_npy(part.data)).all()
