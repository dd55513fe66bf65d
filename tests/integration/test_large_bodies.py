"""Large bodies, results and uploads on a real server: through files, and none of them left."""

import hashlib
import http.client
import io
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from support.notebooks import make_notebook
from support.server import RunningServer, running_server

MB = 2**20
OCTETS = {"Content-Type": "application/octet-stream"}
SERVICES = """
import hashlib, time
from pathlib import Path
from typing import Annotated
import numpy as np
import pandas as pd
import easymlnb as ml

MB = 2**20

@ml.service
def large_digest(f: Annotated[ml.File, ml.File(max_bytes=200 * MB)]) -> dict:
    made = hashlib.sha256()
    with f.open() as file:
        while piece := file.read(MB):
            made.update(piece)
    return {"size": f.size, "sha": made.hexdigest(), "name": f.name}

@ml.service
def large_echo(a: Annotated[np.ndarray, ml.Array("float32")]) -> np.ndarray:
    return a

@ml.service
def large_made(n: int) -> ml.File:
    return ml.File(b"m" * n, "made.bin")

@ml.service
def large_json(n: int) -> list[int]:
    return list(range(n))

@ml.service
def large_bounded(f: Annotated[ml.File, ml.File(max_bytes=3 * MB)], n: int = 0) -> int:
    return f.size

@ml.service(timeout=60)
def large_slow(f: ml.File, marker: str = "") -> int:
    time.sleep(60)
    return 0

@ml.service
def large_mean(t: pd.DataFrame, column: str = "x") -> float:
    return float(t[column].mean())
"""


@pytest.fixture(scope="module")
def server(session_server: RunningServer) -> Iterator[RunningServer]:
    found = session_server.publish(make_notebook(SERVICES), "large.ipynb")
    assert found["state"] == "ready", found
    # Once it has answered, the worker has also proven that it reads the server's files.
    assert session_server.call("large_json", n=1).status_code == 200
    yield session_server
    assert left(session_server) == []


def left(server: RunningServer) -> list[Path]:
    """Return the files of bodies and results that are there."""
    assert server.process is not None
    folders = [server.folder / "data/easymlnb/spool"]
    own = {Path(file.path).parent for file in psutil.Process(server.process.pid).open_files()}
    folders += [folder for folder in own if folder.name.startswith("easymlnb-")]
    names = ("server.lock", "probe")
    found = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    return sorted(path for path in found if path.name not in names)


def gone(server: RunningServer) -> bool:
    return left(server) == []


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("way", ["raw", "chunked", "form"])
@pytest.mark.parametrize("size", [1000, MB + 1, 9 * MB + 7])
def test_a_body_arrives_as_it_was_sent(server: RunningServer, way: str, size: int) -> None:
    data = os.urandom(size)
    route = "services/large_digest/call"
    if way == "raw":
        answer = server.http.post(route, content=data, headers=OCTETS)
    elif way == "chunked":
        pieces = (data[at : at + 100_000] for at in range(0, size, 100_000))
        answer = server.http.post(route, content=pieces, headers=OCTETS)
    else:
        answer = server.http.post(route, files={"f": ("x.bin", data)})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["size"], answer.json()["sha"]) == (size, sha(data))


def test_arrays_go_both_ways(server: RunningServer) -> None:
    target = io.BytesIO()
    np.save(target, np.random.default_rng(1).random((900, 900)).astype("float32"))
    headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}
    for _ in range(3):
        answer = server.http.post(
            "services/large_echo/call", content=target.getvalue(), headers=headers
        )
        assert answer.content == target.getvalue()
        assert answer.headers["Content-Length"] == str(len(target.getvalue()))


def test_a_large_result_of_a_small_call(server: RunningServer) -> None:
    headers = {"Accept": "application/octet-stream"}
    values = {"n": 5 * MB}
    answer = server.http.post("services/large_made/call", json=values, headers=headers)
    assert answer.content == b"m" * (5 * MB)
    assert "made.bin" in answer.headers["Content-Disposition"]
    assert server.call("large_json", n=300_000).json() == list(range(300_000))


def test_a_large_view_and_large_events(server: RunningServer) -> None:
    answer = server.http.post("services/large_made/view", json={"n": 3 * MB})
    assert len(answer.json()["parts"][0]["data"]) == 4 * MB
    events = {"Accept": "text/event-stream"}
    answer = server.http.post("services/large_json/call", json={"n": 300_000}, headers=events)
    assert answer.text.endswith(",299999]\n\n")
    assert "event: result\ndata: [0,1," in answer.text


def test_a_caller_who_repeats_a_call_gets_the_large_result_again(server: RunningServer) -> None:
    headers = {"Idempotency-Key": "the-same-large-call", "Content-Type": "application/x-npy"}
    target = io.BytesIO()
    np.save(target, np.zeros((600, 600), "float32"))
    for _ in range(2):
        answer = server.http.post(
            "services/large_echo/call", content=target.getvalue(), headers=headers
        )
        assert answer.status_code == 200, answer.text


# limits


def refused(server: RunningServer, headers: dict[str, str]) -> tuple[int, bytes]:
    """Send headers only, and return the answer to them."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("POST", "/easymlnb/services/large_bounded/call")
    for name, value in ({"Authorization": f"token {server.token}"} | headers).items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


@pytest.mark.parametrize(
    ("kind", "length"),
    [("application/octet-stream", 3 * MB + 1), ("application/json", 101 * MB), ("text/csv", 2**40)],
)
def test_too_large_is_said_before_the_body(server: RunningServer, kind: str, length: int) -> None:
    status, body = refused(server, {"Content-Type": kind, "Content-Length": str(length)})
    assert (status, b"too_large" in body) == (413, True)


def test_a_body_of_unknown_length_is_cut_at_the_limit(server: RunningServer) -> None:
    pieces = (b"x" * MB for _ in range(4))
    answer = server.http.post("services/large_bounded/call", content=pieces, headers=OCTETS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    server.wait_for(lambda: gone(server), "a refused body was left")


def test_a_part_over_its_limit_is_refused(server: RunningServer) -> None:
    answer = server.http.post(
        "services/large_bounded/call", files={"f": ("x.bin", b"x" * (3 * MB + 1))}
    )
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "f")


# who leaves


def begun(server: RunningServer, sent: int) -> socket.socket:
    """Begin a body of 8 MB and send a part of it."""
    caller = socket.create_connection(("127.0.0.1", server.port), 30)
    caller.sendall(
        b"POST /easymlnb/services/large_slow/call HTTP/1.1\r\nHost: localhost\r\n"
        b"Authorization: token %s\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Length: %d\r\n\r\n" % (server.token.encode(), 8 * MB)
    )
    caller.sendall(b"x" * sent)
    return caller


@pytest.mark.parametrize("sent", [0, 3 * MB, 8 * MB])
def test_a_caller_who_leaves_leaves_no_file(server: RunningServer, sent: int) -> None:
    caller = begun(server, sent)
    server.wait_for(lambda: not gone(server), "the body is not there")
    caller.close()
    server.wait_for(lambda: gone(server), "the body was left")


def test_a_caller_who_leaves_in_the_result_leaves_no_file(server: RunningServer) -> None:
    headers = {"Accept": "application/octet-stream"}
    values = {"n": 150 * MB}  # more than a system buffers
    with server.http.stream(
        "POST", "services/large_made/call", json=values, headers=headers
    ) as answer:
        pieces = answer.iter_raw()  # an iterator that is dropped closes the connection
        next(pieces)
        assert not gone(server)
    server.wait_for(lambda: gone(server), "the result was left")


# memory


def test_the_servers_memory_does_not_grow_with_the_body(server: RunningServer) -> None:
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    pieces = (b"x" * MB for _ in range(150))
    before = process.memory_info().rss
    headers = {**OCTETS, "Content-Length": str(150 * MB)}
    answer = server.http.post("services/large_digest/call", content=pieces, headers=headers)
    assert answer.json()["size"] == 150 * MB
    assert process.memory_info().rss - before < 50 * MB


# uploads


def announce(server: RunningServer, service: str, **file: object) -> httpx.Response:
    return server.http.post("uploads", params={"service": service}, json=file)


def put(server: RunningServer, id: str, offset: int, data: bytes) -> httpx.Response:
    return server.http.put(f"uploads/{id}", params={"offset": offset}, content=data)


def test_a_file_in_parts_is_used_twice(server: RunningServer) -> None:
    data = os.urandom(5 * MB)
    begin = announce(server, "large_digest", name="x.bin", size=len(data))
    assert begin.status_code == 201, begin.text
    id, chunk = begin.json()["id"], 2 * MB
    for at in range(0, len(data), chunk):
        assert put(server, id, at, data[at : at + chunk]).status_code == 200
    assert server.http.get(f"uploads/{id}").json() == {"offset": 5 * MB, "size": 5 * MB}
    values = {"f": {"upload": id, "name": "mine.bin"}}
    for _ in range(2):
        answer = server.http.post(
            "services/large_digest/call", json=values, headers={"X-Easymlnb-Uploads": f"{id} ,"}
        )
        assert answer.json() == {"size": 5 * MB, "sha": sha(data), "name": "mine.bin"}
    assert server.http.delete(f"uploads/{id}").status_code == 204
    assert server.http.get(f"uploads/{id}").status_code == 404


def test_an_upload_goes_on_after_a_broken_connection(server: RunningServer) -> None:
    data = os.urandom(4 * MB)
    id = announce(server, "large_digest", size=len(data)).json()["id"]
    caller = socket.create_connection(("127.0.0.1", server.port), 30)
    caller.sendall(
        b"PUT /easymlnb/uploads/%s?offset=0 HTTP/1.1\r\nHost: localhost\r\n"
        b"Authorization: token %s\r\nContent-Length: %d\r\n\r\n"
        % (id.encode(), server.token.encode(), len(data))
    )
    caller.sendall(data[: 2 * MB])

    def offset() -> int:
        return int(server.http.get(f"uploads/{id}").json()["offset"])

    server.wait_for(offset, "nothing arrived")
    assert put(server, id, offset(), b"x").status_code == 409
    caller.close()

    def goes_on() -> bool:
        at = offset()
        answer = put(server, id, at, data[at:])
        assert answer.status_code == 200 or "offset" in answer.json()["error"]["details"]
        return answer.status_code == 200

    server.wait_for(goes_on, "the upload did not continue")
    answer = server.http.post(
        "services/large_digest/call",
        json={"f": {"upload": id}},
        headers={"X-Easymlnb-Uploads": id},
    )
    assert answer.json()["sha"] == sha(data)
    server.http.delete(f"uploads/{id}")


def test_an_empty_file(server: RunningServer) -> None:
    id = announce(server, "large_digest", name="x", size=0).json()["id"]
    headers = {"X-Easymlnb-Uploads": id}
    values = {"f": {"upload": id}}
    answer = server.http.post("services/large_digest/call", json=values, headers=headers)
    assert answer.json()["size"] == 0
    server.http.delete(f"uploads/{id}")


def test_a_table_from_an_upload(server: RunningServer) -> None:
    data = b"x\n1\n3\n"
    id = announce(server, "large_mean", name="t.csv", size=len(data)).json()["id"]
    put(server, id, 0, data)
    headers = {"X-Easymlnb-Uploads": id}
    values = {"t": {"upload": id, "name": "t.csv"}}
    assert server.http.post(
        "services/large_mean/call", json=values, headers=headers
    ).json() == pytest.approx(2.0)
    server.http.delete(f"uploads/{id}")


@pytest.mark.parametrize(
    ("service", "file", "status"),
    [
        ("large_bounded", {"name": "x", "size": 3 * MB + 1}, 413),
        ("large_mean", {"name": "x.exe", "size": 1}, 415),
        ("large_json", {"name": "x", "size": 1}, 400),
        ("nobody", {"name": "x", "size": 1}, 404),
        ("large_mean", {"name": "x.csv", "size": -1}, 400),
        ("large_mean", {"name": "x.csv", "size": "1"}, 400),
        ("large_mean", {"name": ["x.csv"], "size": 1}, 400),
        ("large_mean", {"name": "x.csv"}, 400),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(
    server: RunningServer, service: str, file: dict[str, object], status: int
) -> None:
    answer = announce(server, service, **file)
    assert answer.status_code == status, answer.text


def test_wrong_parts_are_refused(server: RunningServer) -> None:
    id = announce(server, "large_mean", name="x.csv", size=10).json()["id"]
    for offset, data, status in ((1, b"x", 409), (0, b"x" * 11, 413), (-1, b"x", 400)):
        assert put(server, id, offset, data).status_code == status
    assert server.http.put(f"uploads/{id}", content=b"x").status_code == 400
    assert put(server, "x" * 43, 0, b"x").status_code == 404
    headers = {"X-Easymlnb-Uploads": id}
    values = {"t": {"upload": id}}
    answer = server.http.post("services/large_mean/call", json=values, headers=headers)
    assert answer.json()["error"]["code"] == "upload_incomplete"
    headers = {"X-Easymlnb-Uploads": "nothing"}
    answer = server.http.post("services/large_mean/call", json=values, headers=headers)
    assert answer.json()["error"]["code"] == "upload_not_found"
    assert server.http.delete(f"uploads/{id}").status_code == 204


def test_nobody_uploads_without_a_login(server: RunningServer) -> None:
    url = f"{server.url}easymlnb/uploads"
    for method, at in (("POST", ""), ("PUT", "/" + "x" * 43), ("GET", "/" + "x" * 43)):
        params = {"service": "large_mean", "offset": 0}
        answer = httpx.request(method, url + at, params=params, timeout=60)
        assert answer.status_code == 401, method


# a live service, and a killed server


def test_a_killed_servers_files_go_with_the_next_start(
    server: RunningServer, tmp_path: Path
) -> None:
    with running_server(tmp_path, make_notebook(SERVICES)) as own:
        caller = begun(own, 3 * MB)
        own.wait_for(lambda: not gone(own), "the body is not there")
        files = left(own)
        own.stop(signal.SIGKILL)
        caller.close()
        assert any(file.exists() for file in files)
        own.start()
        assert not any(file.exists() for file in files)
    assert not any(file.parent.exists() for file in files)
