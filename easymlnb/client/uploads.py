"""Files that are too large for one request: sent in parts before the call that uses them."""

import json
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easymlnb.client.messages import Request, checked
from easymlnb.client.operations import Operation
from easymlnb.contract.errors import UploadOffset
from easymlnb.contract.file_parameters import file_parameters
from easymlnb.contract.spec import ServiceSpec

LARGE = 32 * 2**20
"""Bytes from which a file is sent so: in parts, of which one at a time is in memory."""
PART_SECONDS = 120.0

HEADER = "X-Easymlnb-Uploads"


def large(spec: ServiceSpec, values: Mapping[str, Any]) -> dict[str, Path]:
    """Return the large files among a call's values, by parameter."""
    found = {
        name: value
        for name, value in values.items()
        if isinstance(value, Path) and value.is_file() and value.stat().st_size > LARGE
    }
    # A stream's end is not known here, and until then its files must stay.
    return {} if spec.stream or not found else _taken(spec, found)


def _taken(spec: ServiceSpec, found: dict[str, Path]) -> dict[str, Path]:
    names = {one.name for one in file_parameters(spec.input)}
    return {name: path for name, path in found.items() if name in names}


def send(service: str, field: str, path: Path) -> Operation[str]:
    """Send a file for a parameter and return its id; raises what the server says to it."""
    told = {"name": path.name, "media_type": _kind(path), "size": path.stat().st_size}
    begun = checked(
        (
            yield Request(
                "POST",
                "uploads",
                headers={"Content-Type": "application/json"},
                params={"service": service, "field": field},
                content=json.dumps(told).encode(),
            )
        )
    ).json()
    at = 0
    with path.open("rb") as file:
        while part := file.read(int(begun["chunk"])):
            answer = yield Request(
                "PUT",
                f"uploads/{begun['id']}",
                PART_SECONDS,
                {"Content-Type": "application/octet-stream"},
                {"offset": at},
                part,
            )
            now = checked(answer).json()["offset"]
            if now != at + len(part):
                raise UploadOffset(now)
            at = now
    return str(begun["id"])


def value(id: str, path: Path) -> dict[str, str]:
    """Return what stands for the file in the call."""
    return {"upload": id, "name": path.name, "media_type": _kind(path)}


def forget(id: str) -> Operation[None]:
    """Take a file back; that it is gone already is fine."""
    yield Request("DELETE", f"uploads/{id}")


def _kind(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"
