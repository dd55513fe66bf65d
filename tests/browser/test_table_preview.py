"""What a form says of a CSV file before it is sent is what the service makes of it then."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from easymlnb.forms.esm_widget import script
from easymlnb.types import delimited

pytestmark = pytest.mark.browser

CHECK_FIELDS = """([bytes, reading, name]) => {
  const { text, problem } = textOf(new Uint8Array(bytes), name, true);
  if (problem || text === undefined) return { problem: problem ?? "" };
  const found = layoutOf(text, reading, true);
  return found && { ...found, words: describeLayout(found, true) };
}"""


@pytest.fixture(scope="module")
def page(chromium: Any) -> Iterator[Any]:
    made = chromium.new_page()
    made.add_script_tag(content=script("csv"))
    yield made
    made.close()


def seen(page: Any, data: bytes, reading: dict[str, Any] | None = None, name: str = "t.csv") -> Any:
    return page.evaluate(CHECK_FIELDS, [list(data), reading or {}, name])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ort;wert\nA;1,5\nB;2,25\n", "2 rows, 2 columns; separator ';', decimal comma"),
        ("id,load\n1,10,\n2,20,\n3,30,\n", "3 rows, 2 columns; separator ','"),
        ("a\tb\n1\t0.5", "1 row, 2 columns; separator tab, decimal point"),
        ("a\n1\n", "1 row, 1 column"),
        ("a,b\n1,2,3\n", "1 row, 2 columns; the rows do not match the header"),
    ],
)
def test_a_preview_says_in_words_how_a_file_is_read(page: Any, text: str, words: str) -> None:
    assert seen(page, text.encode())["words"] == words


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04...", "This file is a spreadsheet"),
        (b"\xd0\xcf\x11\xe0", "which is not supported. Save it as CSV"),
        (b"\x1f\x8b\x08", "is compressed"),
        ("k\xf6ln;1\n".encode("latin-1"), "is not UTF-8 text. Save it as UTF-8"),
        (b"PAR1", ""),
        (b'[{"a": 1}]', ""),
    ],
)
def test_a_preview_refuses_what_is_no_text(page: Any, data: bytes, said: str) -> None:
    assert said in seen(page, data)["problem"]


CELLS = [
    "", "1", "1,5", "1,234", "0.5", "x", "NA", '"a;b"', '"1,2"', '"two\nlines"', '"say ""no"""',
    " 2,5 ", "-,5", '5" x', "1e5",
]  # fmt: skip
FORMS: list[dict[str, str]] = [{}, {}, {"decimal": ","}, {"separator": ";"}]


def made(draw: random.Random) -> tuple[str, dict[str, Any]]:
    said = draw.choice(FORMS)
    sign = said.get("separator") or draw.choice([",", ";", "\t"])
    width = draw.randint(1, 3)
    rows = [[draw.choice(CELLS) for _ in range(width)] for _ in range(draw.randint(0, 4))]
    names = draw.sample(["a", "b, c", '"d;e"', "f", '"g"'], width)
    lines = [sign.join(row) + draw.choice(["", "", sign]) for row in [names, *rows]]
    end = draw.choice(["\n", "\r\n", "\r"])
    reading: dict[str, Any] = {**said, "columns": draw.choice([{}, {"a": "str"}])}
    return draw.choice(["", "\ufeff"]) + end.join(lines) + draw.choice(["", end, end * 2]), reading


def test_a_preview_and_the_service_agree(page: Any) -> None:
    draw = random.Random(7)
    agreed = 0
    for _ in range(400):
        text, said = made(draw)
        plain = text.removeprefix("\ufeff")
        options = {key: said.get(key, "") for key in ("separator", "decimal")}
        reading = delimited.DelimitedOptions(99, said["columns"], **options)
        found = seen(page, text.encode(), said)
        try:
            frame = delimited.read(plain, reading)
            layout = delimited.layout(plain, reading)
        except ValueError:
            continue
        agreed += 1
        assert found["fitting"], (text, found)
        assert [found["sign"], len(found["rows"])] == [layout.separator, len(frame)], text
        assert found["names"] == list(frame.columns), text
        texts = delimited._parse(plain, layout, "object")
        kinds = {at: said["columns"].get(name) for at, name in enumerate(found["names"])}
        expected = options["decimal"] or delimited._decimal(texts, kinds, layout.separator)
        assert found["decimal"] == expected, text
    assert agreed > 200
