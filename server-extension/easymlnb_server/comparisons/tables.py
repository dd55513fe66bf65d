"""Tables of inputs: CSV or JSON lines, with a call's parameters in each row. Pure functions."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import msgspec

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.jsonschema import alternatives, is_nullable, properties
from easymlnb.contract.spec import ServiceSpec

FIELD_LIMIT = 2**20
"""Characters of one cell."""


def read(data: bytes, spec: ServiceSpec, limit: int) -> list[bytes]:
    """Return the first ``limit`` rows as JSON bodies of calls; raises ``BadRequest``."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(
            "The table is not UTF-8. Save it as CSV or JSON lines in UTF-8."
        ) from error
    start = text.lstrip()[:1]
    rows = _lines(text) if start == "{" else _csv(text, spec)
    found = [row for _, row in zip(range(limit), rows, strict=False)]
    if not found:
        raise BadRequest("The table has no rows.")
    return found


def _lines(text: str) -> Iterator[bytes]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadRequest(f"Line {number} of the table is not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise BadRequest(f"Line {number} of the table is not a JSON object.")
        yield line.strip().encode()


def _csv(text: str, spec: ServiceSpec) -> Iterator[bytes]:
    known = properties(spec.input)
    dialect = _dialect(text)
    before = csv.field_size_limit(FIELD_LIMIT)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), dialect)
        names = [name.strip().removeprefix("input.") for name in next(rows, [])]
        wanted = [(at, name) for at, name in enumerate(names) if name in known]
        if not wanted:
            raise BadRequest(
                "No column of the table is a parameter of the service. Parameters: "
                f"{', '.join(known) or 'none'}."
            )
        for cells in rows:
            if any(cells):
                yield _row(cells, wanted, spec)
    except csv.Error as error:
        raise BadRequest(f"The table is not valid CSV ({error}).") from error
    finally:
        csv.field_size_limit(before)


def _dialect(text: str) -> Any:
    line = text.partition("\n")[0]
    best = max((",", ";", "\t"), key=line.count)

    class Dialect(csv.excel):
        delimiter = best

    return Dialect


def _row(cells: list[str], wanted: list[tuple[int, str]], spec: ServiceSpec) -> bytes:
    known = properties(spec.input)
    values = {
        name: _value(cells[at], known[name], spec)
        for at, name in wanted
        if at < len(cells) and (cells[at] or not is_nullable(known[name], spec.input))
    }
    return msgspec.json.encode(values)


def _value(cell: str, schema: Any, spec: ServiceSpec) -> Any:
    """Return a cell as JSON: text for texts, else what it reads as."""
    kinds = {branch.get("type") for branch in alternatives(schema, spec.input)}
    if kinds == {"string"}:
        return cell
    if "boolean" in kinds and cell.strip().lower() in ("true", "false"):
        return cell.strip().lower() == "true"
    try:
        return msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        return cell
