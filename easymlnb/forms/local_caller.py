"""Run calls of the form under a cell in the author's own kernel."""

import json
import secrets
from collections.abc import Callable
from functools import cache
from itertools import count
from typing import Any

from easymlnb.contract import worker_protocol
from easymlnb.contract.errors import from_code
from easymlnb.forms.call_protocol import Event, Failed, Item, Log, Progress, Succeeded
from easymlnb.runtime.thread_calls import ThreadCallRunner
from easymlnb.services.definition import Service


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
    """Calls one service of this process. Tracebacks are shown: the user is the author."""

    def __init__(self, service: Service, runner: ThreadCallRunner | None = None) -> None:
        self._service = service
        self._runner = runner or _default_runner()

    def start(self, values: dict[str, Any], on_event: Callable[[Event], None]) -> LocalCall:
        request = secrets.token_hex(8)
        call = worker_protocol.Call(
            id=next(_ids),
            service=self._service.name,
            seconds=self._service.spec.timeout,
            request_id=request,
            view=True,
            progress=True,
        )

        def emit(message: worker_protocol.Message, body: bytes) -> None:
            for event in events(message, body, request):
                on_event(event)

        self._runner.submit(self._service, call, json.dumps(values).encode(), emit)
        return LocalCall(self._runner, call.id)


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
