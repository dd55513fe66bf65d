"""What a table file holds arrives as it is: no shifted columns, no lost digits."""

import base64
import io
import json
import resource
import zipfile
from typing import Annotated, Any

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import easymlnb.types as ml
from easymlnb.contract.errors import InvalidInput
from easymlnb.services import codec
from easymlnb.services.schema import Schema
from easymlnb.types import delimited
from easymlnb.types.table_encoding import ARROW, CSV, PARQUET


def schema(marker: Any) -> Schema:
    def f(x: Annotated[pd.DataFrame, marker]): ...

    return Schema.of(f)


PLAIN = schema(ml.Table())


def read(text: str | bytes, marker: Any = None, kind: str = CSV) -> pd.DataFrame:
    data = text.encode() if isinstance(text, str) else text
    return codec.decode_request(schema(marker) if marker else PLAIN, kind, data)["x"]


def refused(text: str | bytes, marker: Any = None, kind: str = CSV) -> str:
    with pytest.raises(InvalidInput) as error:
        read(text, marker, kind)
    return error.value.details[0]["message"]


def form(data: bytes, part: str = "text/csv") -> tuple[str, bytes]:
    head = (
        f'--b\r\nContent-Disposition: form-data; name="x"; filename="t.csv"\r\nContent-Type: {part}'
    )
    return "multipart/form-data; boundary=b", head.encode() + b"\r\n\r\n" + data + b"\r\n--b--\r\n"


# rows and names


@pytest.mark.parametrize(
    "text",
    [
        "id,load\n1,10,\n2,20,\n3,30,\n",
        "id,load,\n1,10,\n2,20,\n3,30,\n",
        "id,load,\n1,10\n2,20\n3,30\n",
        "id,load\n1,10,,\n2,20\n3,30, \n",
        'id;load\r\n1;"10";\r\n\r\n2;20;\r\n3;30\r\n\r\n',
        "\ufeffid\tload\n1\t10\t\n2\t20\t\n3\t30\t",
        "id,load\r1,10\r2,20\r3,30\r",
    ],
)
def test_a_separator_at_the_end_shifts_no_column(text: str) -> None:
    expected = pd.DataFrame({"id": [1, 2, 3], "load": [10, 20, 30]})
    pd.testing.assert_frame_equal(read(text), expected)
    content_type, body = form(text.encode())
    pd.testing.assert_frame_equal(codec.decode_request(PLAIN, content_type, body)["x"], expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2,3\n4,5,6\n", "row 1 has more cells than the first line (3, not 2)"),
        ("a,b\n1,2\n1,2,3\n", "row 2 has more cells"),
        (
            "a,b,c\n1,2\n4,5,6\n",
            "row 1 has fewer cells than the first line (2, not 3); write an empty cell",
        ),
        ('a,b\n"1,5",2\n"3,4"\n', "row 2 has fewer cells"),
        ("a,a\n1,2\n", "Two columns have the name 'a'"),
        ('a,b\n"1,2\n3,4\n', "Invalid CSV"),
        ("a,b;c\n1,2;3\n", "by a comma or by a semicolon"),
        ("", "empty"),
        (" \n\n", "empty"),
    ],
)
def test_what_does_not_fit_the_first_line_is_refused(text: str, said: str) -> None:
    assert said in refused(text)


def test_the_separator_is_the_one_that_fits_every_row() -> None:
    frame = read("time;load, kW;note\n1;2;3\n")
    assert list(frame.columns) == ["time", "load, kW", "note"]
    frame = read('"load, kW, net";note\n1;a\n2;b\n')
    assert list(frame.columns) == ["load, kW, net", "note"]
    assert list(read("a|b\n1|2\n", ml.Table(separator="|")).columns) == ["a", "b"]
    assert read("a,b\n1,2\n", ml.Table(separator=";")).columns.tolist() == ["a,b"]


def test_quoted_lines_and_separators_are_one_cell() -> None:
    frame = read('a,"b\nc"\n"x\r\ny","1,""2"""\n" ",z\n')
    assert list(frame.columns) == ["a", "b\nc"]
    assert frame["b\nc"].tolist() == ['1,"2"', "z"] and frame["a"].tolist() == ["x\r\ny", " "]


def test_lines_that_end_in_a_lone_cr_take_little_memory() -> None:
    """pandas 2 asks for 16 GB for this text."""
    text = (
        'f;b, c;"g";\r1e5;"say ""no""";"say ""no""";\r 2,5 ;1e5;"a;b";\r-,5;1;"two\nlines"\r'
        " 2,5 ; 2,5 ;;\r\r"
    )
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 2**32, limits[1]))
    try:
        frame = read(text, ml.Table(separator=";"))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert frame["g"].tolist()[:3] == ['say "no"', "a;b", "two\nlines"]


def test_a_column_without_a_name_is_called_by_its_place() -> None:
    assert list(read(",a\n0,1\n").columns) == ["Unnamed: 0", "a"]
    assert list(read("a,\n0,1\n").columns) == ["a", "Unnamed: 1"]


def test_a_header_alone_is_a_table_without_rows() -> None:
    assert read("a,b\n").shape == (0, 2)
    typed = read("a,b\n", ml.Table(columns={"a": "str", "b": "int"}))
    assert typed.shape == (0, 2)


# types


def test_declared_text_stays_as_it_was_written() -> None:
    marker = ml.Table(columns={"code": "str"})
    text = "code,country\n007,NA\n010,DE\n,FR\n"
    frame = read(text, marker)
    assert frame["code"].tolist()[:2] == ["007", "010"] and frame["code"].isna()[2]
    assert frame["country"].tolist() == ["NA", "DE", "FR"]
    content_type, body = form(text.encode())
    found = codec.decode_request(schema(marker), content_type, body)["x"]
    pd.testing.assert_frame_equal(found, frame)
    other = "code,n\n1e5,1\nNA,2\n+4915,3\n12345678901234567890,4\n1.50,5\nTrue,6\n"
    cells = ["1e5", "NA", "+4915", "12345678901234567890", "1.50", "True"]
    assert read(other, marker)["code"].tolist() == cells


@pytest.mark.parametrize(
    "value",
    [
        [{"code": 7}, {"code": None}, {"code": "010"}],
        [{"code": 7}, {}, {"code": "010"}],
        {"code": [7, None, "010"]},
    ],
)
def test_declared_text_of_json_is_not_rounded(value: Any) -> None:
    body = json.dumps({"x": value}).encode()
    found = schema(ml.Table(columns={"code": "str"})).load_json(body)["x"]["code"]
    assert [found[0], found[2]] == ["7", "010"] and found.isna().tolist() == [False, True, False]


@pytest.mark.parametrize("kind", [ARROW, PARQUET])
def test_declared_columns_of_arrow_are_not_rounded(kind: str) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"code": [7, None], "n": [2**60 + 1, None], "ok": [True, None]})
    sink = io.BytesIO()
    if kind == PARQUET:
        pytest.importorskip("pyarrow.parquet").write_table(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    frame = read(sink.getvalue(), ml.Table(columns={"code": "str"}), kind)
    assert frame["code"][0] == "7" and frame["code"].isna()[1]
    assert frame["n"][0] == 2**60 + 1 and frame["ok"].dtype == "boolean"
    whole = read(sink.getvalue(), ml.Table(columns={"code": "int", "n": "int"}), kind)
    assert whole["code"][0] == 7 and whole["n"][0] == 2**60 + 1


def test_columns_get_a_type_only_where_it_loses_nothing() -> None:
    text = (
        "zip,phone,long,big,gap,id,part,mix,word,ok,some,none\n"
        "01234,+491234,9007199254740993,12345678901234567890123,1,1e5,1.5,1,NA,true,True,\n"
        "99999,+491235,,1,,2e7,2,x,DE,FALSE,,\n"
    )
    frame = read(text)
    assert frame["zip"].tolist() == ["01234", "99999"]
    assert frame["phone"].tolist() == ["+491234", "+491235"]
    assert frame["long"][0] == 9007199254740993 and frame["long"].isna()[1]
    assert frame["big"].tolist() == ["12345678901234567890123", "1"]
    assert frame["gap"].dtype == "float64" and frame["id"].tolist() == [1e5, 2e7]
    assert frame["part"].tolist() == [1.5, 2.0] and frame["mix"].tolist() == ["1", "x"]
    assert frame["word"].tolist() == ["NA", "DE"] and frame["ok"].tolist() == [True, False]
    assert frame["some"].dtype == "boolean" and frame["none"].isna().all()


def test_words_for_missing_values_count_among_numbers() -> None:
    frame = read("a,b,c,d\n1,NA,true,NA\nNA,0.5,NaN,x\n")
    assert frame["a"].tolist()[0] == 1 and frame["a"].isna()[1]
    assert frame["b"].isna()[0] and frame["c"].isna()[1] and frame["d"].tolist() == ["NA", "x"]
    kinds = {"a": "int", "b": "float", "c": "bool", "d": "datetime"}
    declared = read("a,b,c,d\n1,NA,true,2025-01-31\nNA,0.5,,null\n", ml.Table(columns=kinds))
    assert declared.isna().to_numpy().tolist() == [
        [False, True, False, False],
        [True, False, True, True],
    ]
    assert "row 1 has 'x'" in refused("a\nx\n", ml.Table(columns={"a": "int"}))


@pytest.mark.parametrize("value", ["9007199254740993", "-9223372036854775808", "+7", "007", "2.0"])
def test_declared_whole_numbers_keep_their_digits(value: str) -> None:
    marker = ml.Table(columns={"n": "int"})
    expected = int(float(value)) if "." in value else int(value)
    assert read(f"n,m\n{value},\n", marker)["n"].tolist() == [expected]
    assert read(f"n,m\n{value},\n,\n", marker)["n"].tolist()[0] == expected
    body = json.dumps({"x": [{"n": expected}, {"n": None}]}).encode()
    assert schema(marker).load_json(body)["x"]["n"].tolist()[0] == expected


@pytest.mark.parametrize("value", ["9223372036854775808", "1e+30", "1.5", "0x10", "1_000", "1 000"])
def test_what_is_no_whole_number_is_refused(value: str) -> None:
    assert f"row 1 has '{value}'" in refused(f"n,m\n{value},\n", ml.Table(columns={"n": "int"}))


def test_json_numbers_keep_their_digits() -> None:
    body = json.dumps({"x": {"n": [2**60 + 1, None], "b": [True, None], "u": [2**63, 1]}}).encode()
    frame = PLAIN.load_json(body)["x"]
    assert frame["n"][0] == 2**60 + 1 and frame["b"].dtype == "boolean"
    assert frame["u"].tolist() == [2**63, 1]


NUMBERS = "0 1 -2 007 -07 +1 1.5 .5 2. -0.25 1e5 1E-3 1e999 0x1F 1_000 --1 1e 1,5 1,234 1.234,5"
LONG = "9007199254740993 12345678901234567890 123456789012345678901"
WORDS = 'inf -inf Infinity nan NA null true FALSE True x 2025-01-31 01.02.2025 a"b'
CELLS = st.sampled_from(["", " 3", "4 ", *f"{NUMBERS} {LONG} {WORDS}".split()])


@settings(deadline=None, max_examples=150)
@given(st.lists(CELLS, min_size=1, max_size=4), st.sampled_from([",", ";", "\t"]))
@example(["1e999", "1"], ";")
@example(["nan"], ",")
@example(["inf"], ",")
def test_the_fast_way_reads_what_the_careful_one_reads(cells: list[str], mark: str) -> None:
    rows = [cell if mark not in cell else f'"{cell}"' for cell in cells]
    text = f"a{mark}b\n" + "".join(f"{row}{mark}x\n" for row in rows)
    reading = delimited.DelimitedOptions(10, separator=mark)
    careful = delimited.read(text + f"{mark}+1\n", reading)["a"].iloc[:-1]
    fast = delimited.read(text, reading)["a"]
    if not careful.isna().any():
        # The row that asks for care has a gap, which is what whole numbers become floats by.
        assert fast.tolist() == careful.tolist()
    assert fast.isna().tolist() == careful.isna().tolist()


# decimals, charsets and other files


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ort;wert\nA;1,5\nB;2,25\n", [1.5, 2.25]),
        ("ort\twert\nA\t1,5\nB\t\n", [1.5, None]),
        ("ort;wert\nA;1,234\nB;0,5\n", [1.234, 0.5]),
        ('ort;wert\nA;"-1,5"\nB;,25\n', [-1.5, 0.25]),
        ("ort;wert\nA;1,5e3\nB;NA\n", [1500, None]),
        ("ort;wert\nA;1,5\nB;3\n", [1.5, 3]),
        ("ort;n;wert\nA;1.000;1,5\nB;2.500;3\n", [1.5, 3]),
    ],
)
def test_decimal_commas_are_read_where_they_can_be_nothing_else(
    text: str, expected: list[float | None]
) -> None:
    frame = read(text)
    assert frame["wert"].dtype == "float64"
    assert frame["wert"].replace({np.nan: None}).tolist() == expected
    declared = read(text, ml.Table(columns={"wert": "float"}))
    assert declared["wert"].dtype == "float64"
    assert read(text, ml.Table(columns={"wert": "str"}))["wert"][0].strip('"') in text


@pytest.mark.parametrize(
    "text",
    [
        "a;b\nx;1,234\ny;5,678\n",
        "a;b\n1.234;1,234\n",
        "a;b\n0.5;1,5\n0.7;2,5\n",
        "a;b\nx;1.234,56\n",
        'a,b\nx,"1,5"\n',
        "a;b\nx;1,5\ny;n.a.\n",
        "a;b\nx;1,2,3\n",
    ],
)
def test_doubtful_numbers_stay_text_and_are_refused_where_declared(text: str) -> None:
    assert not pd.api.types.is_numeric_dtype(read(text)["b"])
    said = refused(text, ml.Table(columns={"b": "float"}))
    assert "Column 'b' must contain numbers; row " in said


def test_a_parameter_can_say_how_its_numbers_are_written() -> None:
    marker = ml.Table(columns={"b": "float"}, decimal=",")
    assert read("a;b\nx;1,234\ny;5,678\n", marker)["b"].tolist() == [1.234, 5.678]
    assert read('a,b\n"2,5","1,5"\n', ml.Table(decimal=",")).iloc[0].tolist() == [2.5, 1.5]
    said = refused("a;b\nx;1.5\n", marker)
    assert "row 1 has '1.5'. Write numbers with a decimal comma" in said
    assert "a decimal point and without thousands separators" in refused(
        "a;b\nx;1,5\n", ml.Table(columns={"b": "float"}, decimal=".")
    )
    own = schema(ml.Table(decimal=",", separator=";")).input["properties"]["x"]["x-easymlnb"]
    assert (own["decimal"], own["separator"]) == (",", ";")
    series = ml.TimeSeries(time="t", values="v", decimal=",")
    assert read("t;v\n2025-01-31;1,234\n", series)["v"].tolist() == [1.234]
    for options in ({"decimal": "x"}, {"separator": ",,"}, {"separator": ",", "decimal": ","}):
        with pytest.raises(ValueError, match=r"decimal|separator"):
            ml.Table(**options)


TEXT = "city;n\nKöln;1\nMünchen;2\n"


@pytest.mark.parametrize("charset", ["latin-1", "windows-1252", "UTF-8", "utf-16", '"cp1252"'])
def test_the_charset_of_the_content_type_counts(charset: str) -> None:
    data = TEXT.encode(charset.strip('"'))
    kind = f"text/csv; header=present; charset={charset}"
    coded = base64.b64encode(data).decode()
    json_forms = [
        {"b64": coded, "media_type": kind, "name": "t.csv"},
        f"data:text/csv;charset={charset};base64,{coded}",
    ]
    found = [
        codec.decode_request(PLAIN, kind, data)["x"],
        codec.decode_request(PLAIN, *form(data, kind))["x"],
    ]
    found += [PLAIN.load_json(json.dumps({"x": one}).encode())["x"] for one in json_forms]
    for frame in found:
        assert frame["city"].tolist() == ["Köln", "München"]


def test_a_byte_order_mark_says_the_charset() -> None:
    for charset in ("utf-8-sig", "utf-16", "utf-32"):
        assert read(TEXT.encode(charset))["city"].tolist() == ["Köln", "München"]


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (
            TEXT.encode("latin-1"),
            CSV,
            "is not valid UTF-8 text (byte 8). Save the file as UTF-8, or set",
        ),
        (
            TEXT.encode("latin-1"),
            f"{CSV};charset=utf-8",
            "is not valid text in utf-8, the charset of its content",
        ),
        (TEXT.encode(), f"{CSV};charset=klingon", "Unknown charset 'klingon'"),
        (TEXT.encode(), f"{CSV};charset=punycode", "Unknown charset 'punycode'"),
        (TEXT.encode(), f"{CSV};charset=base64", "Unknown charset 'base64'"),
        (TEXT.encode("utf-16-le"), CSV, "not valid UTF-8"),
        ("a;b\n1;2\n".encode("utf-16-le"), CSV, "NUL"),
    ],
)
def test_text_in_another_charset_is_refused_with_what_to_do(
    data: bytes, kind: str, said: str
) -> None:
    assert said in refused(data, None, kind)


def workbook(name: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr(name, "x")
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (workbook("xl/workbook.xml"), "Excel files are not supported. Save the table as CSV"),
        (
            workbook("opendocument.spreadsheet"),
            "OpenDocument files are not supported. Save the table as CSV",
        ),
        (workbook("table.csv"), "ZIP files are not supported"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest",
            "Excel files are not supported. Save the table as CSV",
        ),
        (b"\x1f\x8b\x08rest", "Compressed files are not supported. Unpack"),
    ],
)
def test_spreadsheets_and_archives_are_named(data: bytes, said: str) -> None:
    assert said in refused(data)
    content_type, body = form(data, "application/octet-stream")
    with pytest.raises(InvalidInput, match=said):
        codec.decode_request(PLAIN, content_type, body)


# times


ZONED = schema(ml.TimeSeries(zone="Europe/Berlin"))


@pytest.mark.parametrize("named", [None, "time"])
def test_times_with_and_without_an_offset_may_be_mixed_where_a_zone_is_given(
    named: str | None,
) -> None:
    marker = ml.TimeSeries(time=named, zone="Europe/Berlin")
    text = "time,load\n2025-01-31T12:00:00,1\n2025-01-31T13:30:00+01:00,2\n2025-01-31 14:00Z,3\n"
    frame = read(text, marker)
    berlin = [time.isoformat() for time in frame.index]
    assert berlin == [
        "2025-01-31T12:00:00+01:00",
        "2025-01-31T13:30:00+01:00",
        "2025-01-31T15:00:00+01:00",
    ]
    records = pd.read_csv(io.StringIO(text)).to_dict("records")
    found = schema(marker).load_json(json.dumps({"x": records}).encode())["x"]
    pd.testing.assert_frame_equal(found, frame)
    utc = read(text, ml.TimeSeries(time=named))
    assert utc.index[0] == pd.Timestamp("2025-01-31T12:00Z") and utc["load"].tolist() == [1, 2, 3]


def test_clock_changes_are_refused_unless_the_offset_is_sent() -> None:
    marker = ml.TimeSeries(zone="Europe/Berlin")
    for time in ("2025-10-26T02:30:00", "2025-03-30T02:30:00"):
        said = refused(f"time,v\n{time},1\n2025-07-01T00:00+02:00,2\n", marker)
        assert f"The time {time} is ambiguous or does not exist in Europe/Berlin" in said
    text = "time,v\n2025-10-26T02:30:00+02:00,1\n2025-10-26T02:30:00+01:00,2\n2025-10-26T04:00,3\n"
    frame = read(text, marker)
    assert [str(time.utcoffset()) for time in frame.index] == ["2:00:00", "1:00:00", "1:00:00"]


def test_declared_times_are_not_mixed_without_a_zone() -> None:
    marker = ml.Table(columns={"at": "datetime"})
    text = "at,n\n2025-01-31T13:30:00+01:00,1\n2025-01-31T12:00:00,2\n"
    said = refused(text, marker)
    assert said.startswith("Column 'at' mixes times with and without an offset; row 2 has")
    offsets = read("at,n\n2025-01-31T13:30+01:00,1\n,2\n2025-01-31T12:00+0200,3\n", marker)["at"]
    assert offsets[0] == pd.Timestamp("2025-01-31T12:30Z") and offsets.isna().tolist() == [
        False,
        True,
        False,
    ]
    for bare in ("45688", "1738324800", "2025"):
        assert f"row 1 has '{bare}'" in refused(f"at,n\n{bare},1\n", marker)


def test_an_unknown_zone_is_the_authors_error() -> None:
    for zone in ("Mars/Phobos", "", "../etc/passwd"):
        with pytest.raises(ValueError, match="zone="):
            ml.TimeSeries(zone=zone)


def test_thousands_with_points_stay_text_beside_decimal_commas() -> None:
    assert read("n;v\n1.000;1,5\n")["n"].tolist() == ["1.000"]


def test_a_name_may_begin_as_json_does() -> None:
    assert list(read("[kW],b\n1,2\n").columns) == ["[kW]", "b"]


def test_a_few_names_make_no_table_of_ten_thousand_columns() -> None:
    text = "a" + "," * 9_000 + "\n" + "1\n" * 1000
    assert read(text).shape == (1000, 1)
    assert "row 2 has fewer cells" in refused("a" + "," * 9 + "\n" + "1," * 9 + "1\n" + "1\n")


# the index


def test_an_index_in_a_file_is_a_column() -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"year": [2020, 2021], "v": [1.5, 2.5]}).set_index("year")
    named = frame.rename_axis("when").set_axis(pd.date_range("2025", periods=2, tz="UTC"))
    for kind, write in (
        (PARQUET, frame.to_parquet),
        (PARQUET, frame.rename({2021: 2023}).to_parquet),
    ):
        found = read(write(), ml.Table(columns={"year": "int"}), kind)
        assert list(found.columns) == ["year", "v"]
    series = read(named.to_parquet(), ml.TimeSeries(time="t"), PARQUET)
    assert series.index.name == "t" and series["v"].tolist() == [1.5, 2.5]
