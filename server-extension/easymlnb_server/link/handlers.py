"""The link of kernels: workers connect with a one-time secret, live kernels with the server's."""

import asyncio
import contextlib
import hmac
import json
import logging
import math
import uuid
from collections.abc import Callable
from typing import Any, cast

from tornado import web, websocket
from tornado.ioloop import PeriodicCallback

from easymlnb.contract import installation
from easymlnb.contract.errors import EasyMLNBError, NotLoggedIn, VersionMismatch
from easymlnb.contract.job_protocol import (
    JobFile,
    JobFilePart,
    JobMetric,
    JobOutput,
    ReadCheckpoint,
)
from easymlnb.contract.model_protocol import GetModelAccess, ModelLoaded, ModelReady, ModelsInUse
from easymlnb.contract.service_call_protocol import (
    CallService,
    CancelServiceCall,
    DescribeService,
    ServiceCallError,
    ServiceResult,
)
from easymlnb.contract.worker_protocol import (
    PROTOCOL_HEADER,
    VERSION_HEADER,
    Failure,
    GetCredential,
    Hello,
    Item,
    NotStarted,
    Progress,
    Register,
    Registered,
    RegistrationRefused,
    Result,
    SharedFilesystem,
    ToServer,
    Unregister,
    Welcome,
    unpack_to_server,
)
from easymlnb_server.calls.service_calls import ServiceCalls
from easymlnb_server.context import STATE, ServerContext
from easymlnb_server.dispatch.worker_link import JobMessage, WorkerLink
from easymlnb_server.http.base import custom_access_check
from easymlnb_server.http.websocket import KernelSocketHandler, SocketWebSocket
from easymlnb_server.model_registry.tokens import WorkerIdentity
from easymlnb_server.openapi.document import Operation, ok
from easymlnb_server.uploads.spool import KernelFileShare
from easymlnb_server.workers.registration import ExpectedWorker, RegisteredWorker

HEARTBEAT = 15.0
"""Seconds between two pings to a kernel."""

MAX_MISSED = 3
"""Missed heartbeats after which a kernel without a running call is considered dead."""

MAX_MISSED_BY_JOB = 8
"""Missed heartbeats of a job on a node after which its link is closed: it connects again."""

PROXY_HEADERS = ("X-Forwarded-For", "Forwarded", "Via", "X-Real-Ip")
"""Headers that proxies add."""

REFUSAL = (
    "Only workers that this service started can connect here. Live services run on their "
    "author's own server; publish the notebook to run it here."
)

log = logging.getLogger("easymlnb.link")


class LinkHandler(KernelSocketHandler):
    """The link of one kernel, which authenticates with a secret. Browsers are refused."""

    def initialize(self) -> None:
        self._link: WorkerLink | None = None
        self._expected: ExpectedWorker | None = None
        self._file_share: KernelFileShare | None = None
        self._service_calls: ServiceCalls | None = None
        self._services: tuple[str, ...] = ()
        self._outbox: list[bytes] = []
        self._closed_by_server = False
        self._heartbeat = PeriodicCallback(self._check_heartbeat, HEARTBEAT * 1000)
        self._missed = 0
        self._handlers: dict[type, Callable[[Any, bytes], None]] = {
            Result: self._on_event,
            Failure: self._on_event,
            Progress: self._on_event,
            Item: self._on_event,
            NotStarted: self._on_event,
            JobOutput: self._on_job_message,
            JobMetric: self._on_job_message,
            JobFile: self._on_job_message,
            JobFilePart: self._on_job_message,
            ReadCheckpoint: self._on_job_message,
            Hello: self._on_hello,
            SharedFilesystem: self._on_shared_filesystem,
            CallService: self._on_service_call,
            DescribeService: self._on_service_call,
            CancelServiceCall: self._on_service_call,
            GetCredential: self._on_get_credential,
            GetModelAccess: self._on_get_model_access,
            ModelsInUse: self._on_models_in_use,
            ModelReady: self._on_model_ready,
            ModelLoaded: self._on_model_loaded,
            Register: self._on_register,
            Unregister: self._on_unregister,
        }

    @property
    def state(self) -> ServerContext:
        return cast("ServerContext", self.settings[STATE])

    @custom_access_check  # with the kernel's secret
    async def get(self, *args: Any, **kwargs: Any) -> None:
        if "Origin" in self.request.headers:
            # Only browsers send this header, and browsers never connect here.
            raise web.HTTPError(403)
        scheme, _, secret = self.request.headers.get("Authorization", "").partition(" ")
        if scheme != "easymlnb" or not self._is_known_secret(secret):
            self._refuse()
            return
        if skew := self._version_skew():
            log.error("%s", skew)
            self._answer(VersionMismatch(skew))
            return
        await super().get(*args, **kwargs)

    def _version_skew(self) -> str:
        headers = self.request.headers
        version, protocol = headers.get(VERSION_HEADER, ""), headers.get(PROTOCOL_HEADER, "")
        return installation.version_skew("The kernel", version[:40], protocol[:10])

    def _refuse(self) -> None:
        self._answer(NotLoggedIn(REFUSAL) if self.state.services.shared else NotLoggedIn())

    def _answer(self, error: EasyMLNBError) -> None:
        self.set_status(error.status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(error.to_dict(uuid.uuid4().hex)))

    def _is_known_secret(self, secret: str) -> bool:
        if self.state.services.shared:
            self._expected = self.state.registration.claim(secret)
            return self._expected is not None
        if hmac.compare_digest(secret.encode(), self.state.secret.encode()):
            return True
        self._expected = self.state.registration.claim(secret)
        return self._expected is not None

    def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        if not isinstance(self.ws_connection, SocketWebSocket):
            assert self.ws_connection is not None
            _read_on_after_write_errors(self.ws_connection.stream)
        self._heartbeat.start()

    def _check_heartbeat(self) -> None:
        """Ping the kernel, or close the link after too many missed heartbeats.

        C code that holds the GIL also misses heartbeats, as when a model is loaded. So while a call
        runs, its deadline decides, and then whether the call stops. Heartbeats are counted, not
        seconds, because a blocked event loop of this server is not the kernel's fault.
        """
        if self._missed >= self._max_missed:
            log.warning("A kernel missed %d heartbeats; its connection is closed.", self._missed)
            self._heartbeat.stop()
            self._closed_by_server = True
            self.close(1001)
            return
        self._missed += 1
        with contextlib.suppress(websocket.WebSocketClosedError):
            self.ping()

    @property
    def _max_missed(self) -> float:
        link = self._link
        if link is None or not (len(link) or link.loading):
            return MAX_MISSED
        can_return = self._proxied and link.on_job_message is not None
        return MAX_MISSED_BY_JOB if can_return else math.inf

    def on_pong(self, data: bytes) -> None:
        self._missed = 0

    def on_message(self, message: str | bytes) -> None:
        self._missed = 0
        try:
            with (
                self._link.deferred_results()
                if self._link is not None
                else contextlib.nullcontext()
            ):
                for frame, body in unpack_to_server(cast("bytes", message)):
                    self._handlers[type(frame)](frame, body)
                self._flush()
        except (ValueError, TypeError, AttributeError) as error:
            log.error("A kernel sent an invalid frame; its connection is closed: %s", error)
            self._closed_by_server = True
            self.close(1002)

    def on_close(self) -> None:
        self._heartbeat.stop()
        if self._file_share is not None:
            self._file_share.close()
        if self._service_calls is not None:
            self._service_calls.close()
        if self._link is not None:
            broken = self.close_code is None and not self._closed_by_server
            self._link.close(by_kernel=broken and not self._proxied)
            self.state.live.drop(self._link)

    @property
    def _proxied(self) -> bool:
        """Whether the link runs through a proxy, which may lose sent messages when it closes."""
        return any(header in self.request.headers for header in PROXY_HEADERS)

    def _write(self, data: bytes) -> None:
        """Send all writes of one event loop iteration as one message."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(data)

    def _flush(self) -> None:
        if not self._outbox:
            return
        data, self._outbox = b"".join(self._outbox), []
        if self.ws_connection is not None and not self.ws_connection.is_closing():
            try:
                self.write_message(data, binary=True)
            except websocket.WebSocketClosedError:
                log.debug("A kernel disconnected during a write.")

    def _on_event(self, frame: ToServer, body: bytes) -> None:
        if self._link is not None:
            self._link.receive(cast("Result | Failure | Progress | Item | NotStarted", frame), body)

    def _on_job_message(self, frame: JobMessage, body: bytes) -> None:
        if self._link is not None:
            self._link.receive_from_job(frame, body)

    def _on_hello(self, hello: Hello, body: bytes) -> None:
        if self._link is not None:
            raise ValueError("The kernel sent a second hello message.")
        if hello.live is (self._expected is not None):
            log.error("A kernel connected with a secret of the wrong kind.")
            self.close(1002)
            return
        self._link = WorkerLink(hello, self._write)
        expected, state = self._expected, self.state
        owner, account = (expected.owner, expected.account) if expected is not None else ("", "")
        self._service_calls = ServiceCalls(state.invoker, state.users, self._link, owner, account)
        self._file_share = self.state.spool.open_file_share()
        self._link.send(Welcome(probe=str(self._file_share.probe) if self._file_share else ""))

    def _on_shared_filesystem(self, share: SharedFilesystem, body: bytes) -> None:
        if (
            self._link is not None
            and self._file_share is not None
            and self._file_share.is_proof(share.proof)
        ):
            self._link.file_share = self._file_share

    def _on_service_call(
        self, frame: CallService | DescribeService | CancelServiceCall, body: bytes
    ) -> None:
        if self._service_calls is not None:
            self._service_calls.take(frame, body)

    def _on_get_credential(self, request: GetCredential, body: bytes) -> None:
        # Workers have those of their services, and must not learn others.
        if self._link is None or self._expected is not None or self.state.services.shared:
            raise ValueError("Only authors' kernels can ask for credentials.")
        try:
            value = self.state.credentials.find(request.name, request.service, request.calling)
        except EasyMLNBError as error:
            self._link.send(ServiceCallError(id=request.id, code=error.code, message=error.message))
            return
        answer = ServiceResult(id=request.id, content_type="application/json")
        self._link.send(answer, json.dumps(value).encode())

    @property
    def _worker(self) -> WorkerIdentity:
        """Whose worker this is."""
        expected = self._expected
        if expected is None:
            raise ValueError("Only workers need a token for models.")
        return WorkerIdentity(expected.owner, expected.account, expected.bundle)

    def _on_get_model_access(self, request: GetModelAccess, body: bytes) -> None:
        if self._link is not None:
            answer = ServiceResult(id=request.id, content_type="application/json")
            token = self.state.models.tokens.make(self._worker)
            self._link.send(answer, json.dumps(token).encode())

    def _on_models_in_use(self, message: ModelsInUse, body: bytes) -> None:
        if self._link is not None and self._expected is not None:
            services, models = lambda: self._services, self.state.models
            models.subscribe(self._link, self._worker, services, message.models)

    def _on_model_ready(self, message: ModelReady, body: bytes) -> None:
        if self._link is not None:
            self.state.models.rollout.ready(self._link, message)

    def _on_model_loaded(self, message: ModelLoaded, body: bytes) -> None:
        if self._link is not None:
            self.state.models.rollout.report(self._link, message)

    def _on_register(self, register: Register, body: bytes) -> None:
        link = self._link
        if link is None:
            return
        self._services = tuple(spec.name for spec in register.specs)
        if self._expected is not None:
            if not self._expected.done():
                self._expected.set_result(RegisteredWorker(link, register.specs))
            return
        registered = []
        for spec in register.specs:
            try:
                self.state.live.offer(link, spec)
                registered.append(spec.name)
            except EasyMLNBError as error:
                link.send(RegistrationRefused(name=spec.name, message=error.message))
        link.send(Registered(names=tuple(registered)))

    def _on_unregister(self, unregister: Unregister, body: bytes) -> None:
        for name in unregister.names:
            if self._link is not None:
                self.state.live.withdraw(self._link, name)


def _read_on_after_write_errors(stream: Any) -> None:
    """Keep a failed write from closing a stream before the last messages are read.

    The last messages of a dead worker show which calls it has started.
    """
    write = stream.write_to_fd

    def write_or_discard(data: memoryview) -> Any:
        try:
            return write(data)
        except ConnectionError:
            return len(data)  # the next read reaches the end of the input and closes the stream

    stream.write_to_fd = write_or_discard


OPERATIONS = {
    "GET /link": Operation(
        "openLink",
        "The WebSocket that kernels connect to",
        ok("Switched to a WebSocket.", {}, 101),
        (400, 404, 503),
        tag="Health",
    ),
}
