"""Results as widgets: one renderer per kind of part.

A part is ``{"kind", "title", "data"}`` and, where it helps, ``media_type``, ``name`` (of a file)
and ``more``. Bytes are base64. The kinds are those of ``RENDERERS``; any other is shown as JSON.
"""

import json
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from easymlnb.forms import figures
from easymlnb.forms import lean as W
from easymlnb.forms.caller import Part
from easymlnb.forms.grid import grid
from easymlnb.forms.texts import clean, markdown

PLOTLY = "application/vnd.plotly.v1+json"

FOLDED = 40
"""Lines of JSON that are shown without being asked for."""

LONGEST = 100_000
"""Characters of JSON that are shown at all."""

SHORT = 72
"""Characters of JSON that are kept on one line."""

FEW_ROWS = 20
"""Rows of a table that are all in the page at once."""


def _title(part: Part) -> str:
    return str(part.get("title") or "").replace("_", " ")


def titled(part: Part, inner: str, kind: str) -> Any:
    """Return HTML under the part's title."""
    title = _title(part)
    title = title[:1].upper() + title[1:]
    head = f'<div class="em-part-title">{escape(title)}</div>' if title else ""
    return W.HTML(f'<div class="em-part {kind}">{head}{inner}</div>')


def figure(value: Any) -> str:
    """Return a number as people read it: thousands apart, about four figures."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u2009")
    size = abs(value)
    if value != value or size in (float("inf"), 0.0):
        return f"{value:g}"
    if size >= 1e9 or size < 1e-3:
        return f"{value:.4g}"
    places = max(0, 4 - len(str(int(size)))) if size >= 1 else 4
    written = f"{value:,.{places}f}"
    written = written.rstrip("0").rstrip(".") if "." in written else written
    return written.replace(",", "\u2009")


def _stat(part: Part) -> str:
    value, title = part.get("data"), _title(part)
    unit = (part.get("more") or {}).get("unit")
    words = f"{title}, {unit}" if title and unit else title or str(unit or "")
    return (
        f'<div class="em-stat"><b title="{escape(str(value), quote=True)}">'
        f"{escape(figure(value))}</b><span>{escape(words)}</span></div>"
    )


def number(part: Part) -> Any:
    """One big figure."""
    return W.HTML(f'<div class="em-stats">{_stat(part)}</div>')


def text(part: Part) -> Any:
    """Text as it is, lines kept."""
    return titled(part, f'<div class="em-text">{escape(str(part.get("data", "")))}</div>', "")


def rich(part: Part) -> Any:
    """Markdown, as the worker has rendered it: that takes long for some texts."""
    rendered = (part.get("more") or {}).get("html")
    shown = clean(rendered) if isinstance(rendered, str) else markdown(str(part.get("data", "")))
    return titled(part, shown, "em-prose")


def html(part: Part) -> Any:
    """HTML, cleaned."""
    return titled(part, clean(str(part.get("data", ""))), "em-prose")


def written_json(value: Any, indent: str = "") -> str:
    """Return JSON over several lines, with what is short kept on one."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or len(line) <= SHORT:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        entries = [
            f"{json.dumps(str(key), ensure_ascii=False)}: {written_json(one, inner)}"
            for key, one in value.items()
        ]
    else:
        entries = [written_json(one, inner) for one in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    between = f",\n{inner}"
    return f"{opening}\n{inner}{between.join(entries)}\n{indent}{closing}"


def json_value(part: Part) -> Any:
    """JSON, folded when long."""
    written = json.dumps(part.get("data"), ensure_ascii=False)
    if len(written) > LONGEST:
        note = f"The first {figure(LONGEST)} of {figure(len(written))} characters of JSON."
        cut = f'<pre class="em-code">{escape(written[:LONGEST])}</pre>'
        return titled(part, f"<details><summary>{note}</summary>{cut}</details>", "")
    written = written_json(part.get("data"))
    block = f'<pre class="em-code">{escape(written)}</pre>'
    lines = written.count("\n") + 1
    if lines > FOLDED:
        block = f"<details><summary>{lines} lines of JSON</summary>{block}</details>"
    return titled(part, block, "")


def table(part: Part) -> Any:
    """Rows under a head that stays in sight; many of them as a table that sorts and saves."""
    data = part.get("data") or {}
    columns, rows = list(data.get("columns", ())), list(data.get("rows", ()))
    if len(rows) > FEW_ROWS:
        shown = grid(_title(part), data, part.get("more") or {})
        return W.VBox([titled({"title": part.get("title")}, "", ""), shown])
    head = "".join(
        f'<th scope="col"{_aligned(rows, at)}>{escape(str(name))}</th>'
        for at, name in enumerate(columns)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    total = int(data.get("total") or len(rows))
    note = f"The first {figure(len(rows))} of {figure(total)} rows." if total > len(rows) else ""
    inner = (
        f'<div class="em-table" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        + (f'<div class="em-help">{note}</div>' if note else "")
    )
    return titled(part, inner, "")


def _aligned(rows: list[Any], column: int) -> str:
    known = [row[column] for row in rows if len(row) > column and row[column] is not None]
    return ' class="em-num"' if known and _is_number(known[0]) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return "<td></td>"
    if _is_number(value):
        written = f"{value:.6g}" if isinstance(value, float) else str(value)
        return f'<td class="em-num">{written}</td>'
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"<td>{escape(shown)}</td>"


def data_uri(part: Part, family: str, default: str) -> str:
    """Return the part's bytes as a URI that is of the family of media types for sure."""
    media_type = str(part.get("media_type") or default)
    if not media_type.startswith(family):
        media_type = default
    code = escape(str(part.get("data", "")), quote=True)
    return f"data:{escape(media_type, quote=True)};base64,{code}"


def image(part: Part) -> Any:
    """A picture; a click shows it larger, pixel by pixel."""
    source = data_uri(part, "image/", "image/png")
    words = escape(_title(part) or str(part.get("name") or "Result"), quote=True)
    return titled(
        part,
        f'<label class="em-zoom"><input type="checkbox" aria-label="Enlarge: {words}">'
        f'<span><img alt="{words}" src="{source}"></span></label>'
        f'<button type="button" class="em-link" data-em-do="picture" '
        f'data-em-value="{escape(saved_as(part), quote=True)}">Save image</button>',
        "",
    )


def saved_as(part: Part) -> str:
    """Return the name under which a part is saved."""
    name = str(part.get("name") or part.get("title") or "image")
    ending = str(part.get("media_type") or "image/png").rpartition("/")[2].split("+")[0]
    return name if name.endswith(f".{ending}") else f"{name}.{ending}"


def audio(part: Part) -> Any:
    """A player."""
    source = data_uri(part, "audio/", "audio/wav")
    return titled(part, f'<audio class="em-audio" controls src="{source}"></audio>', "")


def plotly(part: Part) -> Any:
    """A plotly figure through the front end's own plotly, which is loaded once and cached."""
    data = part.get("data")
    shown = _self_contained(json.loads(data) if isinstance(data, str) else data)
    out = W.Output()
    out.add_class("em-plot")
    if _unthemed(shown):
        out.add_class("em-plot-themed")
    # Setting the trait works from any thread; capturing a display does not.
    out.outputs = (
        {
            "output_type": "display_data",
            "data": {
                PLOTLY: {
                    "config": {"responsive": True, "displaylogo": False},
                    **figures.fitted(shown or {}),
                }
            },
            "metadata": {},
        },
    )
    # Its own title says more than the name of a result; two would say the same twice.
    title = figures.title(shown or {}) or _title(part)
    return W.VBox([titled({"title": title}, "", ""), out]) if title else out


def _self_contained(value: Any) -> Any:
    """Return a part of a figure without pictures that a browser would load from elsewhere."""
    if isinstance(value, dict):
        return {key: _self_contained(one) for key, one in value.items() if not _far(key, one)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_self_contained(one) for one in value]
    return value


def _far(key: str, value: Any) -> bool:
    return key == "source" and isinstance(value, str) and not value.startswith("data:image/")


def _unthemed(figure: Any) -> bool:
    """Whether a figure leaves its background to whoever shows it."""
    layout = (figure or {}).get("layout") or {}
    return not any(layout.get(key) for key in ("paper_bgcolor", "plot_bgcolor"))


def _link(part: Part) -> str:
    name = str(part.get("name") or part.get("title") or "file")
    code = escape(str(part.get("data", "")), quote=True)
    # As bytes without a meaning: a browser saves it and never opens it as a page.
    return (
        f'<a class="em-button" download="{escape(name, quote=True)}" '
        f'href="data:application/octet-stream;base64,{code}">Download {escape(name)}</a>'
    )


def file(part: Part) -> Any:
    """A download."""
    return W.HTML(f'<div class="em-downloads">{_link(part)}</div>')


def error(part: Part) -> Any:
    """Something that went wrong, said calmly."""
    said = escape(str(part.get("data", "")))
    return titled(part, f'<div class="em-failure" role="alert">{said}</div>', "")


RENDERERS: dict[str, Callable[[Part], Any]] = {
    "number": number,
    "text": text,
    "markdown": rich,
    "html": html,
    "json": json_value,
    "table": table,
    "image": image,
    "plotly": plotly,
    "file": file,
    "audio": audio,
    "error": error,
}

PLACES = {"number": 0, "file": 2}
"""What one wants to know comes first, what one takes away last; the rest keeps its order."""


def draw(parts: Iterable[Part]) -> list[Any]:
    """Return the widgets of a result: numbers in one row, then all else, then the downloads."""
    groups: tuple[list[Part], list[Part], list[Part]] = ([], [], [])
    for part in parts:
        groups[PLACES.get(str(part.get("kind")), 1)].append(part)
    numbers, others, files = groups
    found = [one(part) for part in others]
    if numbers:
        found.insert(0, W.HTML(f'<div class="em-stats">{"".join(map(_stat, numbers))}</div>'))
    if files:
        found.append(W.HTML(f'<div class="em-downloads">{"".join(map(_link, files))}</div>'))
    return found


def one(part: Part) -> Any:
    """Return the widget of one part; a part that cannot be drawn says so and breaks no other."""
    try:
        return RENDERERS.get(str(part.get("kind")), json_value)(part)
    except Exception:
        return error(
            {"title": part.get("title"), "data": "This part of the result cannot be displayed."}
        )
