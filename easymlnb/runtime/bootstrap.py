"""The first and the last cell of a worker, around the cells of its bundle."""

import os
import sys
from contextlib import suppress
from typing import Any, cast

from easymlnb.contract.job_protocol import RunningJob
from easymlnb.contract.message import all_sendable
from easymlnb.contract.worker_protocol import Hello, ReconnectGrant, Register, pack
from easymlnb.runtime import event_loop, jobs, notebook, raw
from easymlnb.runtime.context import limit_prints
from easymlnb.runtime.environment import WORKER_ENV
from easymlnb.runtime.link import Link, LinkLost
from easymlnb.runtime.served_models import MODELS
from easymlnb.runtime.server_address import ServerAddress, end_process, outlive_parent
from easymlnb.runtime.tqdm_progress import report_bars
from easymlnb.runtime.worker import Worker
from easymlnb.services.definition import SERVICES

CELL_OUTPUT_LIMIT = 1_000_000
"""Characters that one cell of a bundle may print, so that the log stays readable."""


def prepare() -> None:
    """First cell of a worker: limit the output of each of the bundle's cells."""
    from IPython.core.getipython import get_ipython

    limit_prints(CELL_OUTPUT_LIMIT)
    jobs.keep_folder()
    shell = get_ipython()
    assert shell is not None
    kernel = getattr(shell, "kernel")  # noqa: B009 - IPython's own shell has none
    _send_any_text(kernel.session)
    _listen_in_folder(kernel.iopub_thread)
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        raw.limit(stream, descriptor)
    shell.events.register("pre_run_cell", lambda info: limit_prints(CELL_OUTPUT_LIMIT))


def _send_any_text(session: Any) -> None:
    """Let a kernel's messages contain lone surrogates, which otherwise prevent sending them."""
    pack = session.pack

    def pack_any(content: Any) -> bytes:
        try:
            return cast("bytes", pack(content))
        except UnicodeEncodeError:
            return cast("bytes", pack(all_sendable(content)))

    session.pack = pack_any


def _listen_in_folder(thread: Any) -> None:
    """Move the socket that ipykernel opens as a TCP port, whatever its transport.

    It receives the output of forked processes. In the folder of the kernel's other sockets, other
    accounts cannot reach it.
    """
    import zmq
    from ipykernel.kernelapp import IPKernelApp

    app = IPKernelApp.instance()
    if app.transport != "ipc" or not hasattr(thread, "_pipe_in"):
        return
    address = f"ipc://{app.ip}-pipe"

    def move() -> None:
        socket = thread._pipe_in.socket
        before = socket.getsockopt(zmq.LAST_ENDPOINT)
        socket.bind(address)
        socket.unbind(before.rstrip(b"\0"))

    def connect() -> Any:
        context = zmq.Context()  # a new one: a forked process must not use its parent's
        pipe = context.socket(zmq.PUSH)
        pipe.linger = 3000
        pipe.connect(address)
        return context, pipe

    thread.schedule(move)
    thread._setup_pipe_out = connect


def serve() -> None:
    """Last cell of a worker: connect to the server, answer calls, end the process.

    A worker that loses its server waits for the next one, as long as the server has allowed.
    """
    report_bars()  # this may import tqdm, which no caller should wait for
    notebook.follow()  # the settings of the last cell
    event_loop.leave_thread()
    server = ServerAddress()
    link: Link | None = server.dial()
    outlive_parent()
    specs = tuple(service.spec for service in SERVICES.values())

    def greet(link: Link, runs: tuple[RunningJob, ...] = ()) -> None:
        hello = Hello(kernel=os.environ[WORKER_ENV], source="", runs=runs)
        models = pack(MODELS.in_use()) if MODELS else b""
        link.send(pack(hello) + pack(Register(specs=specs)) + models)

    def rejoin(grant: ReconnectGrant, runs: tuple[RunningJob, ...]) -> Link | None:
        while (found := server.dial_again(grant)) is not None:
            with suppress(LinkLost):
                greet(found, runs)
                return found
        return None

    try:
        while link is not None:
            greet(link)
            grant = Worker(link, dict(SERVICES), rejoin).run()
            link = server.dial_again(grant) if grant is not None else None
    finally:
        # Without its link this process has no purpose.
        end_process()
