"""What a kernel asks of a service that another process serves: the same call, by way of HTTP."""

import asyncio
import json
from typing import Any
from urllib.parse import unquote

from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine

from easymlnb.contract.errors import (
    EasyMLNBError,
    InternalError,
    TooLarge,
    WorkerLost,
    from_code,
)
from easymlnb.contract.names import quoted
from easymlnb_server.apps.passes import SCHEME, sign
from easymlnb_server.cluster.cluster import Answered, Question
from easymlnb_server.engine.absent import away
from easymlnb_server.handlers.asked import SHORTEST
from easymlnb_server.handlers.relay import MOVED, Relay, Ways
from easymlnb_server.store.leases import Process

LARGEST = 2**30
"""Bytes of an answer; it is one message to the kernel that asked."""


class Distant:
    """Asks other processes, whose routes are below ``root``."""

    def __init__(self, root: str, ways: Ways) -> None:
        self._root = root
        self._ways = ways

    async def ask(self, process: Process, question: Question) -> Answered:
        """Return the answer; raises what the call ended with, ``NotReady`` if nobody was asked."""
        asking = _Asking(self._request(process, question))
        relay = Relay(asking, process, self._ways)
        try:
            async with asyncio.timeout(question.seconds + 5.0):
                if not await relay.open((question.body,), True):
                    raise away()
                return await asking.answered
        except TimeoutError as error:
            raise WorkerLost("The server process that was asked does not answer.") from error
        finally:
            if not asking.answered.done() or asking.answered.cancelled():
                relay.close()

    def _request(self, process: Process, question: Question) -> HTTPServerRequest:
        shown = sign(process.secret, question.service, question.asker, question.chain)
        headers = {
            "Host": "localhost",
            "Authorization": f"{SCHEME} {shown}",
            "Content-Type": question.content_type,
            "Content-Length": str(len(question.body)),
            "X-Request-Id": question.request_id,
            "X-Timeout": f"{max(question.seconds, SHORTEST):.3f}",
            "X-Priority": "batch" if question.patient else "interactive",
        }
        if question.accept:
            headers["Accept"] = question.accept
        uri = f"{self._root}services/{quoted(question.service)}/call"
        return HTTPServerRequest("POST", uri, headers=HTTPHeaders(headers))


class _Asking:
    """Collects one answer."""

    def __init__(self, request: HTTPServerRequest) -> None:
        self.request = request
        self.answered: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._headers = HTTPHeaders()
        self._body = bytearray()

    def wants(self, status: int, headers: HTTPHeaders) -> bool:
        return MOVED not in headers

    async def begin(self, start_line: ResponseStartLine, headers: HTTPHeaders) -> None:
        self._status, self._headers = start_line.code, headers

    async def write(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > LARGEST:
            self._fail(TooLarge("The answer of another process's service is too large."))

    def end(self) -> None:
        if self._status != 200:
            self._fail(_error(bytes(self._body)))
        elif not self.answered.done():
            kind = self._headers.get("Content-Type", "application/octet-stream")
            self.answered.set_result(Answered(kind, _filename(self._headers), bytes(self._body)))

    def refused(self, relay: Relay) -> None:
        self._fail(away())

    def lost(self, relay: Relay) -> None:
        self._fail(WorkerLost("The server process that was asked was lost."))

    def _fail(self, error: EasyMLNBError) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)


def _error(body: bytes) -> EasyMLNBError:
    try:
        told: dict[str, Any] = json.loads(body)["error"]
        return from_code(
            told["code"], told["message"], told.get("details"), told.get("request_id", "")
        )
    except (ValueError, KeyError, TypeError):
        return InternalError()


def _filename(headers: HTTPHeaders) -> str:
    _, _, name = headers.get("Content-Disposition", "").partition("filename*=UTF-8''")
    return unquote(name)
