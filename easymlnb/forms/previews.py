"""What a chosen file looks like before it is sent: thumbnail, facts, first rows, curve."""

import base64
import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

MAX_PIXELS = 40_000_000
THUMB = 144
"""Edge of a thumbnail in pixels; shown at half of it, for sharp screens."""

ROWS = 5
COLUMNS = 6
CURVE_POINTS = 400
LOOK_AT = 2 * 2**20
"""Bytes of a text file that a preview reads."""


@dataclass(frozen=True, slots=True)
class Preview:
    """HTML beside the file's name, facts in words, HTML below."""

    thumb: str = ""
    facts: str = ""
    below: str = ""


def size(count: int) -> str:
    """Return a number of bytes in words."""
    for unit, bytes_ in (("MB", 2**20), ("kB", 2**10)):
        if count >= bytes_:
            return f"{count / bytes_:.1f} {unit}".replace(".0 ", " ")
    return f"{count} bytes"


def image(data: bytes, media_type: str, max_pixels: int) -> Preview:
    """A thumbnail; raises ``ValueError`` when the picture has too many pixels to be opened."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        width, height = picture.size
        if width * height > max_pixels:
            raise ValueError(
                f"The picture has {width} \u00d7 {height} pixels; "
                f"at most {max_pixels / 1e6:g} million are read."
            )
        facts = f"{width} \u00d7 {height}" + (", 16 bit" if picture.mode.startswith("I;16") else "")
        picture.draft("RGB", (THUMB, THUMB))
        small = _visible(picture)
        small.thumbnail((THUMB, THUMB))
        out = io.BytesIO()
        small.save(out, "PNG")
    code = base64.b64encode(out.getvalue()).decode()
    return Preview(f'<img class="em-thumb" alt="" src="data:image/png;base64,{code}">', facts)


def _visible(picture: Any) -> Any:
    """Return the picture in 8 bit; deeper ones are stretched over their own range."""
    if picture.mode in ("L", "RGB", "RGBA"):
        return picture.copy()
    if picture.mode[0] in "IF":
        low, high = picture.getextrema()
        scale = 255 / (high - low) if high > low else 0.0
        return picture.convert("F").point(lambda value: value * scale - low * scale).convert("L")
    return picture.convert("RGBA")


def audio(data: bytes, media_type: str, max_pixels: int) -> Preview:
    """A player."""
    if not media_type.startswith("audio/"):
        return Preview()
    code = base64.b64encode(data).decode()
    source = f"data:{escape(media_type, quote=True)};base64,{code}"
    return Preview(below=f'<audio class="em-audio" controls src="{source}"></audio>')


def table(data: bytes, media_type: str, max_pixels: int) -> Preview:
    """The first rows of a CSV file."""
    rows = _rows(data)
    if not rows or len(rows[0]) < 1:
        return Preview()
    head, body = rows[0], rows[1 : ROWS + 1]
    return Preview(facts=f"{len(head)} columns", below=_html_table(head, body))


def timeseries(data: bytes, media_type: str, max_pixels: int) -> Preview:
    """The first column of numbers as a curve, else the first rows."""
    rows = _rows(data)
    if len(rows) < 3:
        return table(data, media_type, max_pixels)
    for column in range(1, len(rows[0])):
        values = [_number(row[column]) for row in rows[1:] if len(row) > column]
        known = [value for value in values if value is not None]
        if len(known) > len(values) / 2 and len(known) > 1:
            facts = f"{len(rows[0])} columns, {len(rows) - 1} rows" + _more(data)
            return Preview(facts=facts, below=curve(known, rows[0][column]))
    return table(data, media_type, max_pixels)


def _more(data: bytes) -> str:
    return " at the beginning" if len(data) > LOOK_AT else ""


def _rows(data: bytes) -> list[list[str]]:
    text = data[:LOOK_AT].decode("utf-8-sig", errors="strict" if len(data) <= LOOK_AT else "ignore")
    try:
        dialect: Any = csv.Sniffer().sniff(text[:4096], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows = [row for row in csv.reader(io.StringIO(text), dialect) if row]
    # The last line may be cut in its middle.
    return rows[:-1] if len(data) > LOOK_AT else rows


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def as_csv(value: Any) -> bytes | None:
    """Return the rows of a table given as records or as columns; None when it is neither."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        head = list(value[0])
        rows = [[row.get(name) for name in head] for row in value]
    elif isinstance(value, dict) and all(isinstance(one, list) for one in value.values()):
        head = list(value)
        rows = [list(row) for row in zip(*value.values(), strict=False)]
    else:
        return None
    out = io.StringIO()
    csv.writer(out).writerows([head, *rows])
    return out.getvalue().encode()


def curve(values: list[float], name: str) -> str:
    """Return numbers as a small line drawing."""
    stride = max(1, len(values) // CURVE_POINTS)
    shown = values[::stride]
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    points = " ".join(
        f"{300 * at / max(1, len(shown) - 1):.1f},{46 - 42 * (value - low) / span:.1f}"
        for at, value in enumerate(shown)
    )
    drawing = f'<polyline points="{points}" vector-effect="non-scaling-stroke"/>'
    return (
        f'<figure class="em-curve"><svg viewBox="0 0 300 50" preserveAspectRatio="none" role="img" '
        f'aria-label="Curve">{drawing}</svg><figcaption>{escape(name)}, '
        f"{low:g} to {high:g}</figcaption></figure>"
    )


def _html_table(head: list[str], body: list[list[str]]) -> str:
    def line(cells: list[str], tag: str) -> str:
        shown = [escape(cell[:40]) for cell in cells[:COLUMNS]] + ["\u2026"] * (
            len(cells) > COLUMNS
        )
        return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in shown) + "</tr>"

    rows = "".join(line(row, "td") for row in body)
    return f'<div class="em-table"><table>{line(head, "th")}{rows}</table></div>'


PREVIEWS: dict[str, Callable[[bytes, str, int], Preview]] = {
    "image": image,
    "webcam": image,
    "audio": audio,
    "table": table,
    "timeseries": timeseries,
}
"""By kind of field; each takes the bytes, their media type and the most pixels to open."""
