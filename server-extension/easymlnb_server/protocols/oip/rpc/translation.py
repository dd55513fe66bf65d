"""Messages of gRPC as the bodies of REST, and back: a JSON head, then the bytes of tensors."""

import asyncio
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from easymlnb.contract.errors import BadRequest, ResultNotEncodable, TooLarge
from easymlnb.contract.tensors import BYTES, FORMATS, LENGTH_SIZE, TENSORS, parameters_of
from easymlnb.contract.worker_protocol import LARGE
from easymlnb_server.protocols.oip import framing
from easymlnb_server.protocols.oip.framing import Inference
from easymlnb_server.protocols.oip.models import ModelMetadata
from easymlnb_server.protocols.oip.rpc.messages import message
from easymlnb_server.protocols.oip.statistics import ModelStatistics

CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
"""Datatype -> field with the elements of a tensor that is not raw; FP16 and BF16 have none."""

Json = dict[str, Any]


def to_body(request: Any) -> tuple[bytes, Inference]:
    """Return the body of a request, and the fields of its call; raises ``BadRequest``."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise BadRequest(
            f"raw_input_contents has {len(raw)} entries for {len(request.inputs)} inputs."
        )
    inputs: list[Json] = []
    tail: list[bytes] = []
    for at, sent in enumerate(request.inputs):
        data = raw[at] if raw else _packed(sent)
        tail.append(data)
        parameters = _parameters(sent.parameters) | {"binary_data_size": len(data)}
        inputs.append(
            {
                "name": sent.name,
                "datatype": sent.datatype,
                "shape": list(sent.shape),
                "parameters": parameters,
            }
        )
    head: Json = {
        "id": request.id,
        "inputs": inputs,
        "parameters": _parameters(request.parameters) | {"binary_data_output": True},
    }
    if request.outputs:
        head["outputs"] = [
            {"name": one.name, "parameters": _parameters(one.parameters) | {"binary_data": True}}
            for one in request.outputs
        ]
    encoded = msgspec.json.encode(head)
    return b"".join((encoded, *tail)), framing.parse(encoded, len(encoded))


async def body_of(request: Any, limit: int) -> tuple[bytes, Inference]:
    """Return what ``to_body`` does; millions of numbers are packed in a thread.

    Raises ``BadRequest`` or ``TooLarge``.
    """
    large = request.ByteSize() > LARGE
    found = await asyncio.to_thread(to_body, request) if large else to_body(request)
    if (size := len(found[0])) > limit:
        raise TooLarge(f"The request of {size:,} bytes is over the limit of {limit:,} bytes.")
    return found


def _parameters(sent: Mapping[str, Any]) -> Json:
    found: Json = {}
    for name, value in sent.items():
        kind = value.WhichOneof("parameter_choice")
        found[name] = getattr(value, kind) if kind else None
    return found


def _packed(sent: Any) -> bytes:
    """Return the elements of a tensor as bytes; raises ``BadRequest``."""
    if sent.datatype == BYTES:
        return with_lengths(sent.contents.bytes_contents)
    field = CONTENTS.get(sent.datatype)
    if field is None:
        raise BadRequest(
            f"The input {sent.name[:80]!r} of the datatype {sent.datatype[:20]!r} must be in "
            "raw_input_contents."
        )
    values = getattr(sent.contents, field)
    try:
        return struct.pack(f"<{len(values)}{FORMATS[sent.datatype]}", *values)
    except struct.error as error:
        raise BadRequest(
            f"The input {sent.name[:80]!r} has numbers outside the range of {sent.datatype}."
        ) from error


def with_lengths(elements: Iterable[bytes]) -> bytes:
    """Return the bytes of a ``BYTES`` tensor: each element follows its length."""
    return b"".join(len(one).to_bytes(LENGTH_SIZE, "little") + one for one in elements)


def to_response(content_type: str, body: bytes, name: str, version: str, id: str) -> Any:
    """Return the message of a kernel's result; raises ``ResultNotEncodable``."""
    length = parameters_of(content_type).get("head", "")
    if not (length.isascii() and length.isdigit()):
        raise ResultNotEncodable("The worker's result is not in the form of tensors.")
    response = message("ModelInferResponse")(model_name=name, model_version=version, id=id)
    offset = int(length)
    for output in msgspec.json.decode(body[:offset])["outputs"]:
        parameters = output.get("parameters") or {}
        size = parameters.pop("binary_data_size")
        one = response.outputs.add(
            name=output["name"], datatype=output["datatype"], shape=output["shape"]
        )
        for key, value in parameters.items():
            one.parameters[key].string_param = str(value)
        response.raw_output_contents.append(body[offset : offset + size])
        offset += size
    return response


def item_response(body: bytes, name: str, version: str, id: str) -> Any:
    """Return the message of an item of a stream, which begins with the length of its head."""
    length = int.from_bytes(body[:LENGTH_SIZE], "little")
    kind = f"{TENSORS};head={length}"
    return to_response(kind, body[LENGTH_SIZE:], name, version, id)


def to_metadata(metadata: ModelMetadata) -> Any:
    """Return the message that describes a model."""
    response = message("ModelMetadataResponse")(
        name=metadata.name, versions=metadata.versions, platform=metadata.platform
    )
    for field, tensors in (
        (response.inputs, metadata.inputs),
        (response.outputs, metadata.outputs),
    ):
        for one in tensors:
            field.add(name=one.name, datatype=one.datatype, shape=one.shape)
    return response


def to_statistics(found: ModelStatistics) -> Any:
    """Return the message with the statistics of a version."""
    fields = msgspec.to_builtins(found)
    del fields["batch_stats"]
    return message("ModelStatistics")(**fields)
