"""Limits of calls: rates, totals of a day, sizes."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from easymlnb.contract.errors import BadRequest

MAX_COUNT = 2**53

Rate = Annotated[float, Meta(gt=0, le=1e6)]
Count = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Seconds = Annotated[float, Meta(gt=0, le=1e12)]

ADVICE = "Leave a limit out for none; to refuse all calls, revoke the key or unpublish the service."


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of the calls of one key, user or service. A limit that is not set does not apply."""

    calls_per_second: Annotated[
        Rate | UnsetType, Meta(description="Calls per second on average.")
    ] = UNSET
    calls_per_day: Annotated[Count | UnsetType, Meta(description="Calls per day, in UTC.")] = UNSET
    concurrent: Annotated[
        Count | UnsetType, Meta(description="Calls that wait or run at the same time.")
    ] = UNSET
    max_body: Annotated[Count | UnsetType, Meta(description="Bytes of the body of a call.")] = UNSET
    compute_seconds_per_day: Annotated[
        Seconds | UnsetType, Meta(description="Seconds that calls may run in workers, per day.")
    ] = UNSET

    def __bool__(self) -> bool:
        return any(getattr(self, name) is not UNSET for name in self.__struct_fields__)

    def to_dict(self) -> dict[str, Any]:
        """Return the limits that are set."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values


NO_LIMITS = Limits()


def to_limits(value: Any) -> Limits:
    """Return limits from JSON values; raises ``BadRequest`` with the field and the value."""
    try:
        return msgspec.convert(value, Limits)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid limits {value!r}: {error}. {ADVICE}") from error
