"""Which calls may be kept, and what of them. Pure functions."""

import hashlib

import msgspec

from easymlnb.contract.errors import CallCancelled, EasyMLNBError
from easymlnb.contract.jsonschema import properties, walk
from easymlnb.contract.spec import NOT_RECORDED, ServiceSpec
from easymlnb_server.identity.access import user_of_key
from easymlnb_server.recordings.models import StoredCall

FLAGS_PER_HOUR, VISITOR_FLAGS_PER_HOUR = 60, 10
"""Calls that one caller may flag in an hour."""

VISITORS_FLAGS_PER_HOUR = 200
"""Calls of one service that all visitors together may flag in an hour."""


def may_flag(spec: ServiceSpec, *, visitor: bool) -> bool:
    """Return whether a caller of a service may flag a call."""
    record = spec.record or NOT_RECORDED
    return record.flags and (record.visitors or not visitor)


def may_sample(
    spec: ServiceSpec, error: EasyMLNBError | None, *, visitor: bool, point: float
) -> bool:
    """Return whether a call is recorded; ``point`` is a random number from 0 to 1."""
    record = spec.record
    if record is None or point >= record.share or isinstance(error, CallCancelled):
        return False
    return record.visitors or not visitor


def caller_key(owner: str) -> str:
    """Return what is stored as the caller: a user's key, or a hash that names no visitor."""
    if user_of_key(owner) is not None or " " not in owner:
        return owner
    return f"visitor {hashlib.sha256(owner.encode()).hexdigest()[:16]}"


def caller_label(key: str) -> str:
    """Return a stored caller for people."""
    return user_of_key(key) or key


def secret_parameters(spec: ServiceSpec) -> tuple[str, ...]:
    """Return the parameters that are or contain a secret, which is never kept."""
    return tuple(
        name
        for name, schema in properties(spec.input).items()
        if any(part.get("writeOnly") is True for part in walk(schema, spec.input))
    )


def without_secrets(call: StoredCall, spec: ServiceSpec) -> StoredCall | None:
    """Return a call without its secrets; ``None`` if they cannot be removed from its body."""
    secret = secret_parameters(spec)
    if not secret or not call.input:
        return call
    if call.input_type.partition(";")[0].strip().lower() != "application/json":
        return None
    try:
        values = msgspec.json.decode(call.input)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    removed = tuple(name for name in secret if values.pop(name, None) is not None)
    return msgspec.structs.replace(call, input=msgspec.json.encode(values), removed=removed)
