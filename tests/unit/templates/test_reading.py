"""Tables as people's programs write them, and their profile."""

import io
import json
import zipfile

import pytest

from easymlnb.contract.errors import CallerError
from easymlnb.templates import column_kinds
from easymlnb.templates.config import parse
from easymlnb.templates.profile import profile
from easymlnb.templates.reading import Reading, read_table
from easymlnb.templates.tabular import look

GERMAN = "Größe;Preis;Datum;Stadt\n" + "".join(
    f"{30 + n},5;{1000 + 10 * n},25;{n % 28 + 1:02d}.03.2024;{'Köln' if n % 2 else 'Bonn'}\n"
    for n in range(40)
)


def test_a_german_csv_is_read_with_its_signs_dates_and_encoding() -> None:
    frame, reading = read_table(GERMAN.encode("windows-1252"), Reading())
    about = profile(frame, reading)
    kinds = {column["name"]: column["kind"] for column in about["columns"]}
    assert reading.encoding == "windows-1252"
    assert (reading.separator, reading.decimal) == (";", ",")
    assert kinds == {"Größe": "number", "Preis": "number", "Datum": "date", "Stadt": "category"}
    assert about["reading"]["dates"] == "day"
    assert about["columns"][0]["min"] == 30.5
    assert about["columns"][2]["min"] == "2024-03-01T00:00:00"


def test_a_reading_that_was_kept_reads_other_data_in_the_same_way() -> None:
    _, reading = read_table(GERMAN.encode("windows-1252"), Reading())
    frame, again = read_table("Größe;Preis\n1,5;2\n".encode("windows-1252"), reading)
    assert again == reading
    assert frame["Größe"].tolist() == [1.5]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("a,b\nä,1\n".encode(), "utf-8"),
        (b"\xef\xbb\xbf" + "a,b\nä,1\n".encode(), "utf-8-sig"),
        ("a,b\nä,1\n".encode("utf-16"), "utf-16"),
        ("a,b\nä,1\n".encode("latin-1"), "windows-1252"),
    ],
)
def test_encodings_are_detected(data: bytes, encoding: str) -> None:
    frame, reading = read_table(data, Reading())
    assert reading.encoding == encoding
    assert frame.iloc[0, 0] == "ä"


def test_the_line_with_which_excel_names_the_separator_is_no_row() -> None:
    frame, reading = read_table(b"sep=;\r\nx;y\r\n1;2\r\n", Reading())
    assert list(frame.columns) == ["x", "y"]
    assert reading.separator == ";"


def _zip() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("xl/workbook.xml", "x")
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"a,b\n", "no rows"),
        (b"\n\n", "empty"),
        (_zip(), "Excel files are not supported"),
        (b"a,a\n1,2\n", "Two columns"),
        (b"a;b\n1;2;3\n", "more cells"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "cannot be read"),
    ],
)
def test_files_that_are_no_table_get_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(CallerError, match=words):
        read_table(data, Reading())


def test_quoted_numbers_with_a_decimal_comma_are_no_thousands() -> None:
    rows = "".join(f'"{n},{n}50","{n},5",1.5\n' for n in range(20))
    data = f"a,b,c\n{rows}".encode()
    about = look(data, parse({"target": "b"}))
    assert about["reading"]["decimal"] == ","
    assert [column.get("max") for column in about["columns"]] == [19.195, 19.5, 1.5]
    kept = parse({"target": "b", "reading": about["reading"]})
    assert look(data, kept)["columns"] == about["columns"]
    thousands = "".join(f'"{n},000",{n}\n' for n in range(1, 20))
    about = look(f"a,b\n{thousands}".encode(), parse({}))
    assert about["columns"][0]["max"] == 19_000


def test_a_table_with_both_decimal_signs_is_read_in_the_same_way_again() -> None:
    data = ("a;b\n" + "".join(f"{n}.5;{n},25\n" for n in range(20))).encode()
    frame, reading = read_table(data, Reading())
    again, kept = read_table(data, reading)
    assert reading.decimal == "." and kept == reading
    assert again.equals(frame) and frame["a"].max() == 19.5
    found = look(data, parse({"target": "a"}))["findings"]
    assert any("cells of 'b' are not numbers, such as '0,25'" in one["message"] for one in found)


def test_bars_separate_cells_and_blanks_around_names_are_no_part_of_them() -> None:
    frame, reading = read_table(b" x |y \n1|2\n", Reading())
    assert (list(frame.columns), reading.separator) == (["x", "y"], "|")
    with pytest.raises(CallerError, match="Two columns have the name 'x'"):
        read_table(b"x, x\n1,2\n", Reading())


@pytest.mark.parametrize(
    "cells",
    [
        ["0001-01-01", "9999-12-31"],
        ["2024-02-30", "2024-02-28"],
        ["1e308", "-1e308"],
        ["NaN", "NaN"],
        ["1e308", "1e308"],
    ],
)
def test_extreme_cells_are_described(cells: list[str]) -> None:
    rows = "".join(f"{cells[n % 2]},{n}\n" for n in range(30))
    about = look(f"a,y\n{rows}".encode(), parse({"target": "y"}))
    json.dumps(about, allow_nan=False)
    assert about["columns"][0]["kind"] == {"N": "empty", "1": "number"}.get(
        cells[0][0], "date"
    ) or (about["columns"][0]["kind"] == "number")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["1.5"] * 19 + ["word"], "2 of 40 cells of 'a' are not numbers, such as 'word'"),
        (["2024-01-02", "2024-02-30"], "cells of 'a' are not dates, such as '2024-02-30'"),
        (["2024-01-02", "02/01/2024"], "'a' has dates in different formats"),
    ],
)
def test_cells_that_differ_from_the_others_are_named(cells: list[str], words: str) -> None:
    rows = "".join(f"{cells[n % len(cells)]},{n * n}\n" for n in range(40))
    found = look(f"a,y\n{rows}".encode(), parse({"target": "y"}))["findings"]
    assert any(words in finding["message"] for finding in found), found


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["2024-01-31", "2024-02-01"], "iso"),
        (["31.01.2024", "01.02.2024"], "day"),
        (["01/31/2024", "02/01/2024"], "month"),
        (["01.02.2024", "03.04.2024"], "day"),
        (["01/02/2024 10:00", "03/04/2024 11:30"], "month"),
        (["31/01/2024", "01/31/2024"], None),
        (["1.5", "2.5"], None),
    ],
)
def test_the_order_of_days_and_months(texts: list[str], order: str | None) -> None:
    assert column_kinds.date_order(texts) == order


def test_dates_that_could_be_read_in_two_ways_are_asked_about() -> None:
    rows = "".join(f"0{n % 9 + 1}/0{(n + 3) % 9 + 1}/2024,{n}\n" for n in range(30))
    data = f"day,value\n{rows}".encode()
    assert look(data, parse({}))["ambiguous_dates"] == ["day"]
    told = look(data, parse({"reading": {"dates": "day"}}))
    assert told["ambiguous_dates"] == []
    assert told["reading"]["dates"] == "day"


def test_findings_name_leaks_ids_and_targets_without_values() -> None:
    rows = "".join(f"id{n},{n},{2 * n},{'a' if n % 3 else 'b'},same\n" for n in range(60))
    data = f"id,x,price,kind,fixed\n{rows}".encode()
    found = look(data, parse({"target": "price"}))["findings"]
    codes = {(finding["code"], finding["column"]) for finding in found}
    assert {("leak", "x"), ("constant", "fixed"), ("id_column", "id")} <= codes
    with pytest.raises(CallerError, match="no column 'nothing'"):
        look(data, parse({"target": "nothing"}))


@pytest.mark.parametrize(
    "given",
    [
        {"algorithm": "magic"},
        {"question": "why"},
        {"columns": {"a": "colour"}},
        {"horizon": 10_000},
        {"unknown": 1},
        {"reading": {"decimal": ";"}},
        {"reading": {"separator": "::"}},
    ],
)
def test_configurations_that_mean_nothing_are_refused(given: dict) -> None:
    with pytest.raises(CallerError, match=next(iter(given)).removesuffix("s")):
        parse(given)
