"""Read the body of a request: JSON in one of four forms, CSV or parquet."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from easymlnb.contract.errors import BadRequest, UnsupportedMediaType
from easymlnb.contract.scoring import (
    ACCEPTED,
    FORMS,
    INPUTS,
    INSTANCES,
    JSON,
    PARAMS,
    RECORDS,
    SPLIT,
)
from easymlnb.types.media_types import charset, strip_parameters
from easymlnb.types.uploaded_files import Data

ONE_FORM = f"Send a JSON object with exactly one of {', '.join(map(repr, FORMS))}."

MAX_CELLS, SPARSE = 1_000_000, 20
"""A larger table of records may have this many cells for each value that was sent."""


@dataclass(frozen=True, slots=True)
class FileInput:
    """A table as the bytes of a CSV or parquet file."""

    data: Data
    media_type: str
    charset: str


@dataclass(frozen=True, slots=True)
class TableInput:
    """A table of JSON values."""

    columns: list[str]
    rows: list[list[Any]]

    def as_columns(self) -> dict[str, list[Any]]:
        """Return the values by column."""
        return {name: [row[at] for row in self.rows] for at, name in enumerate(self.columns)}


@dataclass(frozen=True, slots=True)
class TensorInput:
    """Nested lists without names, or one such value for each name."""

    value: Any


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """The input of a request, and its parameters that are the same for all rows."""

    given: FileInput | TableInput | TensorInput
    params: dict[str, Any] = field(default_factory=dict)


def read(content_type: str, body: Data) -> ScoringRequest:
    """Return what a body contains; raises ``BadRequest`` or ``UnsupportedMediaType``."""
    media_type = strip_parameters(content_type)
    if media_type not in ACCEPTED:
        raise UnsupportedMediaType(media_type, ACCEPTED)
    if media_type != JSON:
        return ScoringRequest(FileInput(body, media_type, charset(content_type)))
    try:
        document = from_json(bytes(body))
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON ({error}). {ONE_FORM}") from None
    if not isinstance(document, dict):
        raise BadRequest(f"The body is a JSON {_kind(document)}. {ONE_FORM}")
    found = [name for name in FORMS if name in document]
    if len(found) != 1:
        have = ", ".join(map(repr, found)) if found else "none of them"
        raise BadRequest(f"{ONE_FORM} The body has {have}.")
    params = document.get(PARAMS) or {}
    if not isinstance(params, dict):
        raise BadRequest(f"'params' must be an object, not a JSON {_kind(params)}.")
    return ScoringRequest(_READERS[found[0]](document[found[0]]), params)


def _split(value: Any) -> TableInput:
    columns, rows = (value.get("columns"), value.get("data")) if isinstance(value, dict) else (0, 0)
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise BadRequest(
            f"{SPLIT!r} must be an object with the lists 'columns' and 'data', such as "
            '{"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}.'
        )
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != len(columns):
            size = f"{len(row)} values" if isinstance(row, list) else f"a JSON {_kind(row)}"
            raise BadRequest(
                f"Row {number} of {SPLIT!r} is not a list of {len(columns)} values, but {size}."
            )
    names = [str(name) for name in columns]
    if len(set(names)) < len(names):
        ((twice, _),) = Counter(names).most_common(1)
        raise BadRequest(f"{SPLIT!r} has two columns named {twice[:100]!r}. Rename one.")
    return TableInput(names, rows)


def _records(value: Any) -> TableInput:
    if not isinstance(value, list):
        raise BadRequest(f"{RECORDS!r} must be a list of objects, not a JSON {_kind(value)}.")
    return _from_records(RECORDS, value)


def _from_records(form: str, records: list[Any]) -> TableInput:
    columns: dict[str, None] = {}
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise BadRequest(
                f"Row {number} of {form!r} must be an object, not a JSON {_kind(record)}."
            )
        columns.update(dict.fromkeys(record))
    cells = len(columns) * len(records)
    if cells > max(MAX_CELLS, SPARSE * sum(map(len, records))):
        raise BadRequest(
            f"The {len(records):,} rows of {form!r} have {len(columns):,} different names, and "
            "most rows lack most of them. Send rows with the same names."
        )
    return TableInput([*columns], [[record.get(name) for name in columns] for record in records])


def _instances(value: Any) -> TableInput | TensorInput:
    if not isinstance(value, list):
        raise BadRequest(f"{INSTANCES!r} must be a list, not a JSON {_kind(value)}.")
    if any(isinstance(one, dict) for one in value):
        return _from_records(INSTANCES, value)
    return TensorInput(value)


def _inputs(value: Any) -> TensorInput:
    if not isinstance(value, list | Mapping):
        raise BadRequest(
            f"{INPUTS!r} must be a list, or an object of lists, not a JSON {_kind(value)}."
        )
    return TensorInput(value)


_READERS = {SPLIT: _split, RECORDS: _records, INSTANCES: _instances, INPUTS: _inputs}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "list"}
    return names.get(type(value), "object")
