"""Services as tools of assistants, on a real server: by hand, and by the official clients."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import foreign_clients
from support.kernels import NotebookKernel
from support.mcp import CURRENT, TASKS, Rpc, RpcFailure
from support.notebooks import make_notebook
from support.server import RunningServer

pytestmark = pytest.mark.timeout(300)

SERVICES = '''
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import easymlnb as ml
import numpy as np

@ml.service(idempotent=True)
def tools_add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b

@ml.service
def tools_stats(values: list[float]) -> dict[str, float]:
    return {"sum": sum(values), "most": max(values)}

@ml.service
def tools_picture(size: int = 4) -> Annotated[np.ndarray, ml.Image()]:
    return np.random.default_rng(1).integers(0, 255, (size, size, 3), np.uint8)

@ml.service
def tools_sizes(file: ml.File, other: ml.File | None = None) -> int:
    return file.size + (other.size if other else 0)

@ml.service
def tools_bytes(count: int) -> ml.File:
    return ml.File(b"x" * count, "x.bin", "application/octet-stream")

@ml.service
def tools_count(to: int):
    """Count."""
    for number in range(1, to + 1):
        yield number

@ml.service
def tools_fail(how: Literal["told", "bug", "slow"]) -> str:
    if how == "told":
        raise ml.CallerError("Take another one.")
    if how == "slow":
        time.sleep(60)
    raise RuntimeError("a secret of the author")

@ml.service(timeout=120)
def tools_nap(folder: str) -> str:
    marks = Path(folder)
    try:
        for step in range(1000):
            ml.progress(min(step / 100, 0.99), f"step {step}")
            if step:
                (marks / "started").touch()
            time.sleep(0.02)
    finally:
        (marks / "stopped").touch()
    return "woke"

@ml.service(timeout=20, on_timeout="job")
def tools_train(epochs: int = 1, folder: str = "") -> dict[str, Any]:
    while folder and not (Path(folder) / "go").exists():
        time.sleep(0.02)
    if epochs < 0:
        raise ml.CallerError("epochs must not be negative.")
    return {"epochs": epochs}
'''


@pytest.fixture(scope="module")
def server(session_server: RunningServer) -> Iterator[RunningServer]:
    found = session_server.publish(make_notebook(SERVICES), "tools.ipynb")
    assert found["state"] == "ready", found
    yield session_server
    for one in found["services"]:
        session_server.http.delete(f"services/{one['name']}")


@pytest.fixture
def rpc(server: RunningServer) -> Rpc:
    """A client of the revision without a handshake."""
    return Rpc(server.http, "mcp")


@pytest.fixture
def old(server: RunningServer) -> Rpc:
    """A client of the last revision with a handshake."""
    client = Rpc(server.http, "mcp", "2025-11-25")
    client.initialize()
    return client


def names(listed: dict[str, Any]) -> list[str]:
    return [tool["name"] for tool in listed["tools"]]


def test_what_the_server_is(rpc: Rpc, server: RunningServer) -> None:
    found = rpc.call("server/discover")
    assert found["resultType"] == "complete"
    assert found["supportedVersions"][0] == CURRENT and "2024-11-05" in found["supportedVersions"]
    assert TASKS in found["capabilities"]["extensions"]
    assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "easymlnb"
    for version in ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"):
        client = Rpc(server.http, "mcp", version)
        assert client.initialize()["protocolVersion"] == version
        assert client.session
        assert client.notify("notifications/initialized") == 202
        assert client.call("ping") == {}


def test_tools_are_sorted_and_described(rpc: Rpc, old: Rpc, server: RunningServer) -> None:
    found = rpc.call("tools/list")
    assert (found["ttlMs"], found["cacheScope"]) == (5000, "private")
    services = [name for name in names(found) if name.startswith("tools_")]
    assert services[:9] == sorted(services[:9]) and len(services) == 11
    assert {"tools_nap_start", "tools_train_start"} <= set(services)
    assert names(found)[-3:] == ["job_cancel", "job_status", "begin_upload"]
    add = next(tool for tool in found["tools"] if tool["name"] == "tools_add")
    assert add["outputSchema"]["type"] == "integer"
    assert add["annotations"]["idempotentHint"] is True
    for tool in old.call("tools/list")["tools"]:
        assert tool.get("outputSchema", {"type": "object"})["type"] == "object", tool["name"]
    only = Rpc(server.http, "mcp?tools=tools_add,nosuch")
    assert names(only.call("tools/list")) == ["tools_add"]
    with pytest.raises(RpcFailure, match="no tool 'tools_stats'"):
        only.tool("tools_stats", values=[1])
    one = Rpc(server.http, "services/tools_train/mcp")
    assert names(one.call("tools/list")) == [
        "tools_train", "tools_train_start", "job_cancel", "job_status",
    ]  # fmt: skip


def test_results_are_structured(rpc: Rpc, old: Rpc, server: RunningServer) -> None:
    found = rpc.tool("tools_add", a=40)
    assert found["structuredContent"] == 42
    assert found["content"] == [{"type": "text", "text": "42"}]
    assert old.tool("tools_add", a=40)["structuredContent"] == {"result": 42}
    both = {"sum": 3.0, "most": 2.0}
    assert rpc.tool("tools_stats", values=[1, 2])["structuredContent"] == both
    assert old.tool("tools_stats", values=[1, 2])["structuredContent"] == both
    plain = Rpc(server.http, "mcp", "2025-03-26")
    assert plain.tool("tools_add", a=1) == {"content": [{"type": "text", "text": "3"}]}


def test_calls_are_calls_as_all_others(rpc: Rpc, server: RunningServer) -> None:
    rpc.tool("tools_add", a=1, headers={"X-Request-Id": "a-call-by-mcp"})
    entries = server.http.get("services/tools_add/log").json()["entries"]
    assert "a-call-by-mcp" in [entry["request_id"] for entry in entries]
    assert rpc.tool("tools_add", a=1, headers={"X-Easymlnb-Version": "1"})["structuredContent"] == 3
    with pytest.raises(RpcFailure, match="no version '99'"):
        rpc.tool("tools_add", a=1, headers={"X-Easymlnb-Version": "99"})


@pytest.mark.parametrize("slow", [{}, {"Cookie": "a=b"}])
def test_answers_name_their_version(server: RunningServer, slow: dict[str, str]) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    message |= {"params": {"name": "tools_add", "arguments": {"a": 1}}}
    headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    headers |= {"Authorization": f"token {server.token}"} | slow
    # Not the server's own client: a cookie of an earlier test would make the call a slow one.
    url = f"{server.url}easymlnb/services/tools_add/mcp"
    answer = httpx.post(url, json=message, headers=headers, timeout=60)
    assert (answer.status_code, "Server" in answer.headers) == (200, bool(slow)), answer.text
    assert answer.headers["X-Easymlnb-Version"] == "1"


def test_pictures_files_and_streams(rpc: Rpc) -> None:
    found = rpc.tool("tools_picture")
    picture = next(one for one in found["content"] if one["type"] == "image")
    assert base64.b64decode(picture["data"]).startswith(b"\x89PNG")
    assert found["structuredContent"].startswith("data:image/png")
    found = rpc.tool("tools_bytes", count=1000)
    assert base64.b64decode(found["content"][1]["resource"]["blob"]) == b"x" * 1000
    found = rpc.tool("tools_bytes", count=2**21)
    link = found["content"][1]
    assert (link["type"], link["size"], link["name"]) == ("resource_link", 2**21, "x.bin")
    assert link["uri"] in [one["uri"] for one in rpc.call("resources/list")["resources"]]
    read = rpc.call("resources/read", uri=link["uri"])["contents"][0]
    assert base64.b64decode(read["blob"]) == b"x" * 2**21
    assert rpc.tool("tools_count", to=3)["structuredContent"] == [1, 2, 3]


def test_resources_are_their_callers(rpc: Rpc, holders: "Holders") -> None:
    link = rpc.tool("tools_bytes", count=2**21)["content"][1]["uri"]
    other = holders("tools_bytes")
    for client, code in ((Rpc(other, "mcp"), -32602), (Rpc(other, "mcp", "2025-11-25"), -32002)):
        with pytest.raises(RpcFailure) as caught:
            client.call("resources/read", uri=link)
        assert caught.value.code == code
    with pytest.raises(RpcFailure):
        rpc.call("resources/read", uri="file:///etc/passwd")
    assert rpc.call("resources/templates/list")["resourceTemplates"]


def test_files_come_in_as_text_or_uploads(rpc: Rpc, server: RunningServer, tmp_path: Path) -> None:
    uri = f"data:text/plain;base64,{base64.b64encode(b'hello').decode()}"
    assert rpc.tool("tools_sizes", file=uri)["structuredContent"] == 5
    begun = rpc.tool("begin_upload", tool="tools_sizes", name="it's.bin", size=300_000)
    found = begun["structuredContent"]
    assert "curl" in found["commands"] and found["url"].startswith(server.url)
    sent = server.http.put(f"{found['url']}?offset=0", content=b"x" * 300_000)
    assert sent.status_code == 200
    values = {"file": found["argument"], "other": {"b64": "YWI="}}
    assert rpc.tool("tools_sizes", **values)["structuredContent"] == 300_002
    for wrong in ({"upload": "u" * 43}, "http://127.0.0.1/secret", "/etc/passwd"):
        failed = rpc.tool("tools_sizes", file=wrong)
        assert failed["isError"], failed
    assert rpc.tool("begin_upload", tool="nosuch", name="x", size=1)["isError"]
    assert "size" in rpc.tool("begin_upload", tool="tools_sizes", name="x")["content"][0]["text"]


def test_errors_that_models_can_mend_are_results(rpc: Rpc) -> None:
    for values, code, words in (
        ({"how": "told"}, "caller_error", "Take another one."),
        ({"how": "bug"}, "call_failed", "RuntimeError"),
        ({"how": "else"}, "invalid_input", "how: "),
        ({}, "invalid_input", "how: "),
        ({"how": "told", "x": 1}, "invalid_input", "x: "),
    ):
        found = rpc.tool("tools_fail", **values)
        assert found["isError"] is True, found
        assert "structuredContent" not in found
        assert words in found["content"][0]["text"]
        assert "secret" not in json.dumps(found)
        assert found["_meta"]["easymlnb/error"]["code"] == code
        assert found["_meta"]["easymlnb/error"]["request_id"]
    slow = rpc.tool("tools_fail", how="slow", headers={"X-Timeout": "0.3"})
    assert slow["_meta"]["easymlnb/error"]["code"] == "deadline_exceeded"


def test_errors_of_the_protocol(rpc: Rpc, old: Rpc, server: RunningServer) -> None:
    def refused(client: Rpc, method: str, **params: Any) -> tuple[int, int]:
        with pytest.raises(RpcFailure) as caught:
            client.call(method, **params)
        return caught.value.code, caught.value.status

    assert refused(rpc, "tools/call", name="nosuch") == (-32602, 200)
    assert refused(rpc, "no/such") == (-32601, 404)
    assert refused(old, "no/such") == (-32601, 200)
    assert refused(old, "tasks/get", taskId="x") == (-32601, 200)
    assert refused(rpc, "initialize") == (-32601, 404)
    assert refused(rpc, "tasks/get", taskId="0" * 26) == (-32021, 400)
    assert refused(rpc.with_tasks(), "tasks/get", taskId="0" * 26) == (-32602, 200)
    assert refused(Rpc(server.http, "mcp", "2099-01-01"), "ping") == (-32022, 400)
    body = {"jsonrpc": "2.0", "id": 5, "method": "ping"}
    answer = server.http.post("mcp", json=body, headers={"MCP-Protocol-Version": CURRENT})
    assert (answer.status_code, answer.json()["id"]) == (400, 5)
    assert answer.json()["error"]["code"] == -32020
    for content, code in ((b"{", -32700), (b"[]", -32600), (b'{"id": 1}', -32600)):
        headers = {"Content-Type": "application/json"}
        answer = server.http.post("mcp", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    answer = server.http.post("mcp", content=b"{}", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["jsonrpc"]) == (415, "2.0")
    for method in ("GET", "DELETE"):
        answer = server.http.request(method, "mcp")
        assert (answer.status_code, answer.json()["error"]["code"]) == (405, -32601)
    answer = server.http.post("services/nosuch/mcp", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, -32602)


def test_old_clients_send_batches(server: RunningServer) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "nosuch"},
    ]
    first, second = server.http.post("mcp", json=batch).json()
    assert (first["id"], first["result"]) == (1, {})
    assert second["error"]["code"] == -32601
    assert server.http.post("mcp", json=batch[1:2]).status_code == 202


# who may


Holders = Callable[..., httpx.Client]


@pytest.fixture
def holders(server: RunningServer) -> Iterator[Holders]:
    """Return what makes clients that have nothing but an API key for some services."""
    with ExitStack() as clients:

        def make(*services: str, **values: Any) -> httpx.Client:
            body = {"services": services, "scopes": ["call"], **values}
            key = server.http.post("keys", json=body).json()["key"]
            headers = {"Authorization": f"Bearer {key}"}
            client = httpx.Client(base_url=f"{server.url}easymlnb/", headers=headers, timeout=60)
            return clients.enter_context(client)

        yield make


def test_a_key_opens_its_services_only(holders: Holders) -> None:
    holder = holders("tools_add", "tools_train")
    client = Rpc(holder, "mcp")
    assert names(client.call("tools/list")) == ["tools_add", "tools_train"]  # no jobs without scope
    assert client.tool("tools_add", a=1)["structuredContent"] == 3
    with pytest.raises(RpcFailure, match="no tool"):
        client.tool("tools_stats", values=[1])
    with pytest.raises(RpcFailure, match="no tool"):
        client.tool("job_status", job_id="x")
    answer = holder.post("services/tools_stats/mcp", json=client.message("ping"))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    # Clients ask for a stream of events first; another status than 405 ends some of them.
    assert [holder.request(method, "mcp").status_code for method in ("GET", "DELETE")] == [405, 405]
    reader = Rpc(holders("tools_add", scopes=["read"]), "mcp")
    assert names(reader.call("tools/list")) == ["tools_add"]
    with pytest.raises(RpcFailure) as caught:
        reader.tool("tools_add", a=1)
    assert caught.value.code == -32011
    limited = holders("tools_add", limits={"calls_per_day": 1})
    client = Rpc(limited, "services/tools_add/mcp")
    client.tool("tools_add", a=1)
    with pytest.raises(RpcFailure) as caught:
        client.tool("tools_add", a=1)
    assert (caught.value.code, caught.value.data["code"]) == (-32010, "limit_exceeded")
    assert caught.value.data["details"]["retry_after"] > 0


def test_cookies_and_other_origins_are_nothing(server: RunningServer) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    with httpx.Client(base_url=f"{server.url}easymlnb/", timeout=60) as person:
        assert person.get("", params={"token": server.token}).status_code in (200, 302)
        assert person.get("me").status_code == 200
        xsrf = {"X-XSRFToken": person.cookies.get("_xsrf", "")}
        for sent in ({}, xsrf, {"Authorization": "Bearer wrong"}):
            answer = person.post("mcp", json=body, headers=sent)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, -32011)
    for origin, status in (("http://evil.example", 403), ("null", 403), (server.url[:-1], 200)):
        answer = server.http.post("mcp", json=body, headers={"Origin": origin})
        assert answer.status_code == status, origin
        assert answer.json()["jsonrpc"] == "2.0"


# progress, cancel, jobs


def test_progress_comes_while_the_call_runs(old: Rpc, rpc: Rpc, tmp_path: Path) -> None:
    for client, number in ((rpc, 1), (old, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        events = client.events("tools_nap", token=f"t{number}", folder=str(folder))
        seen = []
        for message in events:
            seen.append(message["params"])
            if len(seen) == 4:
                break
        events.close()  # the caller leaves, which stops the function
        reached = [one["progress"] for one in seen]
        assert reached == sorted(set(reached))
        assert {one["progressToken"] for one in seen} == {f"t{number}"}
        assert seen[-1]["message"].startswith("step")
        client.wait_for(lambda f=folder: (f / "stopped").exists())
    *items, last = rpc.events("tools_count", token=1, to=3)
    assert [one["params"]["message"] for one in items] == ["1", "2", "3"]
    assert last["result"]["structuredContent"] == [1, 2, 3]


def test_a_client_cancels_its_own_request_only(
    server: RunningServer, old: Rpc, tmp_path: Path
) -> None:
    other = Rpc(server.http, "mcp", "2025-11-25")
    other.initialize()
    stranger = Rpc(server.http, "mcp", "2025-11-25")  # has no session
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(old.call, "tools/call", id=77, name="tools_nap",
                           arguments={"folder": str(tmp_path)})  # fmt: skip
        server.wait_for(lambda: (tmp_path / "started").exists(), "the function did not begin")
        for client in (other, stranger):
            assert client.notify("notifications/cancelled", requestId=77) == 202
        assert not (tmp_path / "stopped").exists()
        assert old.notify("notifications/cancelled", requestId=77) == 202
        server.wait_for(lambda: (tmp_path / "stopped").exists(), "it was not stopped")
        with pytest.raises(RpcFailure) as caught:
            call.result(30)
        assert caught.value.data["code"] == "cancelled"


def test_jobs_are_tasks(rpc: Rpc, server: RunningServer, tmp_path: Path) -> None:
    client = rpc.with_tasks()
    made = client.tool("tools_train", epochs=3, folder=str(tmp_path))
    assert (made["resultType"], made["status"]) == ("task", "working")
    assert made["pollIntervalMs"] > 0
    task = made["taskId"]
    assert client.call("tasks/get", taskId=task)["status"] == "working"
    assert server.http.get(f"jobs/{task}").json()["service"] == "tools_train"
    (tmp_path / "go").touch()
    found = client.task(task)
    assert found["status"] == "completed"
    assert found["result"]["structuredContent"] == {"epochs": 3}
    failed = client.task(client.tool("tools_train", epochs=-1)["taskId"])
    assert (failed["status"], failed["result"]["isError"]) == ("completed", True)
    assert failed["result"]["content"][0]["text"] == "epochs must not be negative."
    (tmp_path / "go").unlink()
    task = client.tool("tools_train", folder=str(tmp_path))["taskId"]
    assert client.call("tasks/cancel", taskId=task)["resultType"] == "complete"
    assert client.task(task)["status"] == "cancelled"
    assert client.call("tasks/update", taskId=task, inputResponses={})["resultType"] == "complete"
    assert client.tool("tools_add", a=1)["structuredContent"] == 3  # not all calls are tasks


def test_clients_without_tasks_start_jobs_by_tools(old: Rpc, tmp_path: Path) -> None:
    begun = old.tool("tools_train_start", epochs=2, folder=str(tmp_path))["structuredContent"]
    job = begun["job_id"]
    assert begun["state"] == "queued" or begun["state"] == "running"
    status = old.tool("job_status", job_id=job, wait=0)
    assert status["structuredContent"]["state"] in ("queued", "running")
    (tmp_path / "go").touch()
    done = old.tool("job_status", job_id=job, wait=50)
    assert done["structuredContent"]["result"] == {"epochs": 2}
    assert done["structuredContent"]["state"] == "succeeded"
    # Within the timeout, a call has the result itself.
    assert old.tool("tools_train", epochs=4)["structuredContent"] == {"epochs": 4}
    (tmp_path / "go").unlink()
    job = old.tool("tools_train_start", folder=str(tmp_path))["structuredContent"]["job_id"]
    assert old.tool("job_cancel", job_id=job)["structuredContent"]["job_id"] == job
    ended = old.tool("job_status", job_id=job)["structuredContent"]
    assert ended["state"] == "cancelled"
    assert "no job" in old.tool("job_status", job_id="0" * 26)["content"][0]["text"]
    assert "wait" in old.tool("job_status", job_id=job, wait=99)["content"][0]["text"]


def test_live_services_are_tools_too(server: RunningServer, rpc: Rpc) -> None:
    kernel = NotebookKernel(server.http, "tools-live.ipynb")
    try:
        kernel.run(
            "import easymlnb as ml\n@ml.service\ndef tools_live(x: int) -> int:\n    return x"
        )
        assert rpc.tool("tools_live", x=4)["structuredContent"] == 4
    finally:
        kernel.close()


def test_many_clients_at_once(rpc: Rpc) -> None:
    lock, found = threading.Lock(), []

    def call(number: int) -> None:
        value = rpc.tool("tools_add", a=number, b=0)["structuredContent"]
        with lock:
            found.append((number, value))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(100)))
    assert all(number == value for number, value in found) and len(found) == 100


def test_the_page_has_the_servers_own_url(server: RunningServer) -> None:
    page = server.http.get("services/tools_add/assistant").text
    assert f"{server.url}easymlnb/services/tools_add/mcp" in page
    assert "claude mcp add" in page and "keys/page" in page
    assert f"{server.url}easymlnb/mcp" in server.http.get("assistants").text
    assert "services/tools_add/assistant" in server.http.get("services/tools_add/page").text


# the official clients


def check_walk(found: dict[str, Any], *, current: bool) -> None:
    assert {"tools_add", "tools_count", "job_status"} <= set(found["tools"])
    assert found["add"]["structuredContent"] == (42 if current else {"result": 42})
    assert found["failed"]["isError"] is True
    assert found["failed"]["content"][0]["text"] == "Take another one."
    items = found["count"]["structuredContent"]
    assert items == ([1, 2, 3] if current else {"result": [1, 2, 3]})
    assert found["progress"] == ["1", "2", "3"]
    assert found["unknown"] == -32602
    assert found["stopped"] is True


@pytest.mark.slow
def test_official_python_client(server: RunningServer, tmp_path: Path) -> None:
    url = f"{server.url}easymlnb/mcp"
    found = foreign_clients.run_python("mcp_python.py", url, server.token, tmp_path)
    for mode, version in (("auto", CURRENT), (CURRENT, CURRENT), ("legacy", "2025-11-25")):
        one = found[mode]
        check_walk(one, current=version == CURRENT)
        assert one["version"] == version
        assert one["stats"]["structuredContent"] == {"sum": 3.0, "most": 2.0}
        assert "image" in [part["type"] for part in one["picture"]["content"]]
        assert one["train"]["structuredContent"] == {"epochs": 2}
        assert (one["polled"] > 0) is (version == CURRENT)  # the call was a task
        assert one["no_resource"] == (-32602 if version == CURRENT else -32002)
        assert one["bytes"] == pytest.approx(2**21, abs=3)


@pytest.mark.slow
def test_official_typescript_clients(server: RunningServer, tmp_path: Path) -> None:
    for name in ("old", "auto", "plain"):
        (tmp_path / name).mkdir()
    url = f"{server.url}easymlnb/mcp"
    found = foreign_clients.run_node("mcp_typescript.mjs", url, server.token, tmp_path)
    for name, one in found.items():
        check_walk(one, current=name == "auto")
        assert "image" in one["picture"]
