"""Files that are too large for one request: sent in parts before the call that uses them."""

import json
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easymlnb.client.messages import Operation, Request, raise_for_error
from easymlnb.contract.errors import UploadOffset
from easymlnb.contract.file_parameters import file_parameters
from easymlnb.contract.spec import ServiceSpec

LARGE = 32 * 2**20
"""Bytes above which a file is sent in parts, of which one at a time is in memory."""
PART_SECONDS = 120.0

HEADER = "X-Easymlnb-Uploads"


def large_files(spec: ServiceSpec, values: Mapping[str, Any]) -> dict[str, Path]:
    """Return the large files among a call's values, by parameter."""
    found = {
        name: value
        for name, value in values.items()
        if isinstance(value, Path) and value.is_file() and value.stat().st_size > LARGE
    }
    # The end of a stream is not known here, and its files must exist until then.
    if spec.stream or not found:
        return {}
    accepted = {parameter.name for parameter in file_parameters(spec.input)}
    return {name: path for name, path in found.items() if name in accepted}


def send(service: str, field: str, path: Path) -> Operation[dict[str, str]]:
    """Send a file for a parameter and return what takes its place in the call."""
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    file_info = {"name": path.name, "media_type": media_type}
    request = Request(
        "POST",
        "uploads",
        headers={"Content-Type": "application/json"},
        params={"service": service, "field": field},
        content=json.dumps({**file_info, "size": path.stat().st_size}).encode(),
    )
    upload = raise_for_error((yield request)).json()
    yield from send_parts(upload, path)
    return {"upload": str(upload["id"]), **file_info}


def send_parts(upload: Mapping[str, Any], path: Path) -> Operation[None]:
    """Send the parts of a file that was announced."""
    offset = 0
    with path.open("rb") as file:
        while part := file.read(int(upload["chunk"])):
            response = yield Request(
                "PUT",
                f"uploads/{upload['id']}",
                PART_SECONDS,
                {"Content-Type": "application/octet-stream"},
                {"offset": offset},
                part,
            )
            received = raise_for_error(response).json()["offset"]
            if received != offset + len(part):
                raise UploadOffset(received)
            offset = received


def remove(file: Mapping[str, str]) -> Operation[None]:
    """Remove a sent file; it may be gone already."""
    yield Request("DELETE", f"uploads/{file['upload']}")
