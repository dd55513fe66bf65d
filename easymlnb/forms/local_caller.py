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
def _threads() -> ThreadCallRunner:
    return ThreadCallRunner()


# Below zero: the server gives its own to the calls that it sends here.
_ids = count(-1, -1)


class LocalRunning:
    """A call in a thread of this process."""

    def __init__(self, threads: ThreadCallRunner, call: int) -> None:
        self._threads = threads
        self._call = call

    def stop(self) -> None:
        self._threads.cancel(self._call)


class LocalCaller:
    """Calls one service of this process. Its tracebacks are shown: whoever looks is the author."""

    def __init__(self, service: Service, threads: ThreadCallRunner | None = None) -> None:
        self._service = service
        self._threads = threads or _threads()

    def start(self, values: dict[str, Any], on: Callable[[Event], None]) -> LocalRunning:
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
                on(event)

        self._threads.submit(self._service, call, json.dumps(values).encode(), emit)
        return LocalRunning(self._threads, call.id)


def _progress(message: worker_protocol.Progress, body: bytes, request: str) -> list[Event]:
    return [Progress(message.fraction, message.text)]


def _item(message: worker_protocol.Item, body: bytes, request: str) -> list[Event]:
    return [Item(json.loads(body)["parts"])]


def _result(message: worker_protocol.Result, body: bytes, request: str) -> list[Event]:
    found = json.loads(body) if body else {}
    said: list[Event] = [Log(message.log)] if message.log else []
    parts, result = found.get("parts", []), found.get("result")
    return [*said, Succeeded(parts, message.seconds, request, result)]


def _failure(message: worker_protocol.Failure, body: bytes, request: str) -> list[Event]:
    said: list[Event] = [Log(message.log)] if message.log else []
    error = from_code(message.code, message.message, message.details, request)
    return [*said, Failed(error, message.trace)]


TOLD: dict[type, Callable[[Any, bytes, str], list[Event]]] = {
    worker_protocol.Progress: _progress,
    worker_protocol.Item: _item,
    worker_protocol.Result: _result,
    worker_protocol.Failure: _failure,
}


def events(message: worker_protocol.Message, body: bytes, request: str) -> list[Event]:
    """Return what a message of the runtime means to a form."""
    told = TOLD.get(type(message))
    return told(message, body, request) if told else []
