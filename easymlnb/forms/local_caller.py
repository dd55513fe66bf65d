"""Run calls of the form under a cell in the author's own kernel."""

import json
import secrets
import threading
from collections.abc import Callable
from functools import cache
from itertools import count
from typing import Any

from easymlnb.contract import worker_protocol
from easymlnb.contract.errors import EasyMLNBError, from_code
from easymlnb.contract.spec import NOT_RECORDED, ServiceSpec
from easymlnb.forms.call_protocol import Event, Failed, Item, Log, Progress, Succeeded
from easymlnb.runtime.thread_calls import ThreadCallRunner
from easymlnb.services.definition import Service

LONGEST_TRAINING = 86400.0
"""Seconds of a training without a limit of its own."""


@cache
def _default_runner() -> ThreadCallRunner:
    return ThreadCallRunner()


# Negative: the server numbers the calls that it sends to this kernel.
_ids = count(-1, -1)


class LocalCall:
    """A call in a thread of this process."""

    def __init__(self, runner: ThreadCallRunner, call: int) -> None:
        self._runner = runner
        self._call = call

    def stop(self) -> None:
        self._runner.cancel(self._call)


class LocalCaller:
    """Calls one service of this process. Tracebacks are shown: the user is the author.

    ``flags`` says whether there is a server that keeps flagged calls.
    """

    def __init__(
        self, service: Service, runner: ThreadCallRunner | None = None, *, flags: bool = False
    ) -> None:
        self._service = service
        self._runner = runner or _default_runner()
        self.may_flag = flags and (service.spec.record or NOT_RECORDED).flags
        self._last: tuple[str, dict[str, Any], Any] = ("", {}, None)

    def start(self, values: dict[str, Any], on_event: Callable[[Event], None]) -> LocalCall:
        request = secrets.token_hex(8)
        call = worker_protocol.Call(
            id=next(_ids),
            service=self._service.name,
            seconds=_seconds(self._service.spec),
            request_id=request,
            view=True,
            progress=True,
        )

        def emit(message: worker_protocol.Message, body: bytes) -> None:
            for event in events(message, body, request):
                if isinstance(event, Succeeded):
                    # A large result is left out of a view; its parts are what was shown.
                    result = event.parts if event.result is None else event.result
                    self._last = (request, values, result)
                elif isinstance(event, Failed):
                    self._last = (request, values, event.error.to_dict())
                on_event(event)

        self._runner.submit(self._service, call, json.dumps(values).encode(), emit)
        return LocalCall(self._runner, call.id)

    def flag(self, request_id: str, reason: str, on_done: Callable[[str], None]) -> None:
        """Have the server keep the last call, which it has not seen; see ``FlagCaller``."""
        request, values, result = self._last
        if request != request_id:
            on_done("Only the last call can be flagged. Run it again.")
            return

        def send() -> None:
            on_done(_flag(self._service.name, values, result, request_id, reason))

        threading.Thread(target=send, name="easymlnb-flag", daemon=True).start()


def _seconds(spec: ServiceSpec) -> float:
    """Return how long a call may take; a training here has the time that its jobs have."""
    if spec.training is None:
        return spec.timeout
    return spec.training.timeout or LONGEST_TRAINING


def _flag(service: str, values: Any, result: Any, request: str, reason: str) -> str:
    """Send a flag to the kernel's server; return why that failed, or an empty text."""
    from easymlnb.client import connect

    try:
        with connect() as client:
            client.admin.flag(
                service, reason, request_id=request, input=values, result=result, version="live"
            )
    except EasyMLNBError as error:
        return error.message
    return ""


def events(message: worker_protocol.Message, body: bytes, request: str) -> list[Event]:
    """Return the events of a message of the runtime."""
    if isinstance(message, worker_protocol.Progress):
        return [Progress(message.fraction, message.text)]
    if isinstance(message, worker_protocol.Item):
        return [Item(json.loads(body)["parts"])]
    if not isinstance(message, worker_protocol.Result | worker_protocol.Failure):
        return []
    log: list[Event] = [Log(message.log)] if message.log else []
    if isinstance(message, worker_protocol.Failure):
        error = from_code(message.code, message.message, message.details, request)
        return [*log, Failed(error, message.trace)]
    content = json.loads(body) if body else {}
    parts, result = content.get("parts", []), content.get("result")
    return [*log, Succeeded(parts, message.seconds, request, result)]
