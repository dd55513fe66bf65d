"""Join the parts of a batch to its result, and list the rows that failed."""

import asyncio
import csv
import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import msgspec

from easymlnb.contract.batch_protocol import RowError
from easymlnb_server.batches.models import BatchOptions, BatchProgress, Part
from easymlnb_server.batches.pool_calls import PoolCalls
from easymlnb_server.batches.repository import BatchRepository
from easymlnb_server.identity.names import short_name
from easymlnb_server.jobs.bodies import store_content
from easymlnb_server.jobs.models import Job, StoredFile
from easymlnb_server.jobs.run import JobRun
from easymlnb_server.store.files import Files
from easymlnb_server.uploads.spool import Spool, SpooledFile

PARQUET, ZIP = "parquet", "zip"

TYPES = {
    "csv": "text/csv",
    PARQUET: "application/vnd.apache.parquet",
    ZIP: "application/zip",
}
"""The media types of results by their kind."""

LIST = "results.csv"
"""The file of a ZIP with the inputs and the name of each result."""

CHUNK = 2**20


async def store(
    run: JobRun,
    repository: BatchRepository,
    calls: PoolCalls,
    progress: BatchProgress,
    options: BatchOptions,
) -> dict[str, Any]:
    """Store the result of a batch and its list of errors; return the columns of the job."""
    job, files = run.job, run.parts.files
    parts = [part.file for part in await asyncio.to_thread(repository.parts, job.id)]
    if progress.failed:
        await asyncio.to_thread(_store_errors, run, parts)
    if progress.kind == PARQUET:
        sizes, pieces = await asyncio.to_thread(_pieces, files, run.parts.spool, parts)
        name, _ = await asyncio.to_thread(store_content, files, await calls.join(sizes, pieces))
    elif progress.kind == ZIP:
        name = await asyncio.to_thread(_store_zip, files, progress.header, parts)
    else:
        name, _ = await asyncio.to_thread(
            lambda: files.put_chunks(_csv(files, progress.header, parts))
        )
    kind = progress.kind
    return {
        "result": name,
        "result_type": TYPES[kind],
        "result_name": _file_name(job, options, kind),
    }


def _file_name(job: Job, options: BatchOptions, kind: str) -> str:
    """Return the name of the result as a download."""
    given = options.names[0] if len(options.names) == 1 else ""
    stem = PurePosixPath(given).stem or short_name(job.service)
    return f"{stem}-results.{kind}"


def _read(files: Files, names: list[str]) -> Iterator[Part]:
    for name in names:
        yield msgspec.msgpack.decode(files.get(name), type=Part)


def _csv(files: Files, header: str, parts: list[str]) -> Iterator[bytes]:
    yield files.get(header)
    for part in _read(files, parts):
        yield b"".join(part.pieces)


def _pieces(files: Files, spool: Spool, parts: list[str]) -> tuple[list[int], SpooledFile]:
    """Write all pieces into one file; return their sizes and the file."""
    sizes, file = [], spool.create_on_disk()
    for part in _read(files, parts):
        for piece in part.pieces:
            sizes.append(len(piece))
            file.write(piece)
    file.make_read_only()
    file.close_descriptor()
    return sizes, file


def _store_zip(files: Files, header: str, parts: list[str]) -> str:
    """Write the files of all rows and their list; return the name of the ZIP."""
    with tempfile.TemporaryFile() as file:
        listed = [files.get(header)]
        used = {LIST}
        # Images and the like do not get smaller.
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for part in _read(files, parts):
                listed += part.pieces
                for name, data in part.files:
                    archive.writestr(_free_name(name, used), data)
            archive.writestr(LIST, b"".join(listed), zipfile.ZIP_DEFLATED)
        file.seek(0)
        return files.put_chunks(iter(lambda: file.read(CHUNK), b""))[0]


def _free_name(name: str, used: set[str]) -> str:
    path, count = PurePosixPath(name), 1
    while name in used:
        count += 1
        name = str(path.with_name(f"{path.stem}-{count}{path.suffix}"))
    used.add(name)
    return name


def _store_errors(run: JobRun, parts: list[str]) -> None:
    """Add the rows that failed to the files of the job."""
    errors: list[RowError] = []
    for part in _read(run.parts.files, parts):
        errors += part.errors
    data = errors_csv(errors)
    name = run.parts.files.put(data)
    file = StoredFile("errors.csv", name, len(data), "text/csv", run.job.attempt)
    run.parts.repository.save_file(run.job, file)


def errors_csv(errors: list[RowError]) -> bytes:
    """Return the list of rows that failed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "code", "message"])
    writer.writerows([error.row, error.code, error.message] for error in errors)
    return text.getvalue().encode()
