"""Cut a table into blocks of rows: a CSV, a parquet file, a ZIP of files, or several files."""

import io
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import msgspec

from easymlnb.contract.batch_protocol import (
    BLOCK_BYTES,
    BLOCK_ROWS,
    Block,
    ScanReply,
    ScanRequest,
)
from easymlnb.contract.errors import BadRequest, EasyMLNBError
from easymlnb.contract.file_parameters import file_parameters
from easymlnb.runtime.batches import csv_source
from easymlnb.runtime.batches import plan as plans
from easymlnb.runtime.batches.parquet_tables import MAGIC, ParquetTable, rows_of
from easymlnb.runtime.batches.plan import Plan
from easymlnb.runtime.batches.results import csv_header
from easymlnb.runtime.batches.values import RowValues
from easymlnb.services.schema import Schema
from easymlnb.types.media_types import charset

TRIED = 100
"""Rows of a table that are checked before the first call."""

ZIP_MAGIC = b"PK\x03\x04"
EXCEL = "Excel files are not read. Save the table as CSV."
OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

Given = dict[str, Path | bytes]
"""The uploads of a call, by id."""


class RowSource:
    """The rows of a batch; ``position`` is where the next block begins.

    ``blocks`` yields rows and data, and moves ``position`` after each one.
    """

    position: int
    total: int

    def blocks(self) -> Iterator[Block]:
        raise NotImplementedError


def scan(schema: Schema, request: ScanRequest, files: Given) -> ScanReply:
    """Read the next rows of a table for some time; raises ``BadRequest``."""
    with ExitStack() as opened:
        source, plan = _open(schema, request, list(files.values()), opened)
        blocks, complete = _read(source, request.seconds)
        position, share = source.position, source.position / max(1, source.total)
    if not request.plan:
        if not blocks:
            raise BadRequest(_empty(plan))
        _try_rows(schema, plan, blocks[0])
    return ScanReply(
        plan=plan.encode(),
        kind=plan.kind,
        header=csv_header(plan),
        position=position,
        complete=complete,
        share=1.0 if complete else share,
        blocks=blocks,
    )


def _read(source: RowSource, seconds: float) -> tuple[list[Block], bool]:
    """Return the next blocks, and whether they are the last ones."""
    until = time.monotonic() + seconds
    blocks: list[Block] = []
    for block in source.blocks():
        blocks.append(block)
        if time.monotonic() >= until:
            return blocks, source.position >= source.total
    return blocks, True


def _empty(plan: Plan) -> str:
    if plan.source == plans.FILES:
        return "The ZIP has no files."
    return "The table has no rows, only the names of columns."


def _open(
    schema: Schema, request: ScanRequest, given: list[Path | bytes], opened: ExitStack
) -> tuple[RowSource, Plan]:
    plan = plans.decode(request.plan) if request.plan else None
    if len(given) > 1:
        plan = plan or plans.for_files(schema, request.values)
        return _Uploads(given, request), plan
    file = opened.enter_context(_opened(given[0]))
    begin = file.read(8)
    if begin.startswith(OLD_EXCEL):
        raise BadRequest(EXCEL)
    if begin.startswith(MAGIC):
        table = ParquetTable(given[0] if isinstance(given[0], Path) else io.BytesIO(given[0]))
        plan = plan or plans.for_table(
            schema, plans.PARQUET, table.columns, request.values, keep=request.keep
        )
        return _ParquetSource(table, request.position), plan
    if begin.startswith(ZIP_MAGIC):
        plan = plan or plans.for_files(schema, request.values)
        return _ZipSource(schema, plan, file, request.position), plan
    if plan is None and _is_file(schema, request):
        return _Uploads(given, request), plans.for_files(schema, request.values)
    if plan is not None and plan.source == plans.FILES:
        return _Uploads(given, request), plan
    return _open_csv(schema, request, file, plan)


def _is_file(schema: Schema, request: ScanRequest) -> bool:
    """Return whether a single upload is the value of a parameter, not a table."""
    media_type = request.media_type.partition(";")[0].strip().lower()
    if media_type in ("text/csv", "text/plain", "", "application/octet-stream"):
        return False
    takers = file_parameters(schema.input)
    return any(one.accept and one.accepts("", media_type) for one in takers)


def _open_csv(
    schema: Schema, request: ScanRequest, file: BinaryIO, plan: Plan | None
) -> tuple[RowSource, Plan]:
    if plan is not None:
        return _CsvSource(file, plan, request.position), plan
    head = csv_source.read_head(file, charset(request.media_type))
    plan = plans.for_table(schema, plans.CSV, head.columns, request.values, keep=request.keep)
    plan.separator, plan.decimal, plan.charset = head.separator, head.decimal, head.charset
    return _CsvSource(file, plan, head.begin), plan


def _opened(given: Path | bytes) -> BinaryIO:
    return given.open("rb") if isinstance(given, Path) else io.BytesIO(given)


class _CsvSource(RowSource):
    def __init__(self, file: BinaryIO, plan: Plan, position: int) -> None:
        self._rows = csv_source.CsvRows(file, position, plan.separator, plan.charset)
        self.position = position
        self.total = file.seek(0, io.SEEK_END)

    def blocks(self) -> Iterator[Block]:
        rows: list[list[str]] = []
        begin = self.position
        for row in self._rows:
            rows.append(row)
            if len(rows) >= BLOCK_ROWS or self._rows.position - begin >= BLOCK_BYTES:
                self.position = begin = self._rows.position
                yield _block(rows)
                rows = []
        self.position = self.total
        if rows:
            yield _block(rows)


class _ParquetSource(RowSource):
    def __init__(self, table: ParquetTable, position: int) -> None:
        self._table = table
        self.position = position
        self.total = table.groups

    def blocks(self) -> Iterator[Block]:
        for group in range(self.position, self.total):
            found = [Block(rows=rows, data=data) for rows, data in self._table.blocks(group)]
            yield from found[:-1]
            self.position = group + 1
            yield from found[-1:]


class _ZipSource(RowSource):
    def __init__(self, schema: Schema, plan: Plan, file: BinaryIO, position: int) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
            names = {info.filename for info in self._zip.infolist()}
        except (zipfile.BadZipFile, ValueError, OSError):
            raise BadRequest("The ZIP is damaged and cannot be read.") from None
        if "[Content_Types].xml" in names:
            raise BadRequest(EXCEL)
        self._entries = [info for info in self._zip.infolist() if _is_content(info)]
        limits = {one.name: one.max_bytes for one in file_parameters(schema.input)}
        self._limit = limits.get(plan.used[0], 0) or 2**31
        self.position = position
        self.total = len(self._entries)

    def blocks(self) -> Iterator[Block]:
        rows: list[tuple[str, bytes]] = []
        size = 0
        for at in range(self.position, self.total):
            name, data = self._read(self._entries[at])
            rows.append((name, data))
            size += len(data)
            if len(rows) >= BLOCK_ROWS or size >= BLOCK_BYTES:
                self.position = at + 1
                yield _block(rows)
                rows, size = [], 0
        self.position = self.total
        if rows:
            yield _block(rows)

    def _read(self, info: zipfile.ZipInfo) -> tuple[str, bytes]:
        if info.file_size > self._limit:
            raise BadRequest(
                f"{info.filename[:100]!r} has {info.file_size:,} bytes; the service takes at most "
                f"{self._limit:,}."
            )
        try:
            return info.filename, self._zip.read(info)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError):
            raise BadRequest(
                f"{info.filename[:100]!r} in the ZIP cannot be read: it is damaged or encrypted."
            ) from None


def _is_content(info: zipfile.ZipInfo) -> bool:
    """Return whether an entry is a file that somebody put there, not one of an operating system."""
    parts = info.filename.split("/")
    hidden = any(part.startswith((".", "__MACOSX")) or part == "Thumbs.db" for part in parts)
    return not info.is_dir() and not hidden


class _Uploads(RowSource):
    """Several files, each of which is a row."""

    def __init__(self, given: list[Path | bytes], request: ScanRequest) -> None:
        self._given = given
        self._names = request.names
        self.position = request.position
        self.total = len(given)

    def blocks(self) -> Iterator[Block]:
        for at in range(self.position, self.total):
            name = self._names[at] if at < len(self._names) else ""
            with _opened(self._given[at]) as file:
                data = file.read()
            self.position = at + 1
            yield _block([(name or str(at + 1), data)])


def _block(rows: list[list[str]] | list[tuple[str, bytes]]) -> Block:
    return Block(rows=len(rows), data=msgspec.msgpack.encode(rows))


def rows_in(plan: Plan, data: bytes) -> list[list[object]]:
    """Return the cells of the rows of a block."""
    if plan.source == plans.PARQUET:
        return rows_of(data)
    return msgspec.msgpack.decode(data, type=list[list[object]])


def _try_rows(schema: Schema, plan: Plan, block: Block) -> None:
    """Raise ``BadRequest`` if none of the first rows can be used."""
    if plan.source == plans.FILES:
        return
    reader = RowValues(schema, plan)
    first: EasyMLNBError | None = None
    rows = rows_in(plan, block.data)[:TRIED]
    for cells in rows:
        try:
            reader.load(cells)
            return
        except EasyMLNBError as error:
            first = first or error
    assert first is not None
    count = f"None of the first {len(rows)} rows" if len(rows) > 1 else "The only row is not usable"
    text = f"{count} is usable" if len(rows) > 1 else count
    raise BadRequest(f"{text}. Row 1: {first.message}")
