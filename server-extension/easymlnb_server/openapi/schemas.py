"""Bodies that every OpenAPI document refers to: errors, and results for display."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType


class ErrorDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong."""

    code: Annotated[str, Meta(description="Stable and machine-readable.")]
    message: Annotated[str, Meta(description="One sentence for people.")]
    details: Annotated[
        Any, Meta(description="More about the error; the fields of a validation error.")
    ] = UNSET
    request_id: Annotated[str, Meta(description="The id of the request in the server's log.")]


class ErrorResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every response with a status from 400."""

    error: ErrorDetails


class ViewPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of what a person should see; further fields depend on the kind."""

    kind: str
    title: str | UnsetType = UNSET
    data: Any = UNSET


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a person should see of a result."""

    parts: list[ViewPart]
    result: Annotated[Any, Meta(description="The JSON result, or null when it is large.")] = UNSET
