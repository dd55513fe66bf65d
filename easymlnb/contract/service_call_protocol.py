"""Messages for calls from one service to another."""

from easymlnb.contract.message import ErrorMessage, Message, ResultMessage

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


class ServiceResult(ResultMessage):
    """The result of a ``CallService`` or ``DescribeService``."""


class ServiceCallError(ErrorMessage):
    """The error of a ``CallService`` or ``DescribeService``."""

    request_id: str = ""
