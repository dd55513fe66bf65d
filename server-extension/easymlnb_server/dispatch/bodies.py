"""The body of a call: in the frame, or as a file."""

from dataclasses import dataclass

import msgspec

from easymlnb.contract.worker_protocol import Call, pack
from easymlnb_server.uploads.spool import KernelFileShare, SpooledFile


@dataclass(frozen=True, slots=True)
class FileBody:
    """A body in a file, if it is not ``data``, and the files sent before it, by their ids."""

    data: bytes = b""
    file: SpooledFile | None = None
    uploads: tuple[tuple[str, SpooledFile], ...] = ()


Body = bytes | FileBody


def frame(call: Call, body: Body, room: KernelFileShare | None) -> bytes:
    """Return the frame of a call; without a ``room`` the kernel is elsewhere and gets all bytes."""
    if room is not None:
        call.result_folder = room.path
    if isinstance(body, bytes):
        return pack(call, body)
    if room is None:
        files = [body.file.read() if body.file is not None else body.data]
        files += [sent.read() for _, sent in body.uploads]
        told = tuple((name, "", sent.size) for name, sent in body.uploads)
        return pack(msgspec.structs.replace(call, uploads=told), b"".join(files))
    told = tuple((name, str(sent.path), sent.size) for name, sent in body.uploads)
    path = "" if body.file is None else str(body.file.path)
    return pack(msgspec.structs.replace(call, file=path, uploads=told), body.data)
