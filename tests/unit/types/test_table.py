import contextlib
import io
import json
from typing import Annotated

import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import easymlnb.types as ml
from easymlnb.contract.errors import InvalidInput, ResultNotEncodable
from easymlnb.services import codec, presentation
from easymlnb.services.schema import Schema
from easymlnb.types.table_encoding import ARROW, CSV, PARQUET


def _table(x: pd.DataFrame) -> pd.DataFrame: ...


TABLE = Schema.of(_table)


def load(schema: Schema, value):
    return schema.load_json(json.dumps({"x": value}).encode())["x"]


def refused(schema: Schema, value) -> str:
    with pytest.raises(InvalidInput) as error:
        schema.load({"x": value})
    (found,) = error.value.details
    assert found["field"] == "x"
    return found["message"]


EXPECTED = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


@pytest.mark.parametrize(
    "value",
    [
        [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
        {"a": [1, 2], "b": ["x", "y"]},
        "data:text/csv,a,b%0A1,x%0A2,y",
        {"b64": "YTtiCjE7eAoyO3kK", "name": "t.csv"},
    ],
)
def test_json_forms_of_a_table(value):
    pd.testing.assert_frame_equal(load(TABLE, value), EXPECTED)
    jsonschema.validate({"x": value}, TABLE.input)


@pytest.mark.parametrize(
    "text", ["a,b\n1,x\n2,y", "a;b\r\n1;x\r\n2;y\r\n", "\ufeffa\tb\n1\tx\n2\ty\n"]
)
def test_csv_with_commas_semicolons_tabs(text):
    pd.testing.assert_frame_equal(codec.decode_request(TABLE, CSV, text.encode())["x"], EXPECTED)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (ml.Upload(b""), "empty"),
        (ml.Upload(b"a,b\n1,2,3\n"), "Invalid CSV"),
        (ml.Upload(b"a,b\n1,2\n1,2,3\n"), "Invalid CSV"),
        (ml.Upload(b"a,b\n\xff,1\n"), "UTF-8"),
        (ml.Upload(b"PAR1 and more"), "damaged"),
        (ml.Upload(b"\xff\xff\xff\xff\x00\x01"), "damaged"),
        (ml.Upload(b"[1, 2"), "JSON"),
        ([{"a": 1}, 3], "Row 2"),
        ([{"a": [1]}], "Row 1, column 'a'"),
        ({"a": 3}, "Column 'a' must be a list"),
        ({"a": [1], "b": [1, 2]}, "same length"),
        ({"a": [{}]}, "plain values"),
        (3, "must be a table"),
        (None, "must be a table"),
        ("no table!", "base64"),
    ],
)
def test_what_is_no_table_is_refused(value, said):
    assert said in refused(TABLE, value)


MANY = 300_000
WIDE = ",".join(map(str, range(MANY))).encode()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "value",
    [
        ml.Upload(WIDE + b"\n1\n"),
        ml.Upload(b"a," * MANY + b"a\n1\n"),
        ml.Upload(WIDE.replace(b",", b"\t") + b"\n1\n"),
        ml.Upload(b'"a\n",' * MANY + b"b\n1\n"),
        ml.Upload(b'"""a"",",' * MANY + b"b\n1\n"),
        ml.Upload(b'a",' * MANY + b"b\n1\n"),
        ml.Upload(b"\xef\xbb\xbf\n \n" + WIDE + b"\r1\r"),
        ml.Upload(b"a,b\n" + WIDE + b"\n"),
        ml.Upload(b"a,b\r\n \r\n\r\n" + b'"x",' * MANY + b"1\r\n"),
        {str(at): [1] for at in range(10_001)},
        [{str(at): 1} for at in range(10_001)],
    ],
    ids=range(11),
)
def test_what_is_too_wide_is_refused_before_it_is_read(value):
    assert "exceeds the limit of 10000 columns" in refused(TABLE, value)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a,b\n" + b"1," * 9_000 + b"1\n", "more cells than the first line"),
        (b"a,b\n" + b"\n" * 10**7 + b"1,2\n", "blank lines"),
    ],
)
def test_csv_that_would_take_long_is_refused(text, said):
    assert said in refused(TABLE, ml.Upload(text))


@pytest.mark.parametrize(
    "text",
    [
        b'id,text\n1,"' + b'well, so, ""no"", ' * 20_000 + b'"\n',
        b'id,text\r1,"a\r\nb, c"\r2,d\r',
        b"id\ttext\n\tx\n",
        b",".join(b"id%d" % at for at in range(10_000)) + b"\n" + b"," * 9_999 + b"\n",
    ],
    ids=range(4),
)
def test_long_texts_and_many_columns_are_read(text):
    assert len(TABLE.load({"x": ml.Upload(text)})["x"]) >= 1


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_wide_arrow_and_parquet_are_refused(kind):
    pa = pytest.importorskip("pyarrow")
    table, out = pa.table({str(at): [1] for at in range(10_001)}), io.BytesIO()
    if kind == "arrow":
        with pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table)
    else:
        pytest.importorskip("pyarrow.parquet").write_table(table, out)
    value = ml.Upload(out.getvalue(), media_type=ARROW if kind == "arrow" else "")
    assert "exceeds the limit of 10000 columns" in refused(TABLE, value)


COLUMNS = {"load": "float", "n": "int", "name": "str", "ok": "bool", "at": "datetime", "x": "any"}


def _typed(x: Annotated[pd.DataFrame, ml.Table(columns=COLUMNS)]): ...


TYPED = Schema.of(_typed)
ROW = {"load": 1, "n": 2, "name": "a", "ok": True, "at": "2025-01-31T00:00:00Z", "x": None}


def test_columns_get_their_kinds():
    frame = load(TYPED, [ROW, {**ROW, "load": None, "more": 1}])
    assert frame["load"].dtype == "float64" and frame["n"].dtype == "int64"
    assert frame["ok"].dtype == "bool" and str(frame["at"].dt.tz) == "UTC"
    assert frame["load"].isna().tolist() == [False, True] and "more" in frame.columns
    assert TYPED.input["properties"]["x"]["x-easymlnb"]["columns"] == COLUMNS


def test_columns_of_csv_get_their_kinds():
    text = "load,n,name,ok,at,x\n1.5,2,7,true,2025-01-31,z\n,,,,,\n"
    frame = codec.decode_request(TYPED, CSV, text.encode())["x"]
    assert frame["name"][0] == "7" and frame["n"][0] == 2 and frame["n"].isna()[1]
    assert bool(frame["ok"][0]) is True and frame["at"][0] == pd.Timestamp("2025-01-31")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"load": "much"}, "Column 'load' must contain numbers; row 1 has 'much'"),
        ({"n": 1.5}, "Column 'n' must contain whole numbers; row 1 has '1.5'"),
        ({"ok": "perhaps"}, "Column 'ok' must contain true or false"),
        ({"at": "someday"}, "Column 'at' must contain dates or times"),
        ({"at": 5}, "Column 'at' must contain dates or times"),
    ],
)
def test_wrong_columns_are_named_with_their_row(change, said):
    assert said in refused(TYPED, [{**ROW, **change}])


def test_missing_columns_are_named():
    message = refused(TYPED, ml.Upload(b"load,wrong\n1,2\n"))
    assert "n, name, ok, at, x are missing" in message and "load, wrong" in message


def test_an_unknown_kind_is_the_authors_error():
    with pytest.raises(ValueError, match="kind 'double'"):
        ml.Table(columns={"a": "double"})


def test_rows_are_limited_in_every_form():
    def f(x: Annotated[pd.DataFrame, ml.Table(max_rows=2)]): ...

    schema = Schema.of(f)
    frame = pd.DataFrame({"a": [1, 2, 3]})
    files = [codec.encode_response(TABLE, frame, kind).body for kind in (CSV, ARROW, PARQUET)]
    for value in ([{"a": 1}] * 3, {"a": [1, 2, 3]}, *map(ml.Upload, files), frame):
        assert "2 rows" in refused(schema, value)


CELLS = {
    "i": st.lists(st.integers(-(2**53), 2**53), min_size=2, max_size=5),
    "f": st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=5),
    "s": st.lists(st.text("abc äß,;\"'\n", min_size=1), min_size=2, max_size=5),
    "b": st.lists(st.booleans(), min_size=2, max_size=5),
}


@settings(deadline=None, max_examples=60)
@given(st.fixed_dictionaries(CELLS))
def test_tables_survive(columns):
    rows = min(map(len, columns.values()))
    frame = pd.DataFrame({name: cells[:rows] for name, cells in columns.items()})
    found = TABLE.load_json(b'{"x": ' + TABLE.dump(frame) + b"}")["x"]
    pd.testing.assert_frame_equal(found, frame, check_exact=True)
    for kind in (ARROW, PARQUET):
        written = codec.encode_response(TABLE, frame, kind)
        found = codec.decode_request(TABLE, kind, written.body)["x"]
        pd.testing.assert_frame_equal(found, frame, check_exact=True)


@settings(deadline=None, max_examples=40)
@given(CELLS["i"], CELLS["f"])
def test_numbers_survive_csv(whole, real):
    rows = min(len(whole), len(real))
    frame = pd.DataFrame({"i": whole[:rows], "f": real[:rows]})
    written = codec.encode_response(TABLE, frame, CSV)
    assert written.filename == "table.csv"
    found = codec.decode_request(TABLE, CSV, written.body)["x"]
    assert found["i"].tolist() == frame["i"].tolist()
    assert found["f"].to_numpy() == pytest.approx(frame["f"].to_numpy(), rel=1e-15)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
def test_no_bytes_raise_anything_but_our_errors(data):
    for head in (b"", b"PAR1", b"\xff\xff\xff\xff", b"a,b\n"):
        with contextlib.suppress(InvalidInput):
            TABLE.load({"x": ml.Upload(head + data)})


def test_results_say_what_is_missing_as_null():
    frame = pd.DataFrame(
        {"a": [1.0, np.nan, np.inf], "t": pd.to_datetime(["2025-01-01", None, None], utc=True)}
    )
    assert json.loads(TABLE.dump(frame)) == [
        {"a": 1.0, "t": "2025-01-01T00:00:00Z"},
        {"a": None, "t": None},
        {"a": None, "t": None},
    ]


def test_an_index_that_says_something_is_a_column():
    frame = pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="who"))
    assert TABLE.dump(frame) == b'[{"who":"x","a":1}]'
    assert codec.encode_response(TABLE, frame, CSV).body == b"who,a\nx,1\n"


def test_series_are_tables_of_one_column():
    def f(x: pd.Series) -> pd.Series: ...

    schema = Schema.of(f)
    assert load(schema, {"a": [1, 2]}).tolist() == [1, 2]
    assert schema.dump(pd.Series([1], name="a")) == b'[{"a":1}]'
    assert "one column" in refused(schema, {"a": [1], "b": [2]})


@pytest.mark.parametrize(
    "frame", [pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame({"a": [object()]}), "text"]
)
def test_results_without_a_json_form_are_refused(frame):
    with pytest.raises(ResultNotEncodable):
        TABLE.dump(frame)


def test_people_see_the_first_thousand_rows_and_the_total():
    (part,) = presentation.to_parts(pd.DataFrame({"a": range(1500)}), TABLE)
    assert part["kind"] == "table" and part["data"]["columns"] == ["a"]
    assert len(part["data"]["rows"]) == 1000 and part["data"]["total"] == 1500


def _series(x: ml.TimeSeries) -> ml.TimeSeries: ...


SERIES = Schema.of(_series)


def test_the_time_column_is_found_by_name_then_by_looking():
    by_name = load(SERIES, {"day": ["2025-01-02"], "timestamp": ["2025-01-01"], "v": [1]})
    assert by_name.index.name == "timestamp"
    by_looking = load(SERIES, {"v": [1], "name": ["x"], "when": ["2025-01-01T06:00"]})
    assert by_looking.index.name == "when" and list(by_looking.columns) == ["v", "name"]
    assert "No column contains times" in refused(SERIES, {"v": [1], "w": ["x"]})


def test_times_are_utc_and_sorted():
    frame = load(
        SERIES, {"time": ["2025-06-01T14:00:00+02:00", "2025-06-01T11:00:00Z"], "v": [2, 1]}
    )
    assert str(frame.index.tz) == "UTC" and frame["v"].tolist() == [1, 2]
    assert frame.index[1] == pd.Timestamp("2025-06-01T12:00:00Z")
    assert json.loads(SERIES.dump(frame))[1] == {"time": "2025-06-01T12:00:00Z", "v": 2}


def test_another_zone_is_taken_and_given():
    def f(x: ml.TimeSeries(zone="Europe/Berlin")): ...

    schema = Schema.of(f)
    naive = load(schema, {"time": ["2025-06-01T14:00:00"], "v": [1]})
    assert naive.index[0] == pd.Timestamp("2025-06-01T12:00:00Z")
    assert "ambiguous" in refused(schema, {"time": ["2025-10-26T02:30:00"], "v": [1]})


def test_named_columns_are_kept_as_numbers():
    def f(x: Annotated[pd.DataFrame, ml.TimeSeries(time="t", values="load")]): ...

    schema = Schema.of(f)
    frame = codec.decode_request(schema, CSV, b"t,load,other\n2025-01-01,1,x\n2025-01-02,,y\n")["x"]
    assert list(frame.columns) == ["load"] and frame["load"].isna().tolist() == [False, True]
    own = schema.input["properties"]["x"]["x-easymlnb"]
    assert (own["widget"], own["time"], own["values"]) == ("timeseries", "t", ["load"])
    for text, said in [
        (b"time,load\n2025-01-01,1\n", "column t is missing"),
        (b"t,power\n2025-01-01,1\n", "column load is missing"),
        (b"t,load\n2025-01-01,much\n", "row 1 has 'much'"),
        (b"t,load\nsoon,1\n", "Column 't' must contain dates"),
        (b"t,load\n2025-01-01,1\n,2\n", "no time in row 2"),
        (b"t,load\n2025-01-01,1\n2025-01-01,2\n", "occurs twice"),
        (b"t,load\n5,1\n", "Column 't' must contain dates"),
    ]:
        assert said in refused(schema, ml.Upload(text))


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.datetimes(pd.Timestamp("1900-01-01"), pd.Timestamp("2200-01-01")),
        min_size=1, max_size=5, unique=True,
    )
)  # fmt: skip
def test_time_series_survive(times):
    index = pd.DatetimeIndex(times, name="time").tz_localize("UTC").sort_values()
    frame = pd.DataFrame({"v": np.arange(len(times)) / 3}, index=index)
    found = SERIES.load_json(b'{"x": ' + SERIES.dump(frame) + b"}")["x"]
    pd.testing.assert_frame_equal(found, frame, check_freq=False, check_index_type=False)
    assert (found.index == frame.index).all()
    for kind in (CSV, ARROW, PARQUET):
        body = codec.encode_response(SERIES, frame, kind).body
        found = codec.decode_request(SERIES, kind, body)["x"]
        assert (found.index == frame.index).all()


def test_people_see_a_line_and_the_table():
    index = pd.date_range("2025-01-01", periods=3, tz="UTC")
    line, table = presentation.to_parts(pd.DataFrame({"v": [1.0, None, 3.0]}, index=index), SERIES)
    assert line["kind"] == "plotly" and line["data"]["data"][0]["y"] == [1.0, None, 3.0]
    assert table["data"]["columns"] == ["time", "v"]


def test_the_csv_of_a_time_series_is_read_back_by_pandas():
    index = pd.date_range("2025-01-01", periods=2, freq="h", tz="UTC", name="time")
    body = codec.encode_response(SERIES, pd.DataFrame({"v": [1, 2]}, index=index), CSV).body
    back = pd.read_csv(io.BytesIO(body), index_col="time", parse_dates=True)
    assert (back.index == index).all() and back["v"].tolist() == [1, 2]
