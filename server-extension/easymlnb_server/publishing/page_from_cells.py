"""The page of an author's notebook: what its tagged cells showed when the worker ran them.

It is taken down as data, in the same words as ``@f.app`` does (``ServiceSpec.app``), so the page is
built by a form kernel that never sees the notebook. Sources of code cells stay out of it; texts
are cleaned where they are drawn.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from nbformat import NotebookNode

from easymlnb.contract.errors import DeploymentFailed
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.workers.notebook_execution import ANSI

CELL = "app"
"""Cells with this tag are shown on the pages of the notebook's services."""

FORM = "app-form"
"""The form is below the first cell with this tag; the cell itself is shown, too."""

LIMIT = 2_000_000
"""Bytes that a page may show, as JSON: each visitor's browser loads them, each page holds them."""

MOST = 200
"""Things that a page may show."""

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif")

TAG = re.compile(r"<[^<>]*>")

Part = dict[str, Any]


def with_pages(specs: Iterable[ServiceSpec], notebook: NotebookNode) -> list[ServiceSpec]:
    """Return the specs with the notebook's page where ``@f.app`` has made none.

    ``notebook`` is executed. Raises ``DeploymentFailed`` as ``page`` does.
    """
    given = list(specs)
    if all(spec.app is not None for spec in given):
        return given
    made = page(notebook)
    return [msgspec.structs.replace(spec, app=made) if spec.app is None else spec for spec in given]


def page(notebook: NotebookNode) -> dict[str, Any] | None:
    """Return the layout that an executed notebook's tagged cells make; None without such cells.

    Raises ``DeploymentFailed`` with the cell at which it is more than a page may show.
    """
    shown: list[dict[str, Any]] = []
    tagged, placed, size = False, False, 0
    for index, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags") or ()
        if CELL not in tags and FORM not in tags:
            continue
        tagged = True
        for part in _parts(cell):
            code = _encoded(part, index, cell)
            size += len(code)
            if size > LIMIT or len(shown) >= MOST:
                raise _refused(
                    index,
                    cell,
                    f"exceeds the page's limits of {MOST} outputs and texts of cells tagged "
                    f"{CELL!r}, and {LIMIT // 10**6} MB in total. Show fewer outputs, or smaller "
                    "images.",
                )
            shown.append({"static": msgspec.json.decode(code)})
        if FORM in tags and not placed:
            placed = True
            shown.append({"part": "form"})
    if not tagged:
        return None
    return {"column": shown if placed else [*shown, {"part": "form"}]}


def _encoded(part: Part, index: int, cell: NotebookNode) -> bytes:
    # There and back, JSON has lost the numbers that no browser and not every database reads.
    try:
        return msgspec.json.encode(part)
    except (ValueError, TypeError) as error:
        raise _refused(index, cell, "has an output that cannot be displayed on a page.") from error


def _refused(index: int, cell: NotebookNode, what: str) -> DeploymentFailed:
    return DeploymentFailed(
        f"Cell {index + 1} of the notebook {what}",
        details={"cell": index, "source": str(cell.source)[:10_000], "traceback": ""},
    )


def _parts(cell: NotebookNode) -> Iterator[Part]:
    if cell.cell_type == "markdown":
        if text := _with_pictures(cell):
            yield {"kind": "markdown", "data": text}
    elif cell.cell_type == "code":
        for output in cell.outputs:
            if output.output_type == "stream":
                # What goes to stderr are warnings and progress, meant for the author.
                if output.name == "stdout" and (said := _plain(output.text)):
                    yield {"kind": "text", "data": said}
            elif "data" in output and (part := _part(output.data)) is not None:
                yield part


def _with_pictures(cell: NotebookNode) -> str:
    """Return a cell's Markdown with the pictures that were dropped into it."""
    text = str(cell.source).strip()
    for name, bundle in (cell.get("attachments") or {}).items():
        for kind, code in bundle.items():
            if kind in PICTURES and isinstance(code, str):
                text = text.replace(f"(attachment:{name})", f"(data:{kind};base64,{_flat(code)})")
    return text


def _part(data: Mapping[str, Any]) -> Part | None:
    """Return the best of an output's forms that a page can show without running anything."""
    if WIDGET in data:
        return None  # there is no kernel of the notebook behind the page
    if isinstance(data.get(PLOTLY), dict):
        return {"kind": "plotly", "data": data[PLOTLY]}
    texts = {kind: value for kind, value in data.items() if isinstance(value, str)}
    if html := _still(texts.get("text/html", "")):
        return {"kind": "html", "data": html}
    if "text/markdown" in texts:
        return {"kind": "markdown", "data": texts["text/markdown"]}
    if "image/svg+xml" in texts:
        code = base64.b64encode(texts["image/svg+xml"].encode(errors="replace")).decode()
        return {"kind": "image", "media_type": "image/svg+xml", "name": "figure", "data": code}
    for kind in PICTURES:
        if kind in texts:
            code = _flat(texts[kind])
            return {"kind": "image", "media_type": kind, "name": "figure", "data": code}
    if "application/json" in data:
        return {"kind": "json", "data": data["application/json"]}
    # The text of HTML that was all script is only the name of the object.
    said = "" if "text/html" in texts else _plain(texts.get("text/plain", ""))
    return {"kind": "text", "data": said} if said else None


def _still(html: str) -> str:
    """Return HTML without scripts and styles, which may be large; empty when nothing is left.

    It is not what makes it safe: that is done where it is drawn.
    """
    for name in ("script", "style"):
        pieces = re.split(rf"(?i)</{name}\s*>", html)
        html = "".join(re.split(rf"(?i)<{name}\b", piece, maxsplit=1)[0] for piece in pieces)
    return html if TAG.sub("", html).strip() or "<img" in html.lower() else ""


def _plain(text: Any) -> str:
    return ANSI.sub("", str(text)).rstrip()


def _flat(code: str) -> str:
    """Return base64 on one line."""
    return "".join(code.split())
