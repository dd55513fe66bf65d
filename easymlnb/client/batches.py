"""Batches and sweeps for both clients: send a table or a grid."""

import csv
import io
import json
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from easymlnb.client import jobs, operations, uploads
from easymlnb.client.encoding import encode_arguments
from easymlnb.client.messages import Operation, Request
from easymlnb.contract.spec import ServiceSpec

CSV, PARQUET, ZIP = "text/csv", "application/vnd.apache.parquet", "application/zip"
TYPES = {".csv": CSV, ".tsv": CSV, ".txt": CSV, ".parquet": PARQUET, ".pq": PARQUET, ".zip": ZIP}

TABLE = ":table"
"""The field of uploads that are the table of a batch, or its files."""

SUBMIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batch is run: ``values`` for all rows, and whether to ``keep`` other columns."""

    values: Mapping[str, Any] = field(default_factory=dict)
    keep: bool = False
    idempotency_key: str = ""


def submit(spec: ServiceSpec, table: Any, options: BatchOptions) -> Operation[dict[str, Any]]:
    """Send a table and submit its batch."""
    values = encode_arguments(options.values, spec.input)
    where = operations.service_path(spec.name, "batches")
    params = {"values": json.dumps(values)} if values else {}
    if options.keep:
        params["extra_columns"] = "keep"
    headers = {}
    if options.idempotency_key:
        headers["Idempotency-Key"] = options.idempotency_key
    files = _files(table)
    if files is not None and (len(files) > 1 or files[0].stat().st_size > uploads.LARGE):
        sent = []
        for file in files:
            sent.append((yield from uploads.send(spec.name, TABLE, file))["upload"])
        content, headers["Content-Type"] = (
            json.dumps({"uploads": sent}).encode(),
            "application/json",
        )
    else:
        data, headers["Content-Type"], name = _content(files[0] if files else table)
        content = data
        if name:
            params["file"] = name
    request = Request("POST", where, SUBMIT_SECONDS, headers, params, content)
    return (yield from jobs.submit(request))


def sweep(
    spec: ServiceSpec,
    grid: Mapping[str, Iterable[Any]] | None,
    points: Iterable[Mapping[str, Any]] | None,
    values: Mapping[str, Any],
    options: operations.CallOptions,
) -> Operation[dict[str, Any]]:
    """Submit a sweep over all combinations of a grid, or over points."""
    document: dict[str, Any] = {"values": _encoded(values, spec)}
    if grid is not None:
        document["grid"] = {
            name: [_encoded({name: value}, spec)[name] for value in several]
            for name, several in grid.items()
        }
    if points is not None:
        document["points"] = [_encoded(point, spec) for point in points]
    if options.attempts != 1:
        document["attempts"] = options.attempts
    if options.lane:
        document["lane"] = options.lane
    request = Request(
        "POST",
        operations.service_path(spec.name, "sweeps"),
        SUBMIT_SECONDS,
        {"Content-Type": "application/json"},
        content=json.dumps(document).encode(),
    )
    return (yield from jobs.submit(request))


def _encoded(values: Mapping[str, Any], spec: ServiceSpec) -> dict[str, Any]:
    """Return values as JSON values: a file becomes an object with its content."""
    encoded = encode_arguments(values, spec.input)
    return {
        name: value.inline() if hasattr(value, "inline") else value
        for name, value in encoded.items()
    }


def _files(table: Any) -> list[Path] | None:
    """Return the files that a table is given as; ``None`` if it is none."""
    if isinstance(table, str | Path):
        table = [table]
    elif not isinstance(table, list | tuple) or not table:
        return None
    if not all(isinstance(one, str | Path) for one in table):
        return None
    return [Path(one).expanduser() for one in table]


def _content(table: Any) -> tuple[bytes, str, str]:
    """Return the bytes, the media type and the file name of a table."""
    if isinstance(table, Path):
        kind = TYPES.get(table.suffix.lower()) or mimetypes.guess_type(table.name)[0]
        return table.read_bytes(), kind or "application/octet-stream", table.name
    if isinstance(table, bytes | bytearray | memoryview):
        return bytes(table), "application/octet-stream", ""
    if hasattr(table, "to_parquet") and hasattr(table, "columns"):
        if find_spec("pyarrow"):
            sink = io.BytesIO()
            table.to_parquet(sink, index=False)
            return sink.getvalue(), PARQUET, ""
        return table.to_csv(index=False).encode(), CSV, ""
    if isinstance(table, list | tuple) and all(isinstance(row, Mapping) for row in table):
        return _from_records(table), CSV, ""
    raise TypeError(
        "A batch takes a path, a DataFrame, a list of dicts or a list of paths, not "
        f"{type(table).__name__}."
    )


def _from_records(rows: Sequence[Mapping[str, Any]]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return json.dumps(value)
    if value is None or isinstance(value, str | int | float):
        return value
    if hasattr(value, "tolist"):
        value = value.tolist()
    return json.dumps(value, default=str)
