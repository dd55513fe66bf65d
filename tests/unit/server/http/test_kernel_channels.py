"""Jupyter's websocket of kernels is served by ours, which sends without delay."""

import asyncio
from typing import Any

import pytest
from jupyter_server.services.kernels.handlers import default_handlers
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from tornado import httputil, web

from easymlnb_server.http.kernel_channels import PATTERN, KernelChannelsHandler

PATH = "/api/kernels/0a1b-2c-3d-4e-5f/channels"


class Connection:
    """As much of a connection as routing looks at."""

    def set_close_callback(self, callback: Any) -> None: ...


def test_it_stands_before_jupyters_own() -> None:
    app = web.Application(default_handlers)
    app.add_handlers(".*$", [(PATTERN, KernelChannelsHandler)])
    request = httputil.HTTPServerRequest(
        start_line=httputil.RequestStartLine("GET", PATH, "HTTP/1.1"),
        headers=httputil.HTTPHeaders({"Host": "localhost"}),
        connection=Connection(),  # type: ignore[arg-type]
    )
    assert app.find_handler(request).handler_class is KernelChannelsHandler  # type: ignore[attr-defined]


def test_it_sends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    async def opened(self: object, kernel_id: str) -> None:
        told.append(kernel_id)

    monkeypatch.setattr(KernelWebsocketHandler, "open", opened)
    handler = KernelChannelsHandler.__new__(KernelChannelsHandler)
    monkeypatch.setattr(handler, "set_nodelay", told.append, raising=False)
    asyncio.run(handler.open("1-2"))
    assert told == [True, "1-2"]
