"""The command line and both clients against a real server with published services."""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from easymlnb.client import AsyncClient, Client, connect, connect_async
from easymlnb.contract.errors import CallerError, CallFailed, InvalidInput, NotLoggedIn
from support.notebooks import make_notebook

pytestmark = pytest.mark.timeout(300)  # each command is a process that imports much

COMMAND = [sys.executable, "-c", "from easymlnb.cli import main; main()"]
CELLS = (
    """
from typing import Annotated, Any
import numpy as np, pandas as pd
from PIL import Image
import easymlnb as ml
from easymlnb import types
""",
    '''
@ml.service(examples=[{"sides": 2}])
def cli_roll(sides: Annotated[int, types.Slider(2, 100)] = 6) -> int:
    """Answer the number of sides.

    Args:
        sides: How many.
    """
    print("rolling", sides)
    ml.progress(0.5, "half")
    return sides

@ml.service
def cli_invert(image: Annotated[np.ndarray, types.Image()]) -> Annotated[np.ndarray, types.Image()]:
    return -image if image.dtype.kind in "if" else np.iinfo(image.dtype).max - image

@ml.service
def cli_double(frame: pd.DataFrame) -> pd.DataFrame:
    return frame * 2

@ml.service
def cli_scale(values: np.ndarray, by: float = 2.0) -> np.ndarray:
    return values * by

@ml.service
def cli_count(n: int = 3) -> int:
    for number in range(n):
        yield number

@ml.service
def cli_tell(doc: types.File, text: str, mixed: Any = None) -> dict:
    return {"name": doc.name, "size": len(doc.data), "text": text, "mixed": mixed}

@ml.service
def cli_fail(kind: str) -> int:
    if kind == "caller":
        raise ml.CallerError("Bring another file.")
    return 1 / 0
''',
)


@pytest.fixture(scope="module")
def served(session_server):
    found = session_server.publish(make_notebook(*CELLS), "cli.ipynb")
    assert found["state"] == "ready", found
    yield session_server
    for service in found["services"]:
        session_server.http.delete(f"services/{service['name']}")


@pytest.fixture(scope="module")
def client(served) -> Iterator[Client]:
    with connect(served.url, served.token) as made:
        yield made


def run(server, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = server.environment | {"EASYMLNB_URL": server.url, "EASYMLNB_TOKEN": server.token}
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, env=environment, check=False
    )


# the client


def test_plain_values(client):
    assert client.cli_roll(sides=20) == 20
    assert client.cli_roll(3) == 3
    assert "sides: int (at least 2, at most 100) - How many." in client.cli_roll.__doc__
    assert "cli_roll" in client


def test_errors_are_typed(client):
    with pytest.raises(InvalidInput) as refused:
        client.cli_roll(sides=1)
    assert refused.value.details[0]["field"] == "sides"
    with pytest.raises(CallerError, match="Bring another file"):
        client.cli_fail(kind="caller")
    with pytest.raises(CallFailed, match="ZeroDivisionError") as failed:
        client.cli_fail(kind="other")
    assert failed.value.request_id in [
        entry["request_id"] for entry in client.admin.log("cli_fail")
    ]
    with pytest.raises(NotLoggedIn), connect(str(client._server.url), "wrong") as stranger:
        stranger.admin.services()


def test_images_go_and_come(client):
    pixels = np.arange(12, dtype="uint16").reshape(3, 4) * 5000
    found = client.cli_invert(image=pixels)
    assert isinstance(found, Image.Image)
    assert np.array_equal(np.asarray(found), 65535 - pixels)
    for numbers in (np.array([[70_000, -5]]), np.array([[0.25, 1.5]], "float32")):
        found = client.cli_invert(numbers)
        assert np.array_equal(np.asarray(found), -numbers)
        assert np.array_equal(np.asarray(client.cli_invert(found)), numbers)
    picture = Image.new("L", (4, 3), 255)
    assert np.asarray(client.cli_invert(picture)).max() == 0


def test_tables_and_arrays_go_and_come(client):
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan]})
    pd.testing.assert_frame_equal(client.cli_double(frame), frame * 2)
    values = np.array([[1.5, 2.0]])
    found = client.cli_scale(values, by=3.0)
    assert isinstance(found, np.ndarray) and np.array_equal(found, values * 3)
    assert np.array_equal(client.cli_scale([1, 2]), [2.0, 4.0])


def test_files_keep_their_name_and_other_values_their_type(client, tmp_path):
    path = tmp_path / "ü.txt"
    path.write_bytes(b"12345")
    found = client.cli_tell(doc=path, text="007", mixed={"a": [None, 1, "1"]})
    assert found == {
        "name": "ü.txt",
        "size": 5,
        "text": "007",
        "mixed": {"a": [None, 1, "1"]},
    }
    assert client.cli_tell(io.BytesIO(b"1"), "x")["size"] == 1


def test_streams_and_progress(client):
    assert list(client.cli_count(n=3)) == [0, 1, 2]
    told: list[tuple[float, str]] = []
    roll = client.cli_roll.options(progress=lambda *said: told.append(said))
    assert roll(sides=4) == 4
    assert (0.5, "half") in told


def test_the_async_client(served):
    async def main() -> None:
        async with connect_async(served.url, served.token) as c:
            assert isinstance(c, AsyncClient)
            assert await asyncio.gather(*(c.cli_roll(sides=n) for n in range(2, 6))) == [2, 3, 4, 5]
            assert [item async for item in c.cli_count(n=2)] == [0, 1]
            with pytest.raises(InvalidInput):
                await c.cli_roll(sides=1)

    asyncio.run(main())


# the command


def test_list_and_call(served, tmp_path):
    listed = json.loads(run(served, "list", "--json").stdout)
    assert {"cli_roll", "cli_invert"} <= {service["name"] for service in listed}
    assert b"cli_roll" in run(served, "list").stdout
    assert run(served, "call", "cli_roll", "sides=9").stdout == b"9\n"
    assert run(served, "call", "cli_count", "n=2").stdout == b"0\n1\n"
    refused = run(served, "call", "cli_roll", "sides=1")
    assert refused.returncode == 1 and refused.stdout == b""
    assert b"at least 2" in refused.stderr and b"Traceback" not in refused.stderr
    assert run(served, "call", "cli_roll", "sides=x").returncode == 2
    assert run(served, "call", "cli_roll", "nosuch=1").returncode == 2
    assert run(served, "call", "nosuch").returncode == 1


def test_call_with_files(served, tmp_path):
    image, result = tmp_path / "in.png", tmp_path / "out.tif"
    Image.new("L", (4, 3), 250).save(image)
    done = run(served, "call", "cli_invert", f"image=@{image}", "--output", str(result))
    assert done.returncode == 0 and done.stdout == b""
    with Image.open(result) as found:
        assert found.format == "TIFF" and found.getpixel((0, 0)) == 5
    piped = run(served, "call", "cli_invert", "image=@-", stdin=image.read_bytes())
    assert piped.stdout.startswith(b"\x89PNG")
    labels = tmp_path / "labels.tif"
    Image.fromarray(np.full((3, 4), 70_000, "int32")).save(labels)
    piped = run(served, "call", "cli_invert", f"image=@{labels}")
    assert np.asarray(Image.open(io.BytesIO(piped.stdout))).min() == -70_000
    told = run(served, "call", "cli_tell", f"doc=@{image}", "text=007", "mixed=[1]")
    assert json.loads(told.stdout)["text"] == "007"
    table = run(served, "call", "cli_double", "frame=@-", "--accept", "text/csv", stdin=b"a\n2\n")
    # A file without a name or type is recognized by its content or refused, never misread.
    assert table.returncode == 1 or table.stdout.split() == [b"a", b"4"]


def test_logs(served):
    run(served, "call", "cli_fail", "kind=other")
    shown = run(served, "logs", "cli_fail").stdout.decode()
    assert "ZeroDivisionError" in shown and "500" in shown
    entries = json.loads(run(served, "logs", "cli_fail", "--json").stdout)
    assert entries[-1]["status"] == 500


def test_following_a_log_ends_cleanly_with_an_interrupt(served):
    environment = served.environment | {"EASYMLNB_URL": served.url, "EASYMLNB_TOKEN": served.token}
    run(served, "call", "cli_roll", "sides=77")
    process = subprocess.Popen(
        [*COMMAND, "logs", "cli_roll", "--follow"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process:
        while line := process.stdout.readline():
            if b"rolling 77" in line:
                break
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and b"Traceback" not in said


def test_publish_and_remove(session_server, tmp_path):
    path = tmp_path / "dice.ipynb"
    source = "import easymlnb as ml\n@ml.service\ndef cli_dice() -> int:\n    return 6"
    write(path, source)
    first = run(session_server, "publish", str(path))
    assert first.returncode == 0, first.stderr
    head, *links = first.stdout.decode().splitlines()
    assert head == "cli_dice version 1"
    base = f"{session_server.url}easymlnb/"
    assert [line.split()[-1].removeprefix(base) for line in links] == [
        *("apps/cli_dice", "services/cli_dice/page", "services/cli_dice")
    ]
    assert b"A worker runs the notebook" in first.stderr
    again = run(session_server, "publish", str(path), "--json")
    told = json.loads(again.stdout)
    assert told["unchanged"] is True
    assert told["services"][0]["page"] == f"{base}services/cli_dice/page"
    promote_and_go_back(session_server, path, source)
    assert run(session_server, "call", "cli_dice").stdout == b"6\n"
    assert run(session_server, "remove", "cli_dice").returncode == 0
    gone = run(session_server, "remove", "cli_dice")
    assert gone.returncode == 1 and b"no service named" in gone.stderr


def promote_and_go_back(server, path, source):
    write(path, source.replace("6", "7"))
    staged = run(server, "publish", str(path), "--stage")
    assert b"cli_dice version 2" in staged.stdout, staged.stderr
    assert b"run: easymlnb promote cli_dice 2" in staged.stderr
    divided = run(server, "traffic", "cli_dice", "1=50", "2=50", "--alias", "candidate=2")
    assert b"version 1: 50 %, version 2: 50 %" in divided.stdout, divided.stderr
    assert run(server, "rollback", "cli_dice").stdout.startswith(b"cli_dice: version 1: 100 %")
    promote = ("promote", "cli_dice", "candidate", "--steps", "50,100", "--every", "1h")
    for _ in range(2):
        started = run(server, *promote)
        assert started.stdout == b"cli_dice: promotion of version 2 is running at 50 %.\n"
        back = run(server, "rollback", "cli_dice")  # ends the promotion
        assert back.stdout.startswith(b"cli_dice: version 1: 100 %"), back.stderr
        assert b"is changing this" not in back.stdout
    shown = run(server, "promote", "cli_dice")
    assert b"version 2 is canceled at 50 %. The traffic was changed" in shown.stdout
    started = run(server, *promote)
    ended = run(server, "promote", "cli_dice", "--cancel")
    assert (
        ended.stdout == b"cli_dice: promotion of version 2 is canceled at 50 %. It was canceled.\n"
    )
    listed = run(server, "versions", "cli_dice", "--json")
    assert [one["weight"] for one in json.loads(listed.stdout)] == [100, 0]


def test_a_notebook_that_fails_shows_its_cell(session_server, tmp_path):
    path = tmp_path / "broken.ipynb"
    write(path, "import easymlnb as ml", "x = 1\ny = 1 / 0")
    failed = run(session_server, "publish", str(path))
    assert failed.returncode == 1 and failed.stdout == b""
    said = failed.stderr.decode()
    assert "y = 1 / 0" in said and "ZeroDivisionError" in said
    assert "cli/" not in said  # no traceback of ours


def test_an_example_that_fails_is_located_and_listed(session_server, tmp_path):
    path = tmp_path / "halves.ipynb"
    helper = "import easymlnb as ml\ndef half(x):\n    return 1 / x"
    service = "@ml.service(examples=[{'x': 0}])\ndef cli_half(x: int) -> float:\n    return half(x)"
    write(path, helper, service)
    failed = run(session_server, "publish", str(path))
    assert failed.returncode == 1 and failed.stdout == b""
    said = failed.stderr.decode()
    assert "Example 1 of 'cli_half' failed in cell 1, line 3: ZeroDivisionError" in said
    assert "return 1 / x" in said and "Traceback" in said and "ZeroDivisionError" in said
    assert 'The example: {"x":0}' in said
    link = re.search(r"Executed notebook: (\S+/bundles/\w+/notebook)$", said, re.MULTILINE)
    assert link is not None
    executed = session_server.http.get(link[1])
    assert executed.status_code == 200 and executed.json()["nbformat"] == 4

    listed = session_server.http.get("").text
    assert "Publishing failed" in listed and "halves.ipynb" in listed
    assert "in cell 1, line 3" in listed and link[1].partition("/easymlnb/")[2] in listed
    write(path, helper, service.replace("'x': 0", "'x': 2"))
    assert run(session_server, "publish", str(path)).returncode == 0
    assert "halves.ipynb" not in session_server.http.get("").text
    session_server.http.delete("services/cli_half")


@pytest.mark.parametrize("content", [None, b"no notebook"])
def test_what_is_no_notebook_is_said(session_server, tmp_path, content):
    path = tmp_path / "x.ipynb"
    if content is not None:
        path.write_bytes(content)
    failed = run(session_server, "publish", str(path))
    assert failed.returncode == 1
    assert len(failed.stderr.splitlines()) == 1 and failed.stderr.startswith(b"easymlnb: ")


def test_doctor_finds_the_server(session_server):
    told = json.loads(run(session_server, "doctor", "--json").stdout)
    (server,) = [finding for finding in told if finding["about"] == "server"]
    assert server["state"] == "ok"


def test_serve_publishes_and_stops(tmp_path):
    notebook = tmp_path / "work.ipynb"
    write(notebook, "import easymlnb as ml\n@ml.service\ndef served_dice() -> int:\n    return 5")
    folders = {f"JUPYTER_{n}_DIR": str(tmp_path / n) for n in ("CONFIG", "DATA", "RUNTIME")}
    environment = {**os.environ, **folders, "IPYTHONDIR": str(tmp_path / "ipython")}
    environment.pop("EASYMLNB_URL", None)
    command = [*COMMAND, "serve", str(notebook), "--port", "0", "--ServerApp.allow_root=True"]
    # A file: the reader of a pipe would wait for as long as any process holds its other end.
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--EasyMLNB.app_kernels=0"],
            env=environment, cwd=tmp_path, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        wait_for_text(process, output, "Stop with Ctrl + C.")
        assert "served_dice version 1\n" in output.read_text()
        called = subprocess.run(
            [*COMMAND, "call", "served_dice"], env=environment, capture_output=True, check=False
        )
        assert called.stdout == b"5\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
    finally:
        process.terminate()  # it ends its server
        process.wait(60)
    assert "Traceback" not in output.read_text()
    assert not list((tmp_path / "RUNTIME").glob("jpserver-*.json"))


def wait_for_text(process: "subprocess.Popen[bytes]", output: Path, text: str) -> None:
    until = time.monotonic() + 180
    while text not in output.read_text():
        assert process.poll() is None and time.monotonic() < until, output.read_text()
        time.sleep(0.05)


def write(path: Path, *cells: str) -> None:
    nbformat.write(make_notebook(*cells), path)
