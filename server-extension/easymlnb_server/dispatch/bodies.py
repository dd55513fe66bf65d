"""The body of a call: in the frame, or as a file."""

from dataclasses import dataclass

import msgspec

from easymlnb.contract.worker_protocol import Call, pack
from easymlnb_server.uploads.spool import KernelFileShare, SpooledFile


@dataclass(frozen=True, slots=True)
class FileBody:
    """A body that is a file or refers to uploads.

    - ``data``: the body, if it is not in ``file``
    - ``file``: the spooled body
    - ``uploads``: files uploaded before the call, as pairs of id and file
    """

    data: bytes = b""
    file: SpooledFile | None = None
    uploads: tuple[tuple[str, SpooledFile], ...] = ()


Body = bytes | FileBody


def frame(call: Call, body: Body, file_share: KernelFileShare | None) -> bytes:
    """Return the frame of a call.

    With a ``file_share`` the kernel runs on this host and gets the paths of files; otherwise it
    gets their contents.
    """
    if file_share is not None:
        call.result_folder = file_share.path
    if isinstance(body, bytes):
        return pack(call, body)
    if file_share is None:
        contents = [body.file.read() if body.file is not None else body.data]
        contents += [file.read() for _, file in body.uploads]
        uploads = tuple((id, "", file.size) for id, file in body.uploads)
        return pack(msgspec.structs.replace(call, uploads=uploads), b"".join(contents))
    uploads = tuple((id, str(file.path), file.size) for id, file in body.uploads)
    path = "" if body.file is None else str(body.file.path)
    return pack(msgspec.structs.replace(call, file=path, uploads=uploads), body.data)
