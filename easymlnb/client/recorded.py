"""Operations on recorded calls, flags and comparisons."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easymlnb.client import decoding, operations, uploads
from easymlnb.client.messages import Operation, Request, raise_for_error
from easymlnb.client.operations import SpecCache, full_name, service_path
from easymlnb.contract.jsonschema import properties

SOURCES = ("examples", "recorded", "flagged")
ROWS = ":rows"
"""The field of an upload that is a table of inputs."""

PAGE = 1000
WAIT_SECONDS = 20
"""Seconds that the server holds a request for the end of a comparison."""
DATASET_SECONDS = 600.0
JSON = {"Content-Type": "application/json"}
UNFINISHED = ("queued", "running")


def flag(specs: SpecCache, name: str, body: Mapping[str, Any]) -> Operation[dict[str, Any]]:
    """Flag a call."""
    path = service_path((yield from full_name(specs, name)), "flag")
    request = Request("POST", path, headers=JSON, content=json.dumps(body).encode())
    return dict(raise_for_error((yield request)).json())


def records(specs: SpecCache, name: str, kind: str) -> Operation[list[dict[str, Any]]]:
    """Get all pages of the recorded calls of a kind, or of both kinds."""
    path = service_path((yield from full_name(specs, name)), "records")
    found: list[dict[str, Any]] = []
    start: int | None = 0
    while start is not None:
        params = {"start": start, "limit": PAGE} | ({"kind": kind} if kind else {})
        page = raise_for_error((yield Request("GET", path, params=params))).json()
        found += page["records"]
        start = page["next"]
    return found


def inputs(specs: SpecCache, name: str, id: str) -> Operation[dict[str, Any]]:
    """Get the inputs of a recorded call, with files as objects."""
    spec = yield from operations.spec(specs, name)
    content = yield from operations.get_of_service(specs, name, "records", id)
    known = properties(spec.input)
    return {
        key: decoding.revive(value, known.get(key, {}), spec.input)
        for key, value in (content["input"] or {}).items()
    }


def code(specs: SpecCache, name: str, id: str) -> Operation[str]:
    """Get the cell that repeats a recorded call."""
    path = service_path((yield from full_name(specs, name)), "records", id, "code")
    return raise_for_error((yield Request("GET", path))).body.decode()


def dataset(specs: SpecCache, name: str, kind: str, form: str) -> Operation[bytes]:
    """Get the recorded calls of a kind as a file."""
    path = service_path((yield from full_name(specs, name)), "records", "dataset")
    params = {"kind": kind, "format": form}
    return raise_for_error((yield Request("GET", path, DATASET_SECONDS, params=params))).body


def remove(specs: SpecCache, name: str, id: str, caller: str, kind: str) -> Operation[int]:
    """Delete one recorded call, those of a caller, or all."""
    path = service_path((yield from full_name(specs, name)), "records")
    if id:
        raise_for_error((yield Request("DELETE", f"{path}/{id}")))
        return 1
    params = {"caller": caller} if caller else {"all": "true"}
    request = Request("DELETE", path, params=params | ({"kind": kind} if kind else {}))
    return int(raise_for_error((yield request)).json()["removed"])


def compare(
    specs: SpecCache, name: str, body: dict[str, Any], on: str, wait: bool
) -> Operation[dict[str, Any]]:
    """Start a comparison, and wait for its end if wanted."""
    full = yield from full_name(specs, name)
    body["on"] = on
    uploaded: dict[str, str] = {}
    if on not in SOURCES:
        path = Path(on)
        if not path.is_file():
            raise ValueError(
                f"on must be one of {', '.join(SOURCES)}, or the path of a table, not {on!r}."
            )
        uploaded = yield from uploads.send(full, ROWS, path)
        body["on"] = {"upload": uploaded["upload"]}
    request = Request(
        "POST", service_path(full, "comparisons"), headers=JSON, content=json.dumps(body).encode()
    )
    started = dict(raise_for_error((yield request)).json())
    if uploaded:
        yield from uploads.remove(uploaded)
    if not wait:
        return started
    while True:
        request = Request(
            "GET", f"comparisons/{started['id']}", 60.0, params={"wait": WAIT_SECONDS}
        )
        found = dict(raise_for_error((yield request)).json())
        if found["state"] not in UNFINISHED:
            return found
