"""Messages for calls from one service to another."""

from typing import Any

from easymlnb.contract.message import Message

# kernel -> server


class CallService(Message):
    """Call another service.

    ``id`` is the kernel's own number for the request. ``parent`` is the id of the call that makes
    it, 0 for a cell. ``seconds`` is the longest wait, 0 for the service's own timeout. ``file`` is
    the path of a body that is not in the frame.
    """

    id: int
    service: str
    parent: int = 0
    content_type: str = "application/json"
    accept: str = ""
    seconds: float = 0.0
    file: str = ""


class CancelServiceCall(Message):
    """Cancel a ``CallService``; no answer is expected."""

    id: int


class DescribeService(Message):
    """Ask for the spec of a service; ``ServiceResult`` has it as JSON."""

    id: int
    service: str


# server -> kernel


class ServiceResult(Message):
    """The result of a ``CallService`` or ``DescribeService``; ``file`` as in ``CallService``."""

    id: int
    content_type: str
    filename: str = ""
    file: str = ""


class ServiceCallError(Message):
    """The error of a ``CallService`` or ``DescribeService``."""

    id: int
    code: str
    message: str
    details: Any = None
    request_id: str = ""
