"""Recorded calls as a data set: CSV, JSON lines, or a zip with the files."""

import base64
import binascii
import csv
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from mimetypes import guess_extension
from typing import IO, Any, BinaryIO, cast

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.jsonschema import properties
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.recordings.inputs import result_of, values_of
from easymlnb_server.recordings.models import StoredCall
from easymlnb_server.recordings.rules import caller_label
from easymlnb_server.services.responses import timestamp
from easymlnb_server.store.recordings import RecordRow

FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl",
    "zip": "application/zip",
}
"""Format -> media type."""

ABOUT = ("id", "time", "kind", "version", "caller", "reason", "status", "code", "seconds")
"""Fields of a call besides its inputs and result."""

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""First characters with which a spreadsheet runs a text."""

Read = Callable[[RecordRow], StoredCall]
Entry = dict[str, Any]


def write(kind: str, rows: Iterable[RecordRow], read: Read, spec: ServiceSpec) -> BinaryIO:
    """Write a data set to a temporary file and return it at its start. It blocks."""
    target = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
    try:
        entries = _entries(rows, read, spec)
        if kind == "csv":
            _write_csv(entries, spec, target)
        elif kind == "jsonl":
            for entry in entries:
                target.write(_line(entry))
        else:
            _write_zip(entries, spec, target)
        target.seek(0)
    except BaseException:
        target.close()
        raise
    return target


def _entries(rows: Iterable[RecordRow], read: Read, spec: ServiceSpec) -> Iterator[Entry]:
    for row in rows:
        try:
            call = read(row)
        except EasyMLNBError:  # deleted a moment ago
            continue
        about = {name: getattr(row, name) for name in ABOUT}
        about |= {"time": timestamp(row.time), "caller": caller_label(row.caller)}
        yield {**about, "input": values_of(call, spec), "result": result_of(call)}


def _line(entry: Entry) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"


def _write_csv(entries: Iterable[Entry], spec: ServiceSpec, target: IO[bytes]) -> None:
    names = list(properties(spec.input))
    text = io.TextIOWrapper(target, "utf-8", newline="", write_through=True)
    table = csv.writer(text)
    table.writerow([*ABOUT, *(f"input.{name}" for name in names), "result"])
    for entry in entries:
        values = entry["input"] or {}
        cells = [*(entry[name] for name in ABOUT), *(values.get(name) for name in names)]
        table.writerow([_cell(cell) for cell in (*cells, entry["result"])])
    text.detach()


def _cell(value: Any) -> Any:
    """Return a value for a table: files by name, other nested values as JSON, no formulas."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(_named(value), ensure_ascii=False)
    return f"'{text}" if text.startswith(FORMULAS) else text


def _named(value: Any) -> Any:
    """Return a value with the names of its files in place of their content."""
    if isinstance(value, dict):
        if isinstance(value.get("b64"), str):
            return {key: item for key, item in value.items() if key != "b64"}
        return {key: _named(item) for key, item in value.items()}
    return [_named(item) for item in value] if isinstance(value, list) else value


def _write_zip(entries: Iterable[Entry], spec: ServiceSpec, target: IO[bytes]) -> None:
    """Write ``calls.jsonl`` and ``calls.csv``, whose files are in ``files/``."""
    with (
        tempfile.TemporaryFile() as lines,
        tempfile.TemporaryFile() as table,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive,
    ):

        def extracted() -> Iterator[Entry]:
            for entry in entries:
                files = _Files(archive, f"files/{entry['id']}")
                for name in ("input", "result"):
                    entry[name] = files.extract(entry[name], name)
                lines.write(_line(entry))
                yield entry

        _write_csv(extracted(), spec, table)
        for name, file in (("calls.jsonl", lines), ("calls.csv", table)):
            file.seek(0)
            with archive.open(name, "w") as inside:
                while chunk := file.read(2**20):
                    inside.write(chunk)


class _Files:
    """The files of one call in a zip."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        self._archive = archive
        self._folder = folder
        self._count = 0

    def extract(self, value: Any, name: str) -> Any:
        """Return a value with paths in the zip in place of its files."""
        if isinstance(value, dict):
            if isinstance(value.get("b64"), str) and "dtype" not in value:
                return self._store(value, name)
            return {key: self.extract(item, str(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.extract(item, name) for item in value]
        if isinstance(value, str) and (found := re.match(r"data:([\w/.+-]*);base64,", value)):
            file = {"b64": value[found.end() :], "media_type": found[1]}
            return self._store(file, name)
        return value

    def _store(self, file: dict[str, Any], name: str) -> Any:
        try:
            data = base64.b64decode(file["b64"])
        except (binascii.Error, ValueError):
            return file
        kind = str(file.get("media_type") or "")
        given = str(file.get("name") or "")
        label = given if "." in given else f"{name}{guess_extension(kind) or ''}"
        self._count += 1
        path = f"{self._folder}/{self._count}-{re.sub(r'[^A-Za-z0-9._-]', '_', label)[-80:]}"
        self._archive.writestr(path, data)
        more = {key: item for key, item in file.items() if key != "b64"}
        return {"file": path, **more}
