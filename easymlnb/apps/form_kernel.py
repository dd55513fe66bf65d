"""A form kernel: the process behind app pages. ``python -m easymlnb.apps.form_kernel``

It supports the Jupyter messages that widgets need, and none that would run code. The server starts
it and communicates over its stdin and stdout, so it needs no port and ends with the server.
"""

import contextlib
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

import ipywidgets as W

from easymlnb.apps.app_page import AppPage, UploadSettings
from easymlnb.apps.http_caller import HttpCaller, shared_loop
from easymlnb.apps.message_queue import CHECK_INTERVAL, MessageQueue, OverTimeError
from easymlnb.apps.painting import paint
from easymlnb.apps.session import CURRENT_SESSION, WidgetSession, install
from easymlnb.contract import process
from easymlnb.contract.page_protocol import (
    LENGTH,
    ClosePage,
    FromPage,
    OpenPage,
    PageBuilt,
    PageFailed,
    Ready,
    Spent,
    ToKernel,
    ToServer,
    pack,
    to_kernel,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms.markup import element

MEMORY = "EASYMLNB_MEMORY"
"""Environment variable with the memory limit of the process in bytes."""

STACK = 8 * 2**20
"""Bytes of a thread's stack."""

SWITCH_SECONDS = 0.001
"""Seconds for which a thread runs while others wait for the interpreter."""

BROKEN = element(
    "div.em-error",
    "This page cannot be displayed. Reload it. If the problem persists, contact the service's "
    "author.",
    role="alert",
)

SAMPLE = ServiceSpec(
    name="sample",
    title="Sample",
    description="A formula: $x$.",
    input={
        "type": "object",
        "properties": {
            "text": {"type": "string", "default": ""},
            "number": {"type": "integer", "minimum": 0, "maximum": 9, "default": 1},
            "choice": {"enum": ["a", "b"], "default": "a"},
        },
    },
    output={},
).to_dict()

log = logging.getLogger("easymlnb.apps")


class FormKernelLoop:
    """Runs page sessions. Each has its messages processed in order, independent of the others."""

    def __init__(self, reads: BinaryIO, writes: BinaryIO) -> None:
        self._reads = reads
        self._writes = writes
        self._lock = threading.Lock()
        self._sessions: dict[str, WidgetSession] = {}
        self._pages: dict[str, AppPage] = {}
        self._queues: dict[str, MessageQueue] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            OpenPage: self._open,
            FromPage: self._forward,
            ClosePage: self._close,
        }

    def run(self) -> None:
        """Serve until the server closes the connection."""
        threading.Thread(target=self._watch, name="easymlnb-watch", daemon=True).start()
        self.send(Ready())
        while (head := self._reads.read(LENGTH.size)) and len(head) == LENGTH.size:
            message = to_kernel(self._reads.read(*LENGTH.unpack(head)))
            if isinstance(message, OpenPage):
                give_up = partial(self._give_up, message.session)
                self._queues[message.session] = MessageQueue(self._handle, give_up)
            if (queue := self._queues.get(message.session)) is not None:
                queue.put(message)

    def warm_up(self) -> None:
        """Build a page and discard it: the first visitor does not wait for imports.

        Nor does the first call wait for the client, which reads all certificates of the system.
        """
        shared_loop()
        self._handle(OpenPage(spec=SAMPLE, root="warm-up", url="", base="/", secret=""))
        self._handle(ClosePage())

    def _watch(self) -> None:
        while True:
            time.sleep(CHECK_INTERVAL)
            for queue in list(self._queues.values()):
                queue.check()

    def _give_up(self, session: str, reason: str) -> None:
        self.send(Spent(session=session, reason=reason))

    def _handle(self, message: ToKernel) -> None:
        token = CURRENT_SESSION.set(self._sessions.get(message.session))
        try:
            self._handlers[type(message)](message)
        except Exception as error:
            # An error of one page does not affect the others.
            log.warning("A page's %s failed: %s", type(message).__name__, _brief(error))
        finally:
            CURRENT_SESSION.reset(token)

    def send(self, *messages: ToServer) -> None:
        """Write a frame for each message. Thread-safe."""
        data = b"".join(map(pack, messages))
        with self._lock:
            self._writes.write(data)
            self._writes.flush()

    def _open(self, message: OpenPage) -> None:
        session = self._sessions[message.session] = WidgetSession(message.session, self.send)
        CURRENT_SESSION.set(session)  # reset by the caller
        root = W.Box(model_id=message.root)
        try:
            page = self._pages[message.session] = _build(message, session)
            root.children = (page.widget,)
            html = paint(root)
        except (Exception, OverTimeError) as error:
            root.children = (W.HTML(BROKEN),)
            html = BROKEN
            self.send(PageFailed(session=message.session, reason=_brief(error)))
        self.send(PageBuilt(session=message.session, state=session.state(), html=str(html)))

    def _forward(self, message: FromPage) -> None:
        if message.session in self._sessions:
            self._sessions[message.session].handle(message)

    def _close(self, message: ClosePage) -> None:
        page = self._pages.pop(message.session, None)
        session = self._sessions.pop(message.session, None)
        self._queues.pop(message.session, None)
        try:
            if page is not None:
                page.close()
        finally:
            if session is not None:
                session.close()


def _build(message: OpenPage, session: WidgetSession) -> AppPage:
    spec = ServiceSpec.from_dict(message.spec)
    return AppPage(
        spec,
        HttpCaller(message.url, message.secret, spec, public=message.public),
        base=message.base,
        uploads=UploadSettings(
            url=f"{message.base}uploads",
            service=spec.name,
            authorization=f"easymlnb-pass {message.secret}",
        ),
        public=message.public,
        batch=session.batch,
    )


def _brief(error: BaseException) -> str:
    """Return an error and its place in the code in one line of limited length, for the log."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__} in {where}: {error}"[:300]


def _limit() -> None:
    """Limit the memory of the process, disable core files, and keep its files private."""
    os.umask(0o077)
    process.hide()  # it has the tokens of visitors
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory := int(os.environ.get(MEMORY, "0")):
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def main() -> None:
    """Serve on stdin and stdout; printed text goes to stderr."""
    reads, writes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    _limit()
    # Deeply nested JSON needs a large stack.
    threading.stack_size(STACK)
    install()
    loop = FormKernelLoop(reads, writes)
    loop.warm_up()
    # What is loaded stays: the garbage collector need not go through it.
    gc.collect()
    gc.freeze()
    # A short message would wait 5 ms behind a long one.
    sys.setswitchinterval(SWITCH_SECONDS)
    loop.run()
    # Threads of calls may still be waiting for responses.
    os._exit(0)


if __name__ == "__main__":
    main()
