"""The input and the result of jobs, as stored files."""

from pathlib import Path

from easymlnb.contract.job_protocol import END_FILE, JOBS_FOLDER, attempt_folder
from easymlnb.contract.worker_protocol import LARGE, Failure, Result, unpack_to_server
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.jobs.models import JobInput
from easymlnb_server.store.files import Files
from easymlnb_server.uploads.spool import Spool, SpooledFile


def store_body(files: Files, body: Body) -> JobInput:
    """Store the body of a call, with its uploads; blocks."""
    if isinstance(body, bytes):
        return JobInput(file=files.put(body))
    data = store_content(files, body.file if body.file is not None else body.data)[0]
    stored = ((id, *store_content(files, file)) for id, file in body.uploads)
    return JobInput(file=data, uploads=tuple(stored))


def store_content(files: Files, content: bytes | SpooledFile) -> tuple[str, int]:
    """Store bytes or a spooled file; return the name and the size; blocks."""
    if isinstance(content, bytes):
        return files.put(content), len(content)
    return files.put_chunks(content.chunks())


def load_body(files: Files, spool: Spool, stored: JobInput) -> Body:
    """Return the body of a job's call; large files are copied into the spool; blocks."""
    if not stored.uploads and files.size(stored.file) <= LARGE:
        return files.get(stored.file)
    uploads = tuple((id, _spooled(files, spool, name)) for id, name, _ in stored.uploads)
    if files.size(stored.file) <= LARGE:
        return FileBody(files.get(stored.file), None, uploads)
    return FileBody(file=_spooled(files, spool, stored.file), uploads=uploads)


def _spooled(files: Files, spool: Spool, name: str) -> SpooledFile:
    file = spool.create_on_disk(files.size(name))
    for chunk in files.chunks(name):
        file.write(chunk)
    file.make_read_only()
    file.close_descriptor()
    return file


def read_end(folder: Path, job: str, attempt: int) -> tuple[Result | Failure, bytes] | None:
    """Return the result that a worker left in its folder before it ended; blocks."""
    try:
        data = (folder / JOBS_FOLDER / attempt_folder(job, attempt) / END_FILE).read_bytes()
        message, body = next(unpack_to_server(data))
    except (OSError, ValueError, StopIteration):
        return None
    return (message, body) if isinstance(message, Result | Failure) else None
