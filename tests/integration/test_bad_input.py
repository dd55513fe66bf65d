"""Whatever is sent gets a clear error; the server and its other services keep working."""

import contextlib
import io
import json
import socket
import time
import uuid
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from easymlnb_server.http.routes import ROUTES
from support.notebooks import make_notebook
from support.server import RunningServer

SERVICES = """
import easymlnb as ml
import pandas as pd, numpy as np
from typing import Annotated

@ml.service
def bad_number(x: float, n: int = 1) -> float:
    return x * n

@ml.service(max_body=2_000_000)
def bad_image(image: Annotated[np.ndarray, ml.Image()]) -> int:
    return int(image.size)

@ml.service
def bad_table(table: Annotated[pd.DataFrame, ml.Table(columns={"load": "float"})]) -> int:
    return len(table)

@ml.service
def bad_name(file: ml.File) -> str:
    return file.name

@ml.service
def bad_raises(x: int = 0) -> int:
    raise ValueError("/secret/path and password=1234")

@ml.service
def bad_says(x: int = 0) -> int:
    raise ml.CallerError("Choose an even number.")

@ml.service
def bad_result() -> object:
    return object()

@ml.service
def bad_nan() -> float:
    return float("nan")

@ml.service
def bad_prints() -> int:
    line = "x" * 10_000_000
    for _ in range(1000):
        print(line)
    return 1

@ml.service
def bad_exits() -> int:
    import sys
    sys.exit(3)
"""


@pytest.fixture(scope="module")
def http(session_server: RunningServer) -> Iterator[httpx.Client]:
    found = session_server.publish(make_notebook(SERVICES), "bad_input.ipynb")
    assert found["state"] == "ready", found
    yield session_server.http


def error(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    assert found["request_id"] == answer.headers["X-Request-Id"]
    assert "Traceback" not in answer.text
    return found


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 400),
        (b"\xff\xfe{}", 400),
        ('{"x": 1}'.encode("utf-16"), 400),
        (b"[" * 100_000, 400),
        (b'{"x":' * 100_000, 400),
        (b"null", 400),
        (b"[1]", 400),
        (b'{"x": 1, "x": 2}', 400),
        (b'{"x": 1, "n": 2, "\\u0078": 3}', 400),
        (b'{"x": "one", "x": 2}', 400),
        (b'{"x": {"a": 1, "a": 1}}', 400),
        (b"{}", 422),
        (b'{"x": "one"}', 422),
        (b'{"x": null}', 422),
        (b'{"x": NaN}', 422),
        (b'{"x": 1e999}', 422),
        (b'{"x": 1, "n": 1.5}', 422),
        (b'{"x": 1, "y": 2}', 422),
        (b'{"x": [[[]]]}', 422),
    ],
)
def test_bad_json(http: httpx.Client, body: bytes, status: int) -> None:
    answer = http.post("services/bad_number/call", content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    assert error(answer)["message"]


def test_a_key_that_comes_twice_is_named(http: httpx.Client) -> None:
    name, way = "services/bad_number/call", {"headers": JSON}
    found = error(http.post(name, content=b'{"x": 1, "n": 1, "n": 2}', **way))
    assert (found["code"], "'n'" in found["message"]) == ("bad_request", True)
    answer = http.put("services/bad_number/access", content=b'{"users": [], "users": ["bob"]}')
    assert answer.status_code in (400, 409), answer.text  # 409: a server of one's own
    answer = http.post(
        "services/bad_number/call", files={"x": ("", b'{"a": 1, "a": 2}', "application/json")}
    )
    assert answer.status_code in (400, 422), answer.text


DEEP = [b"[" * 60_000, b'{"a":' * 12_000]
PART = b'--x\r\nContent-Disposition: form-data; name="x"\r\nContent-Type: application/json\r\n\r\n'
BODIES = [
    ("POST", "services/bad_number/call", JSON, b"%s"),
    ("POST", "services/bad_number/call", JSON, b'{"x": %s'),
    ("POST", "services/bad_number/view", JSON, b'{"x": %s'),
    (
        "POST",
        "services/bad_number/call",
        {"Content-Type": "multipart/form-data; boundary=x"},
        PART + b"%s\r\n--x--\r\n",
    ),
    ("POST", "services/bad_table/call", {"Content-Type": "text/csv"}, b"%s"),
    ("POST", "uploads?service=bad_name", JSON, b"%s"),
    ("POST", "uploads?service=bad_name", JSON, b'{"size": %s'),
    ("POST", "services", JSON, b"%s"),
    ("PUT", "services/bad_number/access", JSON, b"%s"),
    ("PUT", "services/bad_number/access", JSON, b'{"users": %s'),
]


@pytest.mark.parametrize("deep", DEEP, ids=["lists", "objects"])
@pytest.mark.parametrize(("method", "path", "headers", "body"), BODIES, ids=range(len(BODIES)))
def test_deep_json_is_refused(
    http: httpx.Client, method: str, path: str, headers: dict[str, str], body: bytes, deep: bytes
) -> None:
    answer = http.request(method, path, content=body % deep, headers=headers)
    assert 400 <= answer.status_code < 500, answer.text
    error(answer)


def test_every_wrong_field_is_named(http: httpx.Client) -> None:
    found = error(http.post("services/bad_number/call", json={"n": "two", "z": 1}))
    assert {item["field"] for item in found["details"]} == {"x", "n", "z"}


def test_unknown_content_type(http: httpx.Client) -> None:
    answer = http.post(
        "services/bad_number/call", content=b"x=1", headers={"Content-Type": "text/x-odd"}
    )
    assert (answer.status_code, error(answer)["code"]) == (415, "unsupported_media_type")


def test_answer_that_cannot_be_sent_as_asked(http: httpx.Client) -> None:
    answer = http.post("services/bad_number/call", json={"x": 1}, headers={"Accept": "image/png"})
    assert (answer.status_code, error(answer)["code"]) == (406, "not_acceptable")


def test_gigabyte_is_refused_from_its_headers(
    http: httpx.Client, session_server: RunningServer
) -> None:
    with socket.create_connection(("127.0.0.1", session_server.port)) as plain:
        plain.settimeout(60)
        plain.sendall(
            b"POST /easymlnb/services/bad_image/call HTTP/1.1\r\nHost: localhost\r\n"
            + f"Authorization: token {session_server.token}\r\n".encode()
            + b"Content-Type: image/png\r\nContent-Length: 1000000000\r\n\r\n"
        )
        answer = plain.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"too_large"' in answer


def test_chunked_body_over_the_limit(http: httpx.Client) -> None:
    pieces = (b"x" * 100_000 for _ in range(25))
    answer = http.post(
        "services/bad_image/call", content=pieces, headers={"Content-Type": "image/png"}
    )
    assert answer.status_code == 413


def test_body_without_credentials_is_not_read(session_server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", session_server.port)) as plain:
        plain.settimeout(60)
        plain.sendall(
            b"POST /easymlnb/services HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/zip\r\nContent-Length: 100000000\r\n\r\n"
        )
        assert plain.recv(65536).startswith(b"HTTP/1.1 401")


PLACES = {
    r"([A-Za-z0-9_-]+)": "nosuch",
    r"([0-9a-f]{64})": "0" * 64,
    r"([0-9a-f]{32})": "0" * 32,
    r"([A-Za-z0-9_-]{43})": "a" * 43,
    r"([0-9a-f-]{36})": str(uuid.UUID(int=0)),
    r"([0-9a-f]{12})/([A-Za-z0-9@._/-]+)": "0" * 12 + "/x",
    r"([a-z]+\.[a-z]+)": "style.css",
    r"([A-Za-z0-9._-]{8,64})": "12345678",
    r"([a-z0-9_-]{1,63})": "1",
    r"([A-Za-z_][A-Za-z0-9_.-]{0,63})": "NONE",
    r"([0-9A-Za-z]{1,64})": "0" * 26,
    r"(key_[0-9a-f]{16})": "key_" + "0" * 16,
    r"(.+)": "none.txt",
    r".*": "nosuch",
    r"/?": "",
    "\\.": ".",
}


def paths() -> list[str]:
    """Return a path for every route, and some that are not ours."""
    found = {"/nosuch", "/api/nosuch", "/api/contents/x", "/api/kernels", "/login"}  # Jupyter's
    for pattern, *_ in ROUTES:
        path = str(pattern)
        for expression, text in PLACES.items():
            path = path.replace(expression, text)
        found.add(f"/easymlnb/{path}")
    return sorted(found)


def whole(plain: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := plain.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"])
@pytest.mark.parametrize("length", ["Content-Length: 120000000", "Transfer-Encoding: chunked"])
def test_nobody_without_a_login_can_send_a_body(
    session_server: RunningServer, method: str, length: str
) -> None:
    for path in paths():
        with socket.create_connection(("127.0.0.1", session_server.port)) as plain:
            plain.settimeout(60)
            plain.sendall(
                f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode()
            )
            began = time.monotonic()
            answer = whole(plain)
        assert time.monotonic() - began < 8, (path, "it waited for the body")
        assert answer[9:12] in (b"401", b"403", b"404", b"405", b"413"), (path, answer[:200])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "nosuch"),
        ("GET", "me"),
        ("DELETE", "calls/12345678"),
        ("PUT", "services"),
        ("POST", "services/nosuch/call"),
        ("POST", "services/nosuch/live/view"),
        ("PUT", "services/nosuch/access"),
    ],
)
@pytest.mark.parametrize("length", ["Content-Length: 120000000", "Transfer-Encoding: chunked"])
def test_nobody_at_all_can_send_a_body_to_what_takes_none(
    session_server: RunningServer, method: str, path: str, length: str
) -> None:
    with socket.create_connection(("127.0.0.1", session_server.port)) as plain:
        plain.settimeout(8)
        plain.sendall(
            f"{method} /easymlnb/{path} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: token {session_server.token}\r\n{length}\r\n\r\n".encode()
        )
        answer = whole(plain)
    assert answer[9:12] in (b"404", b"405", b"409", b"413"), answer[:200]
    assert b'"error"' in answer


@pytest.mark.parametrize(
    "credentials",
    ["Authorization: token wrong", "Cookie: username=wrong", 'Cookie: _xsrf="2|1|x|2"; a=b', ""],
)
def test_wrong_credentials_bring_no_body_to_jupyters_routes(
    session_server: RunningServer, credentials: str
) -> None:
    lines = ["PUT /api/contents/x HTTP/1.1", "Host: localhost", "Content-Length: 120000000"]
    lines += [credentials] if credentials else []
    with socket.create_connection(("127.0.0.1", session_server.port)) as plain:
        plain.settimeout(8)
        plain.sendall("\r\n".join([*lines, "", ""]).encode())
        assert whole(plain).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("way", ["header", "address", "cookie"])
def test_jupyters_routes_take_large_bodies_of_their_user(
    session_server: RunningServer, way: str
) -> None:
    url, token = session_server.url, session_server.token
    large = {"type": "file", "format": "text", "content": "x" * 300_000}
    with httpx.Client(base_url=url, timeout=60) as browser:
        headers, params = {}, {}
        if way == "header":
            headers["Authorization"] = f"token {token}"
        elif way == "address":
            params["token"] = token
        else:
            browser.get("lab", params={"token": token})
            headers["X-XSRFToken"] = browser.cookies["_xsrf"]
        sent = browser.put(
            f"api/contents/large-{way}.txt", json=large, headers=headers, params=params
        )
    assert sent.status_code == 201, sent.text


def test_chunked_body_far_over_the_limit_is_answered(
    http: httpx.Client, session_server: RunningServer
) -> None:
    with socket.create_connection(("127.0.0.1", session_server.port)) as plain:
        plain.settimeout(60)
        plain.sendall(
            b"POST /easymlnb/services/bad_image/call HTTP/1.1\r\nHost: localhost\r\n"
            + f"Authorization: token {session_server.token}\r\n".encode()
            + b"Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            for _ in range(100):
                plain.sendall(b"186a0\r\n" + bytes(100_000) + b"\r\n")
        answer = whole(plain)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"too_large"' in answer


@pytest.mark.parametrize("length", [b"Content-Length: 900000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", [b"services/nosuch/call", b"services/bad_number/call", b"uploads"])
@pytest.mark.parametrize("token", [True, False])
def test_leaving_in_the_middle_of_a_body_is_no_error(
    http: httpx.Client, session_server: RunningServer, length: bytes, path: bytes, token: bool
) -> None:
    before = len(session_server.log)
    with socket.create_connection(("127.0.0.1", session_server.port)) as plain:
        login = f"Authorization: token {session_server.token}\r\n".encode() if token else b""
        plain.sendall(
            b"POST /easymlnb/%s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n\r\n" % (path, login, length)
            + b"2710\r\n"
            + bytes(5_000)
        )
        plain.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            plain.recv(1)
    assert http.get("me").status_code == 200  # whatever came of it is in the log now
    found = session_server.log[before:]
    assert "Traceback" not in found and " 500 " not in found
    assert len(found) < 600, found


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an image",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
        b"II*\0" + b"\xff" * 100,
        b"BM" + b"\xff" * 60,
    ],
)
@pytest.mark.parametrize("way", ["raw", "part"])
def test_lying_images(http: httpx.Client, data: bytes, way: str) -> None:
    if way == "raw":
        answer = http.post(
            "services/bad_image/call", content=data, headers={"Content-Type": "image/png"}
        )
    else:
        answer = http.post("services/bad_image/call", files={"image": ("x.png", data, "image/png")})
    assert answer.status_code in (400, 422), answer.text
    assert error(answer)["message"]


def test_table_with_wrong_columns(http: httpx.Client) -> None:
    answer = http.post(
        "services/bad_table/call", files={"table": ("x.csv", b"time,price\n1,2\n", "text/csv")}
    )
    assert answer.status_code == 422
    assert "load" in error(answer)["message"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\x", "a\0b", ""])
def test_names_of_files_are_labels(http: httpx.Client, name: str) -> None:
    part = {"b64": "aGk=", "name": name, "media_type": "text/plain"}
    answer = http.post("services/bad_name/call", json={"file": part})
    if answer.status_code == 200:
        assert not set(answer.json()) & set("/\\\0")
    else:
        assert answer.status_code == 422


def test_exception_tells_the_caller_nothing_of_its_text(http: httpx.Client) -> None:
    answer = http.post("services/bad_raises/call", json={})
    assert (answer.status_code, error(answer)["code"]) == (500, "call_failed")
    assert "secret" not in answer.text
    entry = http.get("services/bad_raises/log").json()["entries"][-1]
    assert "password=1234" in entry["trace"]
    assert entry["request_id"] == answer.headers["X-Request-Id"]


def test_author_can_tell_the_caller_something(http: httpx.Client) -> None:
    answer = http.post("services/bad_says/call", json={})
    assert (answer.status_code, error(answer)["message"]) == (422, "Choose an even number.")


def test_result_that_cannot_be_encoded(http: httpx.Client) -> None:
    answer = http.post("services/bad_result/call", json={})
    assert (answer.status_code, error(answer)["code"]) == (500, "result_not_encodable")


def test_nan_is_never_invalid_json(http: httpx.Client) -> None:
    answer = http.post("services/bad_nan/call", json={})
    assert answer.status_code == 200
    json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def test_ten_gigabytes_of_prints_are_cut(http: httpx.Client) -> None:
    assert http.post("services/bad_prints/call", json={}).json() == 1
    log = http.get("services/bad_prints/log").json()["entries"][-1]["log"]
    assert len(log) < 100_000
    assert "more characters were truncated" in log


def test_sys_exit_is_an_error_of_that_call_only(http: httpx.Client) -> None:
    assert http.post("services/bad_exits/call", json={}).status_code == 500
    assert http.post("services/bad_number/call", json={"x": 2}).json() == 2


def test_unknown_service_and_route(http: httpx.Client) -> None:
    assert error(http.post("services/nobody/call", json={}))["code"] == "service_not_found"
    assert error(http.get("no/such/route"))["code"] == "not_found"
    assert error(http.put("services"))["code"] == "method_not_allowed"


def test_refused_request_leaves_the_connection_usable(http: httpx.Client) -> None:
    for _ in range(20):
        assert http.post("services/nobody/call", json={"x": "y" * 5000}).status_code == 404


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/"), data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"not a valid zip", "application/zip", 400),
        (b"", "application/zip", 400),
        (zipped(x=b"1"), "application/zip", 400),
        (b"{}", "application/json", 415),
    ],
)
def test_bad_bundles(http: httpx.Client, content: bytes, media: str, status: int) -> None:
    answer = http.post("services", content=content, headers={"Content-Type": media})
    assert answer.status_code == status, answer.text
    assert error(answer)["message"]
