"""Take inference requests and responses apart, and put them together. Pure functions.

A body is a JSON head, then the bytes of tensors. Only the kernel reads the tensors; the server
reads what concerns the call: its id, its limits, and which outputs are wanted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from easymlnb.contract.errors import BadRequest, ResultNotEncodable
from easymlnb.contract.tensors import TENSORS, WantedOutputs, is_tensors, parameters_of
from easymlnb_server.calls.models import MIN_TIMEOUT

HEAD_LENGTH = "Inference-Header-Content-Length"
"""The header with the bytes of the JSON head, if bytes of tensors follow."""

JSON = "application/json"
OCTETS = "application/octet-stream"

LOW_PRIORITY = 2
"""Value of ``priority`` from which interactive calls go first: 1 is the highest, 0 the default."""

Parameters = dict[str, Any] | None
Name = Annotated[str, Meta(min_length=1)]


class WantedOutput(msgspec.Struct, frozen=True):
    """An output that a request asks for."""

    name: Name
    parameters: Parameters = None


class InferenceHead(msgspec.Struct, frozen=True):
    """What the server reads of the head of a request."""

    inputs: tuple[msgspec.Raw, ...]
    id: str | None = None
    parameters: Parameters = None
    outputs: tuple[WantedOutput, ...] | None = None


_head = msgspec.json.Decoder(InferenceHead)


@dataclass(frozen=True, slots=True)
class Inference:
    """An inference request as the fields of a call.

    - ``id``: the request's own id, which is in the response
    - ``timeout``: seconds, infinite without a limit
    """

    content_type: str
    accept: str
    id: str = ""
    timeout: float = float("inf")
    low_priority: bool = False


def head_length(header: str | None) -> int | None:
    """Return the bytes of the head by the request's header; ``None`` without one.

    Raises ``BadRequest``.
    """
    if header is None:
        return None
    if not (header.isascii() and header.isdigit() and len(header) < 20):
        raise BadRequest(
            f"Invalid {HEAD_LENGTH} {header[:40]!r}: use the bytes of the JSON at the beginning of "
            "the body."
        )
    return int(header)


def inference(length: int | None, size: int, read: Callable[[int], bytes]) -> Inference:
    """Return the call of a request; raises ``BadRequest``.

    Parameters
    ----------
    length
        The bytes of the head by the request's header, ``None`` without one. Clients that use one
        dictionary of headers for all requests send the length of an earlier one: then the whole
        body is JSON.
    size
        The bytes of the body.
    read
        Returns the first bytes of the body.
    """
    if length is None or length > size:
        return parse(read(size), None)
    head = read(length)
    try:
        return parse(head, length)
    except BadRequest:
        if length == size or _is_json(head) or not _is_json(whole := read(size)):
            raise
        return parse(whole, None)


def parse(head: bytes | memoryview, length: int | None) -> Inference:
    """Return the call of a request with this JSON head; raises ``BadRequest``.

    ``length`` is that of the head, if bytes of tensors may follow; 0 if the whole body is the only
    input.
    """
    if length == 0:
        return Inference(f"{TENSORS};raw=1", WantedOutputs(binary=True).accept())
    try:
        found = _head.decode(head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not a valid inference request ({error}).") from error
    parameters = found.parameters or {}
    return Inference(
        content_type=TENSORS if length is None else f"{TENSORS};head={length}",
        accept=_wanted(found, parameters).accept(),
        id=found.id or "",
        timeout=_timeout(parameters.get("timeout")),
        low_priority=_is_low_priority(parameters.get("priority")),
    )


def _is_json(head: bytes | memoryview) -> bool:
    """Return whether bytes are a JSON document."""
    try:
        msgspec.json.decode(head, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _wanted(head: InferenceHead, parameters: Mapping[str, Any]) -> WantedOutputs:
    outputs: dict[str, bool] = {}
    binary = _flag(parameters, "binary_data_output")
    for output in head.outputs or ():
        more = output.parameters or {}
        if "classification" in more or "shared_memory_region" in more:
            raise BadRequest(
                f"The output {output.name[:80]!r} asks for classification or shared memory, which "
                "are not supported."
            )
        outputs[output.name] = _flag(more, "binary_data", binary)
    return WantedOutputs(outputs, binary)


def _flag(parameters: Mapping[str, Any], name: str, default: bool = False) -> bool:
    found = parameters.get(name, default)
    if not isinstance(found, bool):
        raise BadRequest(f"The parameter {name!r} must be true or false.")
    return found


def _timeout(value: Any) -> float:
    """Return seconds for the microseconds of a request; 0 is no limit."""
    if value is None or value == 0:
        return float("inf")
    if type(value) is not int or value < MIN_TIMEOUT * 1e6:
        raise BadRequest(
            f"Invalid timeout {str(value)[:40]}: use microseconds, at least {MIN_TIMEOUT * 1e6:g}."
        )
    return min(value / 1e6, float("inf")) if value < 2**53 else float("inf")


def _is_low_priority(value: Any) -> bool:
    if value is None:
        return False
    if type(value) is not int or value < 0:
        raise BadRequest(f"Invalid priority {str(value)[:40]}: use a whole number of at least 0.")
    return bool(value >= LOW_PRIORITY)


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The beginning of a response, which takes the place of the first byte of a result.

    ``headers`` of the response have its media type and, before bytes of tensors, the length of its
    JSON.
    """

    prefix: bytes
    headers: dict[str, str]


def respond(content_type: str, size: int, name: str, version: str, id: str) -> ResponseHead:
    """Return the beginning of a response.

    Parameters
    ----------
    content_type, size
        The media type and the bytes of the kernel's result.
    name, version
        The service, and the version that answered.
    id
        The id of the request.

    Raises
    ------
    ResultNotEncodable
        The result is not in this form.
    """
    length = parameters_of(content_type).get("head", "")
    if not is_tensors(content_type) or not (length.isascii() and length.isdigit()):
        raise ResultNotEncodable("The worker's result is not in the form of tensors.")
    about = {"model_name": name, "model_version": version} | ({"id": id} if id else {})
    prefix = msgspec.json.encode(about)[:-1] + b","
    headers = {"Content-Type": JSON}
    if int(length) != size:
        headers = {"Content-Type": OCTETS, HEAD_LENGTH: str(len(prefix) + int(length) - 1)}
    return ResponseHead(prefix, headers)
