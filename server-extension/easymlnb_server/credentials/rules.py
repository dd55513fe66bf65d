"""What credentials may be called and contain."""

import re

from easymlnb.contract.errors import BadRequest

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")

MAX_VALUE = 65_536
"""Characters of a value."""

MAX_PER_SERVICE = 100


def check_name(name: str) -> str:
    """Return the name; raises ``BadRequest`` for an invalid one."""
    if not NAME.match(name):
        raise BadRequest(
            f"Invalid name of a credential {name[:80]!r}: use a letter, followed by letters, "
            "digits, _, . and - (at most 64)."
        )
    return name


def check_value(value: str) -> str:
    """Return the value; raises ``BadRequest``, whose message does not contain it."""
    if not value:
        raise BadRequest("The value of the credential is empty. Send a text.")
    if len(value) > MAX_VALUE:
        raise BadRequest(
            f"The value of the credential has {len(value):,} characters; at most {MAX_VALUE:,} "
            "are stored."
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRequest(
            "The value of the credential contains characters that UTF-8 cannot represent."
        ) from None
    return value
