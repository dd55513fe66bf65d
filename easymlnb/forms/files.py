"""Controls for files: choose, look at it, take it away again."""

import base64
import binascii
import mimetypes
from collections.abc import Callable, Sequence
from html import escape
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from easymlnb.forms import lean as W
from easymlnb.forms.fields import MISSING, Make
from easymlnb.forms.node import Node
from easymlnb.forms.previews import MAX_PIXELS, PREVIEWS, Preview, as_csv, size

WORDS = {
    "image": "image",
    "webcam": "photo",
    "audio": "recording",
    "table": "table",
    "timeseries": "time series",
}

ENDINGS = {
    "application/vnd.apache.arrow.stream": (".arrow", ".arrows"),
    "application/vnd.apache.parquet": (".parquet",),
    "application/x-npy": (".npy",),
    "image/tiff": (".tif", ".tiff"),
    "text/csv": (".csv",),
}
"""Endings of files whose media type many systems do not know."""


class Picker:
    """A file as ``{"name", "media_type", "b64"}``, with a preview of its kind."""

    labelled = False
    visible = True

    def __init__(self, kind: str, node: Node) -> None:
        self._kind = kind
        self._word = WORDS.get(kind, "file")
        self._accept = accepted(node.hint("accept") or ())
        self._max_bytes = node.hint("max_bytes")
        self._max_pixels = int(node.hint("max_pixels") or MAX_PIXELS)
        self._value: Any = MISSING
        self._problem: str | None = None
        # ipywidgets writes a count behind the description, so the stylesheet writes the words.
        self._chooser = W.FileUpload(
            accept=",".join(self._accept),
            multiple=False,
            icon="",
            description="",
            tooltip=f"Choose {_a(self._word)}",
        )
        self._chooser.observe(self._chosen, names="value")
        self._about, self._below = W.HTML(), W.HTML()
        self._away = W.Button(description="Remove", tooltip=f"Remove the {self._word}")
        self._away.add_class("em-quiet")
        self._away.on_click(lambda _: self.set(MISSING))
        for part, name in ((self._chooser, "em-choose"), (self._about, "em-about")):
            part.add_class(name)
        self._drop = W.HBox([self._about, self._chooser, self._away])
        self._drop.add_class("em-drop")
        self.widget = W.VBox([self._drop, self._below])
        self.widget.add_class("em-file")
        self._show_empty()

    def _chosen(self, change: Any) -> None:
        if not change.new:
            return
        given = change.new[0]
        data = bytes(given["content"])
        # The chooser would keep a second copy, and not tell when the same file is chosen again.
        self._chooser.value = ()
        self.take(data, given["name"], given["type"])

    def take(self, data: bytes, name: str, media_type: str = "") -> None:
        """Use a file, unless it is too large or of the wrong kind; that is said at the field."""
        # Some browsers send whole paths; a value only ever carries the last part.
        name = PurePosixPath(PureWindowsPath(name).name).name or "file"
        media_type = media_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        self._problem = self._refusal(data, name, media_type)
        preview = Preview()
        if self._problem is None:
            preview = self._preview(data, media_type)
        if self._problem is not None:
            self._value = MISSING
            self._show_empty(self._problem)
            return
        encoded = base64.b64encode(data).decode()
        self._value = {"name": name, "media_type": media_type, "b64": encoded}
        facts = ", ".join(filter(None, (preview.facts, size(len(data)))))
        self._show(name, facts, preview)

    def _refusal(self, data: bytes, name: str, media_type: str) -> str | None:
        if self._max_bytes and len(data) > self._max_bytes:
            return f"{name} has {size(len(data))}; at most {size(self._max_bytes)} are read here."
        if self._accept and not any(_admits(one, name, media_type) for one in self._accept):
            return f"{name} is not one of the kinds read here: {_kinds(self._accept)}."
        return None

    def _preview(self, data: bytes, media_type: str) -> Preview:
        look: Callable[[bytes, str, int], Preview] | None = PREVIEWS.get(self._kind)
        if look is None:
            return Preview()
        try:
            return look(data, media_type, self._max_pixels)
        except UnicodeDecodeError:
            return Preview(facts="no preview")
        except ValueError as error:
            self._problem = str(error)
        except Exception:
            # Whatever is wrong with it, the service looks closer and says it better.
            return Preview(facts="no preview")
        return Preview()

    def _show_empty(self, problem: str = "") -> None:
        limit = f", up to {size(self._max_bytes)}" if self._max_bytes else ""
        text = problem or f"No {self._word} yet{limit}"
        self._about.value = (
            f'<div class="{"em-error" if problem else "em-help"}">{escape(text)}</div>'
        )
        self._below.value = ""
        self._drop.remove_class("em-chosen")
        self._drop.children = (self._about, self._chooser)

    def _show(self, name: str, facts: str, preview: Preview) -> None:
        self._about.value = (
            f'{preview.thumb}<div class="em-filename"><b>{escape(name)}</b>'
            f'<div class="em-help">{escape(facts)}</div></div>'
        )
        self._below.value = preview.below
        self._drop.add_class("em-chosen")
        self._drop.children = (self._about, self._chooser, self._away)

    def get(self) -> Any:
        return self._value

    def set(self, value: Any) -> None:
        """Fill in a file object, a data URI, or any other JSON form that its type reads."""
        self._problem = None
        file = _file(value, self._word)
        if value is MISSING or value is None:
            self._value = MISSING
            self._show_empty()
        elif file is not None:
            self.take(*file)
            # An example stays in the form its author gave it.
            self._value = value if self._problem is None else MISSING
        else:
            self._value = value
            data = as_csv(value) if self._kind in ("table", "timeseries") else None
            preview = self._preview(data, "text/csv") if data else Preview()
            self._show("Example values", preview.facts or f"{self._word} as JSON", preview)

    def check(self) -> str | None:
        return "" if self._problem else None

    def show(self, path: Sequence[str], message: str) -> bool:
        return False

    def clear(self) -> None:
        pass


def accepted(rules: Sequence[str]) -> tuple[str, ...]:
    """Return what a file must match, media types with their endings; empty means any file."""
    if "*/*" in rules:
        return ()
    endings = [ending for rule in rules for ending in ENDINGS.get(rule, ())]
    return tuple(dict.fromkeys([*map(str, rules), *endings]))


def _kinds(rules: Sequence[str]) -> str:
    """Return rules as people say them: png, jpeg, csv."""
    short = [rule.rpartition("/")[2].rpartition(".")[2] or rule for rule in rules]
    return ", ".join(dict.fromkeys("any" if one == "*" else one for one in short))


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _admits(rule: str, name: str, media_type: str) -> bool:
    if rule.startswith("."):
        return name.lower().endswith(rule.lower())
    if rule.endswith("/*"):
        return media_type.startswith(rule[:-1])
    # Systems disagree on the media type of the very same CSV file, so the name counts too.
    return media_type == rule or mimetypes.guess_type(name)[0] == rule


def _file(value: Any, word: str) -> tuple[bytes, str, str] | None:
    """Return ``(data, name, media type)`` of the JSON forms that carry a file."""
    name, media_type, code = word, "", value
    if isinstance(value, dict) and "b64" in value and "dtype" not in value:
        name, media_type = str(value.get("name") or word), str(value.get("media_type") or "")
        code = value["b64"]
    elif isinstance(value, str) and value.startswith("data:"):
        head, _, code = value.partition(",")
        media_type = head.removeprefix("data:").removesuffix(";base64")
        name = word + (mimetypes.guess_extension(media_type) or "")
    if not isinstance(code, str):
        return None
    try:
        return base64.b64decode(code, validate=True), name, media_type
    except binascii.Error:
        return None


def picker(kind: str) -> Callable[[Node, Make], Picker]:
    """Return the maker of one kind of file control."""

    def make_picker(node: Node, make: Make) -> Picker:
        return Picker(kind, node)

    return make_picker
