"""Bodies in files instead of frames, in folders that the server and the kernel share.

Only a kernel on the server's host uses them. It proves that with the content of a probe file.
"""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from easymlnb.contract.errors import CallCancelled
from easymlnb.contract.service_call_protocol import ServiceResult
from easymlnb.contract.worker_protocol import LARGE, Call, Message, SharedFilesystem
from easymlnb.services import codec
from easymlnb.services.definition import Service
from easymlnb.services.schema import Schema
from easymlnb.types.uploaded_files import Data, contents, sent

T = TypeVar("T")

PROBE = 64
"""Maximum bytes that are read from a probe file."""


def answer_probe(probe: str) -> Message | None:
    """Return the proof that this kernel can read the server's file; ``None`` if it cannot."""
    try:
        with open(probe, "rb") as file:
            return SharedFilesystem(proof=file.read(PROBE))
    except OSError:
        return None


def read_arguments(service: Service, call: Call, body: bytes) -> dict[str, Any]:
    """Return a call's validated arguments; raises what ``codec.decode_request`` does."""
    if not call.file and not call.uploads:
        return codec.decode_request(service.schema, call.content_type, body)
    return _read(service, call, body, codec.decode_request)


def read_rows(service: Service, call: Call, body: bytes) -> list[dict[str, Any]]:
    """Return the validated arguments of each row; raises what ``codec.decode_rows`` does."""
    return _read(service, call, body, codec.decode_rows)


def _read(
    service: Service,
    call: Call,
    body: bytes,
    decode: Callable[[Schema, str, Data, Path | None], T],
) -> T:
    data, files = received(call, body)
    own = Path(call.file) if call.file else None
    try:
        with sent(files):
            return decode(service.schema, call.content_type, contents(own) if own else data, own)
    except FileNotFoundError:
        # The server removes the file only after the caller has left.
        raise CallCancelled from None


def received(call: Call, body: bytes) -> tuple[Data, dict[str, Path | bytes]]:
    """Return the body of a frame without its uploads, and the uploads by id, in their order."""
    data: Data = body
    files: dict[str, Path | bytes] = {}
    for name, path, size in reversed(call.uploads):
        files[name] = Path(path) if path else bytes(data[len(data) - size :])
        data = data if path else data[: len(data) - size]
    return data, dict(reversed(files.items()))


def response_body(message: ServiceResult, body: bytes) -> Data:
    """Return the body of a response to this kernel's request; raises ``OSError``."""
    return contents(Path(message.file)) if message.file else body


def store_result(call: Call, body: Data) -> str:
    """Store a large result in the call's shared folder; return its name, empty for small ones."""
    return store_in(call.result_folder, body) if call.result_folder and len(body) > LARGE else ""


def store_in(folder: str, body: Data) -> str:
    """Store bytes in a shared folder; return the file's name, empty if the disk is too full."""
    name = secrets.token_hex(16)
    path = Path(folder) / name
    try:
        disk = os.statvfs(folder)
        if disk.f_bavail * disk.f_frsize < 2 * len(body):
            return ""
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", 0) as file:
            left = memoryview(body)
            while left:
                left = left[file.write(left) or 0 :]
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return ""
    return name
