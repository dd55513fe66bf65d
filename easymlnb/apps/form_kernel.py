"""A form kernel: the process behind app pages. ``python -m easymlnb.apps.form_kernel``

It speaks the part of Jupyter's messages that widgets need, and knows no message that would run
code. The server starts it and talks with it over stdin and stdout, so it needs no port, and ends
when the server does.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

import ipywidgets as W

from easymlnb.apps.app_page import AppPage, Uploads
from easymlnb.apps.http_caller import HttpCaller
from easymlnb.apps.lanes import TICK, Lane, OverTimeError
from easymlnb.apps.session import CURRENT_SESSION, WidgetSession, install
from easymlnb.contract import process
from easymlnb.contract.page_protocol import (
    LENGTH,
    ClosePage,
    FromPage,
    OpenPage,
    PageFailed,
    Ready,
    Spent,
    ToKernel,
    ToServer,
    pack,
    to_kernel,
)
from easymlnb.contract.spec import ServiceSpec

MEMORY = "EASYMLNB_MEMORY"
"""Variable with the bytes of memory that the process may take."""

STACK = 8 * 2**20
"""Bytes of a thread's stack."""

BROKEN = (
    '<div class="em-error" role="alert">This page cannot be displayed. Reload it. If the problem '
    "persists, contact the service's author.</div>"
)

log = logging.getLogger("easymlnb.apps")


class FormKernelLoop:
    """Carries places. What a page says is done in its order; pages do not wait for each other."""

    def __init__(self, reads: BinaryIO, writes: BinaryIO) -> None:
        self._reads = reads
        self._writes = writes
        self._lock = threading.Lock()
        self._places: dict[str, WidgetSession] = {}
        self._apps: dict[str, AppPage] = {}
        self._lanes: dict[str, Lane] = {}
        self._takers: dict[type, Callable[[Any], None]] = {
            OpenPage: self._open,
            FromPage: self._say,
            ClosePage: self._leave,
        }

    def run(self) -> None:
        """Serve until the server closes the line."""
        threading.Thread(target=self._watch, name="easymlnb-watch", daemon=True).start()
        self.send(Ready())
        while (head := self._reads.read(LENGTH.size)) and len(head) == LENGTH.size:
            message = to_kernel(self._reads.read(*LENGTH.unpack(head)))
            if isinstance(message, OpenPage):
                self._lanes[message.session] = Lane(
                    self._do, partial(self._put_out, message.session)
                )
            if (lane := self._lanes.get(message.session)) is not None:
                lane.put(message)

    def _watch(self) -> None:
        while True:
            time.sleep(TICK)
            for lane in list(self._lanes.values()):
                lane.look()

    def _put_out(self, place: str, reason: str) -> None:
        self.send(Spent(session=place, reason=reason))

    def _do(self, message: ToKernel) -> None:
        mark = CURRENT_SESSION.set(self._places.get(message.session))
        try:
            self._takers[type(message)](message)
        except Exception as error:
            # One page's trouble is not another's: the kernel goes on.
            log.warning("A page's %s failed: %s", type(message).__name__, _brief(error))
        finally:
            CURRENT_SESSION.reset(mark)

    def send(self, message: ToServer) -> None:
        """Write a frame; any thread may."""
        data = pack(message)
        with self._lock:
            self._writes.write(data)
            self._writes.flush()

    def _open(self, message: OpenPage) -> None:
        place = self._places[message.session] = WidgetSession(message.session, self.send)
        CURRENT_SESSION.set(place)  # reset by the caller
        root = W.Box(model_id=message.root)
        try:
            app = self._apps[message.session] = _build(message)
            root.children = (app.widget,)
        except (Exception, OverTimeError) as error:
            root.children = (W.HTML(BROKEN),)
            self.send(PageFailed(session=message.session, reason=_brief(error)))

    def _say(self, message: FromPage) -> None:
        if message.session in self._places:
            self._places[message.session].take(message)

    def _leave(self, message: ClosePage) -> None:
        app, place = self._apps.pop(message.session, None), self._places.pop(message.session, None)
        self._lanes.pop(message.session, None)
        try:
            if app is not None:
                app.close()
        finally:
            if place is not None:
                place.close()


def _build(message: OpenPage) -> AppPage:
    spec = ServiceSpec.from_dict(message.spec)
    return AppPage(
        spec,
        HttpCaller(message.url, message.secret, spec),
        base=message.base,
        uploads=Uploads(
            url=f"{message.base}uploads",
            service=spec.name,
            authorization=f"easymlnb-pass {message.secret}",
        ),
        public=message.public,
    )


def _brief(error: BaseException) -> str:
    """Return where and what in one line: a log must not grow with what pages make up."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__} in {where}: {error}"[:300]


def _limit() -> None:
    """Hold the process to its memory, keep that out of core files, and its files to itself."""
    os.umask(0o077)
    process.hide()  # it holds the passes of visitors
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory := int(os.environ.get(MEMORY, "0")):
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def main() -> None:
    """Serve on stdin and stdout; what is printed goes to stderr."""
    reads, writes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    _limit()
    # JSON that is nested as deep as Python reads it needs some of it.
    threading.stack_size(STACK)
    install()
    FormKernelLoop(reads, writes).run()
    # Threads of calls may still wait for answers that nobody will see.
    os._exit(0)


if __name__ == "__main__":
    main()
