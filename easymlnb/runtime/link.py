"""The WebSocket from a kernel to its server: a socket, and ``websockets``' protocol without I/O.

No client library fits a worker: its main thread reads, runs calls and writes without another
thread, while a second thread may read cancels during a long call.
"""

import contextlib
import json
import os
import selectors
import socket
import ssl
import struct
import threading
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response
from websockets.uri import parse_uri

from easymlnb.contract.errors import NotLoggedIn, VersionMismatch
from easymlnb.contract.frame_connection import FrameConnection
from easymlnb.contract.worker_protocol import version_headers

CONNECT_TIMEOUT = 10.0
SEND_TIMEOUT = 60.0
CHUNK = 256 * 1024


class LinkRefused(Exception):
    """The server rejected the link: the secret is wrong, or easymlnb does not run there.

    ``skew`` is the server's message about incompatible versions, or ``""``. ``is_unexpected`` says
    that easymlnb itself does not expect this kernel.
    """

    def __init__(self, refusal: Exception) -> None:
        super().__init__(str(refusal))
        code, message = _error(refusal.response) if isinstance(refusal, InvalidStatus) else ("", "")
        self.skew = message if code == VersionMismatch.code else ""
        self.is_unexpected = code == NotLoggedIn.code


def _error(response: Response) -> tuple[str, str]:
    """Return code and message of easymlnb's error, both empty for any other response."""
    try:
        error = json.loads(response.body or b"")["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "", ""  # a proxy's page, or another server's


class LinkLost(Exception):
    """The connection ended."""


class Link:
    """One open connection. Any thread may ``send``; one at a time may ``receive``."""

    def __init__(self, url: str, secret: str, cafile: str = "") -> None:
        """Connect; raises ``OSError`` without a server, and ``LinkRefused``."""
        self._protocol = ClientProtocol(parse_uri(url), max_size=None)
        self._sending = threading.Lock()
        self._waking = threading.Lock()
        self._closed = False
        self._flags = 0
        self._socket = _connect(url, cafile)
        self._frames = FrameConnection(self._protocol, self._write)
        try:
            self._shake_hands(secret)
        except BaseException:
            self._socket.close()
            raise
        self._set_timeout()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def _shake_hands(self, secret: str) -> None:
        request = self._protocol.connect()
        request.headers["Authorization"] = f"easymlnb {secret}"
        request.headers.update(version_headers())
        self._protocol.send_request(request)
        self._frames.flush()
        while not self._frames.is_open:
            self._read()
            if self._protocol.handshake_exc is not None:
                raise LinkRefused(self._protocol.handshake_exc)

    def _set_timeout(self) -> None:
        """Limit how long a ``send`` may block; a ``receive`` never blocks."""
        if isinstance(self._socket, ssl.SSLSocket):
            self._socket.settimeout(SEND_TIMEOUT)
            return
        # With Python's own timeout, each chunk would cost one more system call.
        self._socket.settimeout(None)
        seconds = struct.pack("ll", int(SEND_TIMEOUT), 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
        self._flags = socket.MSG_DONTWAIT

    def ready(self, timeout: float | None) -> bool:
        """Wait until there is data; ``False`` after ``timeout`` seconds or a ``wake``."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        found = [key.fd for key, _ in self._selector.select(timeout)]
        if self._woken in found:
            os.read(self._woken, 4096)
        return self._socket.fileno() in found

    def wake(self) -> None:
        """End a ``ready`` in another thread; does nothing after the link is closed."""
        with self._waking, contextlib.suppress(BlockingIOError):
            # After `close` the descriptor may be another open file of this process.
            if not self._closed:
                os.write(self._waker, b"!")

    def receive(self) -> list[bytes]:
        """Read the available data, and return the complete messages in it."""
        if isinstance(self._socket, ssl.SSLSocket) and not self.ready(0):
            return []
        messages = self._read()
        with self._sending:
            self._frames.flush()  # answers to pings
        return messages

    def send(self, data: bytes) -> None:
        """Send one message; blocks while the server reads slowly. Raises ``LinkLost``."""
        with self._sending:
            if not self._frames.is_open:
                raise LinkLost("The connection to the server is closed.")
            self._frames.send(data)

    def close(self) -> None:
        with self._waking:
            self._closed = True
            self._selector.close()
            self._socket.close()
            os.close(self._woken)
            os.close(self._waker)

    def _read(self) -> list[bytes]:
        try:
            data = self._socket.recv(CHUNK, self._flags)
        except (ssl.SSLWantReadError, BlockingIOError):
            return []
        except OSError as error:
            raise LinkLost(str(error)) from error
        if not data:
            raise LinkLost("The server closed the connection.")
        return self._frames.receive(data)

    def _write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise LinkLost(str(error)) from error


def _connect(url: str, cafile: str) -> socket.socket:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    sock = socket.create_connection((parts.hostname or "localhost", port), CONNECT_TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if parts.scheme != "wss":
        return sock
    context = ssl.create_default_context(cafile=cafile or None)
    if cafile:
        # The server's certificate has its public host name, not the loopback address.
        context.check_hostname = False
    return context.wrap_socket(sock, server_hostname=parts.hostname)
