"""Results as HTML or widgets: one renderer for each kind of part.

A part is ``{"kind", "title", "data"}`` and, where needed, ``media_type``, ``name`` (of a file)
and ``more``. Bytes are base64. The kinds are those of ``RENDERERS``; any other is shown as JSON.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from easymlnb.forms import durations, figures
from easymlnb.forms import shared_style as W
from easymlnb.forms.call_protocol import Part
from easymlnb.forms.markup import Markup, button, element, join
from easymlnb.forms.sanitize import clean, markdown
from easymlnb.forms.tables import FEW_ROWS, grid, is_number, short_table, spaced

PLOTLY = "application/vnd.plotly.v1+json"

FOLDED = 40
"""Lines of JSON above which it is folded."""

LONGEST = 100_000
"""Characters of JSON that are shown."""

SHORT = 72
"""Characters of JSON that stay on one line."""


def _title(part: Part) -> str:
    return str(part.get("title") or "").replace("_", " ")


def _text(part: Part) -> str:
    return str(part.get("data", ""))


def plain_text(part: Part) -> str:
    """Return the text of a part for people: a duration with its units."""
    if (part.get("more") or {}).get("format") == "duration":
        return durations.to_text(_text(part))
    return _text(part)


def titled(part: Part, inner: Markup, classes: str = "") -> Markup:
    """Return HTML under the part's title."""
    title = _title(part)
    head = element("div.em-part-title", title[:1].upper() + title[1:]) if title else None
    return element(f"div.em-part{classes}", head, inner)


def figure(value: Any) -> str:
    """Return a number for people: thousands apart, about four significant digits."""
    if not is_number(value):
        return str(value)
    if isinstance(value, int):
        return spaced(f"{value:,}")
    size = abs(value)
    if value != value or size in (float("inf"), 0.0):
        return f"{value:g}"
    if size >= 1e9 or size < 1e-3:
        return f"{value:.4g}"
    places = max(0, 4 - len(str(int(size)))) if size >= 1 else 4
    written = f"{value:,.{places}f}"
    return spaced(written.rstrip("0").rstrip(".") if "." in written else written)


def _stat(part: Part) -> Markup:
    value, unit = part.get("data"), (part.get("more") or {}).get("unit")
    label = ", ".join(filter(None, (_title(part), str(unit or ""))))
    return element("div.em-stat", element("b", figure(value), title=value), element("span", label))


def _stats(parts: Iterable[Part]) -> Markup:
    return element("div.em-stats", *map(_stat, parts))


def text(part: Part) -> Markup:
    """Text as it is, lines kept."""
    return titled(part, element("div.em-text", plain_text(part)))


def rich(part: Part) -> Markup:
    """Markdown, as the worker has rendered it: that takes long for some texts."""
    rendered = (part.get("more") or {}).get("html")
    shown = clean(rendered) if isinstance(rendered, str) else markdown(_text(part))
    return titled(part, shown, ".em-prose")


def html(part: Part) -> Markup:
    """HTML, cleaned."""
    return titled(part, clean(_text(part)), ".em-prose")


def written_json(value: Any, indent: str = "") -> str:
    """Return JSON over several lines; short values stay on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or len(line) <= SHORT:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        entries = [
            f"{json.dumps(str(key), ensure_ascii=False)}: {written_json(entry, inner)}"
            for key, entry in value.items()
        ]
    else:
        entries = [written_json(entry, inner) for entry in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    separator = f",\n{inner}"
    return f"{opening}\n{inner}{separator.join(entries)}\n{indent}{closing}"


def json_value(part: Part) -> Markup:
    """JSON, folded when long."""
    written = json.dumps(part.get("data"), ensure_ascii=False)
    note = ""
    if len(written) > LONGEST:
        note = f"The first {figure(LONGEST)} of {figure(len(written))} characters of JSON."
        written = written[:LONGEST]
    else:
        written = written_json(part.get("data"))
        lines = written.count("\n") + 1
        note = f"{lines} lines of JSON" if lines > FOLDED else ""
    block = element("pre.em-code", written)
    return titled(part, element("details", element("summary", note), block) if note else block)


def table(part: Part) -> Any:
    """A table; a long one sorts and saves."""
    data = part.get("data") or {}
    if len(data.get("rows", ())) <= FEW_ROWS:
        return titled(part, short_table(data))
    shown = grid(_title(part), data, part.get("more") or {})
    return W.box(W.HTML(titled(part, Markup())), shown)


def data_uri(part: Part, family: str, default: str) -> str:
    """Return the part's bytes as a URI with a media type of the family."""
    media_type = str(part.get("media_type") or default)
    return f"data:{media_type if media_type.startswith(family) else default};base64,{_text(part)}"


def image(part: Part) -> Markup:
    """A picture; a click shows it larger, pixel by pixel."""
    words = _title(part) or str(part.get("name") or "Result")
    picture = element("img", alt=words, src=data_uri(part, "image/", "image/png"))
    switch = element("input", type="checkbox", aria_label=f"Enlarge: {words}")
    zoom = element("label.em-zoom", switch, element("span", picture))
    return titled(part, join((zoom, button("Save image", "picture", file_name(part)))))


def file_name(part: Part) -> str:
    """Return the name under which a picture is saved."""
    name = str(part.get("name") or part.get("title") or "image")
    ending = str(part.get("media_type") or "image/png").rpartition("/")[2].split("+")[0]
    return name if name.endswith(f".{ending}") else f"{name}.{ending}"


def audio(part: Part) -> Markup:
    """A player."""
    source = data_uri(part, "audio/", "audio/wav")
    return titled(part, element("audio.em-audio", controls=True, src=source))


def plotly(part: Part) -> Any:
    """A plotly figure through the front end's own plotly, which is loaded once and cached."""
    data = part.get("data")
    shown = figures.self_contained(json.loads(data) if isinstance(data, str) else data) or {}
    out = W.Output()
    out.add_class("em-plot")
    if figures.has_no_background(shown):
        out.add_class("em-plot-themed")
    config = {"responsive": True, "displaylogo": False}
    bundle = {PLOTLY: {"config": config, **figures.fitted(shown)}}
    # Setting the trait works in any thread; capturing a display does not.
    out.outputs = ({"output_type": "display_data", "data": bundle, "metadata": {}},)
    # The figure's own title is more precise than the name of a result.
    title = figures.title(shown) or _title(part)
    return W.box(W.HTML(titled({"title": title}, Markup())), out) if title else out


def _download(part: Part) -> Markup:
    name = str(part.get("name") or part.get("title") or "file")
    # Without a specific type, a browser saves the bytes and never opens them as a page.
    uri = f"data:application/octet-stream;base64,{_text(part)}"
    return element("a.em-button", f"Download {name}", download=name, href=uri)


def _downloads(parts: Iterable[Part]) -> Markup:
    return element("div.em-downloads", *map(_download, parts))


def error(part: Part) -> Markup:
    """An error message."""
    return titled(part, element("div.em-failure", _text(part), role="alert"))


RENDERERS: dict[str, Callable[[Part], Any]] = {
    "number": lambda part: _stats([part]),
    "text": text,
    "markdown": rich,
    "html": html,
    "json": json_value,
    "table": table,
    "image": image,
    "plotly": plotly,
    "file": lambda part: _downloads([part]),
    "audio": audio,
    "error": error,
}


def draw(parts: Iterable[Part], old: Sequence[Any] = ()) -> list[Any]:
    """Return the widgets of a result: numbers in one row, then all else, then the downloads.

    Widgets of an ``old`` result that only have HTML are reused: to change one takes one message to
    the page, and to replace it takes three.
    """
    return [
        piece if not isinstance(piece, Markup) else _html(piece, old[at] if at < len(old) else None)
        for at, piece in enumerate(_pieces(parts))
    ]


def _html(markup: Markup, old: Any) -> Any:
    if type(old) is not W.HTML:
        return W.HTML(markup)
    old.value = markup
    return old


def _pieces(parts: Iterable[Part]) -> list[Any]:
    """Return HTML as ``Markup`` and all else as widgets."""
    groups: dict[str, list[Part]] = {"number": [], "file": [], "": []}
    for part in parts:
        groups.get(str(part.get("kind")), groups[""]).append(part)
    numbers = [_stats(groups["number"])] if groups["number"] else []
    downloads = [_downloads(groups["file"])] if groups["file"] else []
    return [*numbers, *map(_piece, groups[""]), *downloads]


def render(part: Part) -> Any:
    """Return the widget of a part."""
    piece = _piece(part)
    return W.HTML(piece) if isinstance(piece, Markup) else piece


def _piece(part: Part) -> Any:
    """Return a part; one that cannot be displayed does not affect the others."""
    try:
        return RENDERERS.get(str(part.get("kind")), json_value)(part)
    except Exception:
        return error(
            {"title": part.get("title"), "data": "This part of the result cannot be displayed."}
        )
