"""Controls for files: choose, look at it, take it away again."""

import base64
import binascii
import mimetypes
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms.fields import MISSING, Make
from easymlnb.forms.file_upload import FileUpload
from easymlnb.forms.previews import MAX_PIXELS, as_csv, size
from easymlnb.forms.shared_style import current

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

TABLES = ("table", "timeseries")
SHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")
READING = ("separator", "decimal", "columns")
"""What a parameter says about its tables that decides what a preview makes of them."""


SHOWN = 8 * 2**20
"""Bytes of an example's file that go to the page for a preview."""


class Picker:
    """A file as ``{"name", "media_type", "b64"}``, or the name under which it was uploaded."""

    labelled = False
    visible = True

    def __init__(self, kind: str, node: SchemaNode) -> None:
        self._kind = kind
        self._word = WORDS.get(kind, "file")
        self._accept = accepted(node.hint("accept") or ())
        self._max_bytes = int(node.hint("max_bytes") or 0)
        self._value: Any = MISSING
        self._problem = ""
        self._sheet = sheet = current()
        self.widget = FileUpload(
            self._told,
            sheet.uploads if sheet is not None else None,
            kind=kind,
            word=self._word,
            title=node.title,
            accept=list(self._accept),
            kinds=_kinds(self._accept),
            max_bytes=self._max_bytes,
            max_pixels=int(node.hint("max_pixels") or MAX_PIXELS),
            reading={key: value for key in READING if (value := node.hint(key))},
            pages=bool(node.hint("pages")),
        )

    def _told(self, event: str, words: dict[str, Any], data: bytes) -> None:
        self._send(event == "sending", taken_back=event == "remove")
        if event == "ready":
            # What was set before the page was there went unheard.
            self._show(first=True)
        elif event in ("sending", "remove"):
            self._value, self._problem = MISSING, ""
        elif event == "refused":
            self._value, self._problem = MISSING, str(words.get("problem") or "")[:500]
        elif event == "sent":
            name, media_type = _named(words["name"], words["type"])
            self._value = {"upload": words["upload"], "name": name, "media_type": media_type}
        else:
            self.take(data, words["name"], words["type"])

    def _send(self, on: bool, *, taken_back: bool = False) -> None:
        """Say whether a file is on its way."""
        if self._sheet is not None:
            self._sheet.taken_back |= taken_back
            sending = self._sheet.sending
            (sending.add if on else sending.discard)(self.widget)

    def take(self, data: bytes, name: str, media_type: str = "") -> None:
        """Use a file, unless it is too large or of the wrong kind; that is said at the field."""
        self._send(False)
        name, media_type = _named(name, media_type)
        self._problem = self._refusal(data, name, media_type)
        if self._problem:
            self._value = MISSING
            self._show()
        else:
            encoded = base64.b64encode(data).decode()
            self._value = {"name": name, "media_type": media_type, "b64": encoded}

    def _refusal(self, data: bytes, name: str, media_type: str) -> str:
        if self._max_bytes and len(data) > self._max_bytes:
            return f"{name} is {size(len(data))}; the maximum is {size(self._max_bytes)}."
        if self._accept and not any(_admits(one, name, media_type) for one in self._accept):
            if self._kind in TABLES and name.lower().endswith(SHEETS):
                return f"{name} is a spreadsheet, which is not supported. Save it as CSV."
            return f"{name} has an unsupported file type. Supported types: {_kinds(self._accept)}."
        return ""

    def _show(self, *, first: bool = False) -> None:
        """Have the page show the value; as the ``first`` one it gives way to what was chosen."""
        value, tell = self._value, partial(self.widget.show, first=first)
        if value is MISSING:
            self.widget.empty(self._problem, first=first)
        elif isinstance(value, dict) and isinstance(value.get("upload"), str):
            name = str(value.get("name") or self._word)
            tell(name, str(value.get("media_type") or ""), "on the server", None)
        elif (file := _file(value, self._word)) is not None:
            data, name, media_type = file
            seen = data if len(data) <= SHOWN else None
            tell(name, media_type, size(len(data)), seen)
        else:
            rows = as_csv(value) if self._kind in TABLES else None
            tell("Example values", "text/csv", f"{self._word} as JSON", rows)

    def get(self) -> Any:
        return self._value

    def set(self, value: Any) -> None:
        """Fill in a file object, a data URI, or any other JSON form that its type reads."""
        self._send(False)
        self._problem = ""
        self._value = MISSING if value is None else value
        file = _file(value, self._word)
        if file is not None:
            data, name, media_type = file
            self._problem = self._refusal(data, *_named(name, media_type))
        if self._problem:
            self._value = MISSING
        self._show()

    def check(self) -> str | None:
        return "" if self._problem else None

    def show(self, path: Sequence[str], message: str) -> bool:
        return False

    def clear(self) -> None:
        pass


def _named(name: str, media_type: str) -> tuple[str, str]:
    """Return the last part of a name, for some browsers send whole paths, and a media type."""
    name = PurePosixPath(PureWindowsPath(name).name).name or "file"
    return name, media_type or mimetypes.guess_type(name)[0] or "application/octet-stream"


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


def picker(kind: str) -> Callable[[SchemaNode, Make], Picker]:
    """Return the maker of one kind of file control."""

    def make_picker(node: SchemaNode, make: Make) -> Picker:
        return Picker(kind, node)

    return make_picker
