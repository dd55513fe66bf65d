"""Requests and responses of Triton's generate extension: a text in, a text out.

Their members are arguments and results as in every call; only the text has a name of its own. Pure
functions.
"""

from typing import Any

import msgspec

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.jsonschema import properties, resolve
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.tensors import BYTES, OUTPUT, TensorForm, TensorKind, form_of
from easymlnb_server.services.models import Target

TEXT_IN, TEXT_OUT, PARAMETERS, ID = "text_input", "text_output", "parameters", "id"

Members = dict[str, msgspec.Raw]

_members = msgspec.json.Decoder(Members)
_text = msgspec.json.Decoder(str)
_texts = msgspec.json.Decoder(list[str])


def arguments(spec: ServiceSpec, body: bytes) -> tuple[bytes, str]:
    """Return the arguments of a call as JSON, and the id of the request; raises ``BadRequest``.

    ``text_input`` is the first text parameter. Members of ``parameters`` that are no parameters of
    the service are options of other servers, which clients send to all.
    """
    names = properties(spec.input)
    try:
        given = _members.decode(body)
        id = _text.decode(given.pop(ID)) if ID in given and ID not in names else ""
        if PARAMETERS in given and PARAMETERS not in names:
            more = msgspec.json.decode(given.pop(PARAMETERS), type=Members | None) or {}
            given |= {name: value for name, value in more.items() if name in names}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not a valid generate request ({error}).") from error
    if TEXT_IN in given and TEXT_IN not in names:
        name = _text_parameter(spec)
        if name in given:
            raise BadRequest(f"{TEXT_IN!r} and {name!r} are the same parameter. Send one of them.")
        given[name] = given.pop(TEXT_IN)
    return msgspec.json.encode(given), id


def _text_parameter(spec: ServiceSpec) -> str:
    for name, schema in properties(spec.input).items():
        plain = form_of(schema, spec.input) == TensorForm(TensorKind.SCALAR, BYTES)
        if plain and not {"enum", "const", "format"} & resolve(schema, spec.input).keys():
            return name
    raise BadRequest(f"{spec.name!r} has no text parameter. Call it by 'infer'.")


def response(value: bytes, target: Target, id: str) -> bytes:
    """Return the response with the JSON of a result, or of an item of a stream."""
    found: dict[str, Any]
    if value.startswith(b"{"):
        found = dict(_members.decode(value))
    else:
        found = {TEXT_OUT if value.startswith(b'"') else OUTPUT: msgspec.Raw(value)}
    about = {"model_name": target.name, "model_version": target.version}
    return msgspec.json.encode(found | about | ({"id": id} if id else {}))


def joined(items: bytes) -> bytes:
    """Return the items of a stream as one value: texts as one text, others as a list."""
    try:
        return msgspec.json.encode("".join(_texts.decode(items)))
    except msgspec.ValidationError:
        return items
