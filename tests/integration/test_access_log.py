"""What the server writes of requests, and where it sends browsers."""

import contextlib
import socket

import pytest

from support.server import RunningServer

SECRET = "Zk3cretZk3cret"
SPELLED = (
    "token", "Token", "TOKEN", "t%6Fken", "%74oken", "t%256Fken", "api_tok", "access_token", "tk",
    "apikey", "next", "token[]",
)  # fmt: skip
PATHS = ("/", "/lab", "/nosuch", "/api/contents", "/api/kernels/x", "/login", "/static/nosuch.js",
         "/easymlnb/", "/easymlnb/me", "/easymlnb/nosuch", "/easymlnb/services/nosuch",
         "/easymlnb/apps/nosuch", "/easymlnb/public/nosuch", "/easymlnb/link", "/x/")  # fmt: skip


def send(server: RunningServer, *requests: bytes) -> list[bytes]:
    """Return what comes back for each request, on a connection of its own."""
    answers = []
    for request in requests:
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            plain.settimeout(60)
            plain.sendall(request)
            parts = []
            with contextlib.suppress(ConnectionResetError):
                while part := plain.recv(65536):
                    parts.append(part)
            answers.append(b"".join(parts))
    return answers


def get(path: str, *headers: str, method: str = "GET", host: str = "localhost") -> bytes:
    lines = (f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def test_no_token_in_an_address_is_in_the_log(session_server: RunningServer) -> None:
    requests = [get(f"{path}?{name}={SECRET}") for path in PATHS for name in SPELLED]
    for path in PATHS:
        address = f"http://localhost{path}?t%6Fken={SECRET}"
        requests += [
            get(path, f"Referer: {address}"),
            get(f"{path}?Token={SECRET}", method="POST"),
            get(f"{path}?Token={SECRET}", method="BREW"),
            get(f"{path}?Token={SECRET}", host="evil.example"),
            get(f"http://me:{SECRET}@localhost{path}"),
            get(f"{path}?{SECRET}"),
        ]
    requests += [
        get("/x", f"Authorization: token {SECRET}\x01"),
        get("/x", f"Authorization: {SECRET} \xff\x01"),
        f"GET /?token={SECRET} HTTP/9\r\n\r\n".encode(),
        f"GET /?token={SECRET}\r\n\r\n".encode(),
        f"{SECRET} / HTTP/1.1 x\r\nHost: x\r\n\r\n".encode(),
        get("/login", "Content-Length: 50", method="POST")
        + f"password={SECRET}".encode().ljust(50),
    ]
    before = len(session_server.log)
    send(session_server, *requests)
    assert session_server.http.get("me").status_code == 200
    written = session_server.log[before:]
    assert SECRET not in written, [line for line in written.splitlines() if SECRET in line]
    assert "Traceback" not in written, written[max(0, written.index("Traceback") - 600) :][:6000]
    assert len(written) < 400 * len(requests)


def test_long_addresses_make_short_lines(session_server: RunningServer) -> None:
    before = len(session_server.log)
    long = "a" * 50_000
    requests = [
        get(f"/{long}"),
        get(f"/easymlnb/{long}"),
        get("/nosuch", f"Referer: http://localhost/{long}", f"User-Agent: {long[:9000]}"),
        get("/nosuch", f"{long}: 1"),
        get("/nosuch", f"X: {long}\x01"),
    ]
    send(session_server, *requests)
    assert session_server.http.get("me").status_code == 200
    assert len(session_server.log) - before < 1500 * len(requests)


@pytest.mark.parametrize("path", [
    "/\\evil.example/", "/\\/evil.example/", "/\\\\evil.example//", "//evil.example/",
    "/login?next=/\\evil.example", "/login?next=/\\evil.example/", "/login?next=%5C%5Cevil.example",
    "/login?next=/%5Cevil.example/", "/login?next=//evil.example/",
    "/login?next=https:evil.example",
    "/\\evil.example/?token={token}", "/easymlnb/?token={token}&next=/\\evil.example",
    "/easymlnb/\\evil.example/", "/\\evil.example/..//",
])  # fmt: skip
@pytest.mark.parametrize("login", [True, False])
def test_redirects_stay_on_the_host(session_server: RunningServer, path: str, login: bool) -> None:
    headers = ["Accept: text/html"]
    if login:
        headers.append(f"Authorization: token {session_server.token}")
    address = path.replace("{token}", session_server.token)
    [answer] = send(session_server, get(address, *headers))
    head = answer.partition(b"\r\n\r\n")[0].decode()
    for line in head.splitlines():
        if line.lower().startswith("location:"):
            where = line.partition(":")[2].strip()
            assert where.startswith("/"), line
            assert "\\" not in where and not where.startswith("//"), line
