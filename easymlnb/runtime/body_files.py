"""Bodies in files instead of frames: read and written where the server expects them.

Only a kernel on the server's own host can do so; it proves that with what it finds at a probe.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import CallCancelled
from easymlnb.contract.service_call_protocol import ServiceResult
from easymlnb.contract.worker_protocol import LARGE, Call, Message, SharedFilesystem
from easymlnb.services import codec
from easymlnb.services.definition import Service
from easymlnb.types.uploaded_files import Data, contents, sent

PROBE = 64
"""Bytes that are read of a probe at most."""


def answer_probe(probe: str) -> Message | None:
    """Return what proves that this kernel can read the server's file; ``None`` if it cannot."""
    try:
        with open(probe, "rb") as file:
            return SharedFilesystem(proof=file.read(PROBE))
    except OSError:
        return None


def read(service: Service, call: Call, body: bytes) -> dict[str, Any]:
    """Return a call's checked arguments; raises what ``codec.read`` does."""
    if not call.file and not call.uploads:
        return codec.decode_request(service.schema, call.content_type, body)
    data: Data = body
    files: dict[str, Path | bytes] = {}
    for name, path, size in reversed(call.uploads):
        files[name] = Path(path) if path else bytes(data[len(data) - size :])
        data = data if path else data[: len(data) - size]
    own = Path(call.file) if call.file else None
    try:
        with sent(files):
            return codec.decode_request(
                service.schema, call.content_type, contents(own) if own else data, own
            )
    except FileNotFoundError:
        # The server removes it only when nobody waits for the answer.
        raise CallCancelled from None


def given(message: ServiceResult, body: bytes) -> Data:
    """Return the body of an answer to a question; raises ``OSError``."""
    return contents(Path(message.file)) if message.file else body


def leave(call: Call, body: Data) -> str:
    """Leave a large result in the call's room and return its name; empty if it goes in a frame."""
    return leave_in(call.result_folder, body) if call.result_folder and len(body) > LARGE else ""


def leave_in(room: str, body: Data) -> str:
    """Leave bytes in a room and return their file's name; empty if there is no room for them."""
    name = secrets.token_hex(16)
    path = Path(room) / name
    try:
        found = os.statvfs(room)
        if found.f_bavail * found.f_frsize < 2 * len(body):
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
