"""Controls for files: choose, preview and remove a file."""

import base64
import binascii
import mimetypes
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from easymlnb.contract.file_parameters import accepts
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms.fields import MISSING, Make, NoFields
from easymlnb.forms.file_upload import FileUpload
from easymlnb.forms.previews import MAX_PIXELS, as_csv, format_size
from easymlnb.forms.shared_style import current

NOUNS = {
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
"""File name endings of media types that many systems do not know."""

TABLES = ("table", "timeseries")
SHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")
READING = ("separator", "decimal", "columns")
"""Options of a table parameter that a preview needs."""

SHOWN = 8 * 2**20
"""Bytes up to which an example's file is sent to the page for a preview."""


class FilePicker(NoFields):
    """A file as ``{"name", "media_type", "b64"}``, or with the ``upload``'s name."""

    labeled = False
    visible = True

    def __init__(self, kind: str, node: SchemaNode) -> None:
        self._kind = kind
        self._noun = NOUNS.get(kind, "file")
        self._accept = accepted(node.hint("accept") or ())
        self._max_bytes = int(node.hint("max_bytes") or 0)
        self._value: Any = MISSING
        self._problem = ""
        self._context = context = current()
        self.widget = FileUpload(
            self._on_event,
            context.uploads if context is not None else None,
            kind=kind,
            noun=self._noun,
            title=node.title,
            accept=list(self._accept),
            kinds=_kinds(self._accept),
            max_bytes=self._max_bytes,
            max_pixels=int(node.hint("max_pixels") or MAX_PIXELS),
            reading={key: value for key in READING if (value := node.hint(key))},
            pages=bool(node.hint("pages")),
        )

    def _on_event(self, event: str, message: dict[str, Any], data: bytes) -> None:
        self._set_uploading(event == "uploading", removed=event == "removed")
        if event == "ready":
            # The page has not received what was sent before it was there.
            self._show(first=True)
        elif event in ("uploading", "removed"):
            self._value, self._problem = MISSING, ""
        elif event == "rejected":
            self._value, self._problem = MISSING, str(message.get("problem") or "")[:500]
        elif event == "uploaded":
            name, media_type = _named(message["name"], message["type"])
            self._value = {"upload": message["upload"], "name": name, "media_type": media_type}
        else:
            self.use(data, message["name"], message["type"])

    def _set_uploading(self, on: bool, *, removed: bool = False) -> None:
        if self._context is not None:
            self._context.upload_removed |= removed
            uploading = self._context.uploading
            (uploading.add if on else uploading.discard)(self.widget)

    def use(self, data: bytes, name: str, media_type: str = "") -> None:
        """Use a file, or show why it is rejected."""
        self._set_uploading(False)
        name, media_type = _named(name, media_type)
        self._problem = self._rejection(data, name, media_type)
        if self._problem:
            self._value = MISSING
            self._show()
        else:
            encoded = base64.b64encode(data).decode()
            self._value = {"name": name, "media_type": media_type, "b64": encoded}

    def _rejection(self, data: bytes, name: str, media_type: str) -> str:
        size, maximum = format_size(len(data)), format_size(self._max_bytes)
        if self._max_bytes and len(data) > self._max_bytes:
            return f"{name} is {size}; the maximum is {maximum}."
        if not accepts(self._accept, name, media_type):
            if self._kind in TABLES and name.lower().endswith(SHEETS):
                return f"{name} is a spreadsheet, which is not supported. Save it as CSV."
            return f"{name} has an unsupported file type. Supported types: {_kinds(self._accept)}."
        return ""

    def _show(self, *, first: bool = False) -> None:
        """Show the value on the page; the ``first`` one does not replace a file chosen there."""
        value, show = self._value, partial(self.widget.show, first=first)
        if value is MISSING:
            self.widget.empty(self._problem, first=first)
        elif isinstance(value, dict) and isinstance(value.get("upload"), str):
            name = str(value.get("name") or self._noun)
            show(name, str(value.get("media_type") or ""), "on the server", None)
        elif (file := _file(value, self._noun)) is not None:
            data, name, media_type = file
            shown = data if len(data) <= SHOWN else None
            show(name, media_type, format_size(len(data)), shown)
        else:
            rows = as_csv(value) if self._kind in TABLES else None
            show("Example values", "text/csv", f"{self._noun} as JSON", rows)

    def get(self) -> Any:
        return self._value

    def set(self, value: Any) -> None:
        """Fill in a file object, a data URI, or any other JSON form that its type reads."""
        self._set_uploading(False)
        self._problem = ""
        self._value = MISSING if value is None else value
        file = _file(value, self._noun)
        if file is not None:
            data, name, media_type = file
            self._problem = self._rejection(data, *_named(name, media_type))
        if self._problem:
            self._value = MISSING
        self._show()

    def check(self) -> str | None:
        return "" if self._problem else None


def _named(name: str, media_type: str) -> tuple[str, str]:
    """Return a name without folders, which some browsers send, and a media type."""
    name = PurePosixPath(PureWindowsPath(name).name).name or "file"
    return name, media_type or mimetypes.guess_type(name)[0] or "application/octet-stream"


def accepted(rules: Sequence[str]) -> tuple[str, ...]:
    """Return the media types and endings of which a file must match one; empty accepts any file."""
    if "*/*" in rules:
        return ()
    endings = [ending for rule in rules for ending in ENDINGS.get(rule, ())]
    return tuple(dict.fromkeys([*map(str, rules), *endings]))


def _kinds(rules: Sequence[str]) -> str:
    """Return rules as text for people: png, jpeg, csv."""
    short = [rule.rpartition("/")[2].rpartition(".")[2] or rule for rule in rules]
    return ", ".join(dict.fromkeys("any" if name == "*" else name for name in short))


def _file(value: Any, noun: str) -> tuple[bytes, str, str] | None:
    """Return ``(data, name, media type)`` of a JSON value that contains a file."""
    name, media_type, code = noun, "", value
    if isinstance(value, dict) and "b64" in value and "dtype" not in value:
        name, media_type = str(value.get("name") or noun), str(value.get("media_type") or "")
        code = value["b64"]
    elif isinstance(value, str) and value.startswith("data:"):
        head, _, code = value.partition(",")
        media_type = head.removeprefix("data:").removesuffix(";base64")
        name = noun + (mimetypes.guess_extension(media_type) or "")
    if not isinstance(code, str):
        return None
    try:
        return base64.b64decode(code, validate=True), name, media_type
    except binascii.Error:
        return None


def picker(kind: str) -> Callable[[SchemaNode, Make], FilePicker]:
    """Return the maker of one kind of file control."""
    return lambda node, make: FilePicker(kind, node)
