"""Messages for calls from one service to another."""

from typing import Any

from easymlnb.contract.message import Message

# kernel -> server


class CallService(Message):
    """Call another service. ``id`` is the kernel's own number for it, ``of`` the call that asks.

    ``of`` is 0 for a cell that asks. ``seconds`` is how long it waits at most, 0 as long as the
    service allows. ``file`` is as in ``Result``.
    """

    id: int
    service: str
    of: int = 0
    content_type: str = "application/json"
    accept: str = ""
    seconds: float = 0.0
    file: str = ""


class CancelServiceCall(Message):
    """Nobody waits for that answer any more."""

    id: int


class DescribeService(Message):
    """Say what that service is: ``ServiceResult`` has its spec as JSON."""

    id: int
    service: str


# server -> kernel


class ServiceResult(Message):
    """The answer to a ``CallService`` or ``DescribeService``.

    ``file`` is the path of a body that is not in the frame.
    """

    id: int
    content_type: str
    filename: str = ""
    file: str = ""


class ServiceCallError(Message):
    """The error that a ``CallService`` or ``DescribeService`` ended with."""

    id: int
    code: str
    message: str
    details: Any = None
    request_id: str = ""
