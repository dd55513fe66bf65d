"""What the scripts of both kinds of Triton's clients share."""

import asyncio
from typing import Any

from tritonclient.utils import InferenceServerException


def shown(array: Any) -> Any:
    """Return an array as JSON values."""
    if array.dtype.kind == "O":
        return [one.decode() if isinstance(one, bytes) else one for one in array.ravel().tolist()]
    return array.tolist()


async def done(value: Any) -> Any:
    """Return the result of a client of either kind."""
    return await value if asyncio.iscoroutine(value) else value


async def failure(call: Any) -> list[Any]:
    """Return the status and the message of a call that is refused."""
    try:
        await done(call())
    except InferenceServerException as error:
        return [error.status(), error.message()]
    raise AssertionError("The call was not refused.")
