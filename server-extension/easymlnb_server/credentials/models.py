"""Credentials in requests and responses. No response has a value."""

from typing import Annotated

import msgspec
from msgspec import Meta

from easymlnb_server.credentials.rules import MAX_VALUE

Value = Annotated[
    str, Meta(max_length=MAX_VALUE, description="The value. No response contains it.")
]


class NewCredential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that sets a credential."""

    value: Value


class CredentialSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A stored credential without its value."""

    name: str
    updated: Annotated[str, Meta(description="When its value was set.")]
    updated_by: Annotated[str, Meta(description="Who set its value.")]
    readable: Annotated[
        bool, Meta(description="Whether the server's key can decrypt it; else set it again.")
    ] = True


class CredentialList(msgspec.Struct, frozen=True, kw_only=True):
    """The credentials of a service, by name."""

    credentials: list[CredentialSummary]
