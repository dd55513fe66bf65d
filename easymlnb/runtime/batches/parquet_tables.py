"""Parquet tables: their row groups as blocks, and results joined to one table. Needs pyarrow."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from easymlnb.contract.batch_protocol import BLOCK_BYTES, BLOCK_ROWS
from easymlnb.contract.errors import BadRequest
from easymlnb.types.table_encoding import has_arrow

MAGIC = b"PAR1"


def check_installed() -> None:
    """Raise ``BadRequest`` if this service cannot read parquet."""
    if not has_arrow():
        raise BadRequest(
            "Parquet needs pyarrow, which is not installed in the service's environment. Send a "
            "CSV, or ask the author to add pyarrow."
        )


class ParquetTable:
    """A parquet file; its parts are its row groups."""

    def __init__(self, file: Any) -> None:
        check_installed()
        import pyarrow.parquet  # type: ignore[import-untyped] # it ships no types

        try:
            self._file = pyarrow.parquet.ParquetFile(file)
        except Exception:
            # Arrow raises many errors for damaged files, none of them for callers.
            raise BadRequest("The parquet file is damaged and cannot be read.") from None
        self.columns = [str(name) for name in self._file.schema_arrow.names]
        self.groups = int(self._file.num_row_groups)
        self.rows = int(self._file.metadata.num_rows)

    def blocks(self, group: int) -> Iterator[tuple[int, bytes]]:
        """Yield the rows of a row group as Arrow streams, with their number."""
        try:
            table = self._file.read_row_group(group)
        except Exception:
            raise BadRequest("The parquet file is damaged and cannot be read.") from None
        each = max(1, table.nbytes // max(1, table.num_rows))
        size = max(1, min(BLOCK_ROWS, BLOCK_BYTES // each))
        for start in range(0, table.num_rows, size):
            part = table.slice(start, size)
            yield part.num_rows, to_stream(part)


def to_stream(table: Any) -> bytes:
    """Return a table as an Arrow stream."""
    import pyarrow as pa

    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def from_stream(data: bytes) -> Any:
    """Return the table of an Arrow stream."""
    import pyarrow as pa

    return pa.ipc.open_stream(pa.BufferReader(data)).read_all()


def rows_of(data: bytes) -> list[list[Any]]:
    """Return the rows of a block."""
    table = from_stream(data)
    columns = [column.to_pylist() for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def with_results(
    data: bytes, start: int, stop: int, names: Sequence[str], results: list[list[Any]]
) -> bytes:
    """Return the rows of a block with the columns of their results, as an Arrow stream."""
    table = from_stream(data).slice(start, stop - start)
    for at, name in enumerate(names):
        table = table.append_column(name, _array([row[at] for row in results]))
    return to_stream(table)


def _array(values: list[Any]) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.array([None if value is None else json.dumps(value) for value in values])


def join(pieces: Iterable[bytes]) -> bytes:
    """Return one parquet file of Arrow streams whose types of results may differ."""
    import pyarrow as pa
    import pyarrow.parquet

    tables = [from_stream(piece) for piece in pieces]
    schemas = [table.schema for table in tables]
    try:
        schema = pa.unify_schemas(schemas, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        schema = _as_text(schemas)
        tables = [_cast_text(table, schema) for table in tables]
    sink = io.BytesIO()
    with pyarrow.parquet.ParquetWriter(sink, schema) as writer:
        for table in tables:
            writer.write_table(table.cast(schema))
    return sink.getvalue()


def _as_text(schemas: list[Any]) -> Any:
    """Return a schema in which columns of different types are text."""
    import pyarrow as pa

    fields = []
    for name in schemas[0].names:
        kinds = {schema.field(name).type for schema in schemas} - {pa.null()}
        fields.append(pa.field(name, kinds.pop() if len(kinds) == 1 else pa.string()))
    return pa.schema(fields)


def _cast_text(table: Any, schema: Any) -> Any:
    import pyarrow as pa

    for at, field in enumerate(schema):
        column = table.column(at)
        if field.type == pa.string() and column.type not in (pa.string(), pa.null()):
            texts = [None if one is None else json.dumps(one) for one in column.to_pylist()]
            table = table.set_column(at, field.name, pa.array(texts, pa.string()))
    return table
