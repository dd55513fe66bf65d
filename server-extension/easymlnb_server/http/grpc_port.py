"""The port for gRPC: opened and closed with the server."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tornado.web import Application

from easymlnb.contract.spec import MAX_BODY
from easymlnb_server.context import ServerContext

MAX_MESSAGE = MAX_BODY + 2**20
"""Bytes of a message at most; the services' own limits are checked later."""

MAX_RPCS = 256
"""Calls at once at most: their messages are in memory."""

GRACE = 2.0
"""Seconds that calls have to end when the server stops."""

FORK_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"
INSTALL = "gRPC needs more packages. Install them: pip install 'easymlnb[grpc]'"

log = logging.getLogger("easymlnb")


class GrpcPort:
    """Serves the Open Inference Protocol by gRPC on ``address``, with TLS if there is a key."""

    def __init__(self, address: str, certfile: str = "", keyfile: str = "") -> None:
        self._address = address
        self._files = (keyfile, certfile) if certfile and keyfile else ()
        self._server: Any = None

    async def open(self, application: Application, state: ServerContext) -> None:
        """Open the port; an error is logged, as everything else works without it."""
        with _without_fork_support():
            try:
                await self._open(application, state)
            except ImportError as error:
                log.error("%s (%s)", INSTALL, error)
            except (OSError, RuntimeError) as error:
                log.error("Cannot serve gRPC on %s: %s", self._address, error)

    async def _open(self, application: Application, state: ServerContext) -> None:
        import grpc.aio

        from easymlnb_server.protocols.oip.rpc.handlers import InferenceService

        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE),
                ("grpc.max_send_message_length", -1),
                # Else a second server on the port would get half of the calls.
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=MAX_RPCS,
        )
        server.add_generic_rpc_handlers((InferenceService(application, state),))
        self._add_port(grpc, server)
        await server.start()
        self._server = server
        log.info("gRPC is served on %s.", self._address)

    def _add_port(self, grpc: Any, server: Any) -> None:
        if not self._files:
            server.add_insecure_port(self._address)
            return
        pair = tuple(Path(one).read_bytes() for one in self._files)
        server.add_secure_port(self._address, grpc.ssl_server_credentials([pair]))

    async def close(self) -> None:
        """Close the port once the running calls have ended, or after a moment."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(GRACE)


@contextlib.contextmanager
def _without_fork_support() -> Iterator[None]:
    """Let gRPC start without its work at forks, which logs a line for each kernel that starts.

    Kernels do not inherit this.
    """
    given = os.environ.get(FORK_SUPPORT)
    os.environ[FORK_SUPPORT] = given or "0"
    try:
        yield
    finally:
        if given is None:
            del os.environ[FORK_SUPPORT]
