"""Clients that do not speak the protocol are disconnected; all others keep working."""

import json
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import (
    LENGTHS,
    PROTOCOL_HEADER,
    VERSION_HEADER,
    Drain,
    Hello,
    Item,
    Register,
    Registered,
    RegistrationRefused,
    Result,
    Unregister,
    Welcome,
    pack,
    unpack_to_worker,
    version_headers,
)
from support.kernels import NotebookKernel
from support.server import RunningServer

SPEC = ServiceSpec(name="noise_other", title="Other", input={}, output={})
HELLO = pack(Hello(kernel="not-a-kernel", source="noise.ipynb", live=True))


@pytest.fixture(scope="module")
def kernel(session_server: RunningServer) -> Iterator[NotebookKernel]:
    made = NotebookKernel(session_server.http, "noise_author.ipynb")
    made.run("import easymlnb as ml\n@ml.service\ndef noise(x: int) -> int:\n    return x")
    yield made
    made.close()


@pytest.fixture(scope="module")
def secret(kernel: NotebookKernel) -> str:
    return kernel.run("import os; print(os.environ['EASYMLNB_SECRET'])").stdout.strip()


@pytest.fixture
def server(session_server: RunningServer, kernel: NotebookKernel) -> Iterator[RunningServer]:
    """The server; afterwards the author's service must answer as before."""
    yield session_server
    assert session_server.call("noise", x=3).json() == 3


def dial(server: RunningServer, authorization: str, **more: str) -> ClientConnection:
    headers = {"Authorization": authorization, **version_headers(), **more}
    url = f"{server.url.replace('http', 'ws')}easymlnb/link"
    return connect(url, additional_headers=headers, open_timeout=60)


@pytest.mark.parametrize(
    "authorization", ["", "easymlnb", "easymlnb wrong", "token {token}", "Bearer x", "easymlnb ü"]
)
def test_wrong_secret_is_refused(server: RunningServer, authorization: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        dial(server, authorization.format(token=server.token))
    assert refused.value.response.status_code in (400, 401)


def test_browsers_are_refused(server: RunningServer, secret: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        dial(server, f"easymlnb {secret}", Origin=server.url.rstrip("/"))
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("protocol", ["99", "", "x" * 1000])
def test_another_protocol_is_refused_in_a_sentence(
    server: RunningServer, secret: str, protocol: str
) -> None:
    more = {VERSION_HEADER: "9.0", PROTOCOL_HEADER: protocol}
    with pytest.raises(InvalidStatus) as refused:
        dial(server, f"easymlnb {secret}", **more)
    assert refused.value.response.status_code == 409
    error = json.loads(refused.value.response.body or b"")["error"]
    assert error["code"] == "version_mismatch"
    assert "The kernel has easymlnb 9.0 (protocol" in error["message"]
    assert "install the same version" in error["message"]


@pytest.mark.parametrize(
    "message",
    [
        b"\0",
        b"\xff" * 100,
        LENGTHS.pack(2**32 - 1, 2**32 - 1),
        LENGTHS.pack(3, 0) + b"abc",
        HELLO[:-1],
        HELLO + HELLO,
        HELLO + b"x",
        pack(Drain()),
        pack(Hello(kernel="k", source="", live=False)),
        "text",
    ],
)
def test_noise_ends_the_link(server: RunningServer, secret: str, message: bytes | str) -> None:
    with dial(server, f"easymlnb {secret}") as link:
        link.send(message)
        with pytest.raises(ConnectionClosed):
            while True:
                link.recv(60)
    assert "Uncaught exception" not in server.log


def test_frames_out_of_turn_are_ignored(server: RunningServer, secret: str) -> None:
    with dial(server, f"easymlnb {secret}") as link:
        early = pack(Register(specs=(SPEC,))) + pack(Unregister(names=("noise",)))
        stray = pack(Result(id=1, content_type="x"), b"1") + pack(Item(id=2), b"1")
        link.send(early + stray + HELLO + stray)
        data = link.recv(60)
        assert isinstance(data, bytes)
        assert [type(message) for message, _ in unpack_to_worker(data)] == [Welcome]
    assert server.call("noise_other").status_code == 404


def test_name_of_another_notebook_is_refused_and_an_own_one_goes_with_its_link(
    server: RunningServer, secret: str
) -> None:
    taken = ServiceSpec(name="noise", title="Registered", input={}, output={})
    with dial(server, f"easymlnb {secret}") as link:
        link.send(HELLO + pack(Register(specs=(SPEC, taken))) + pack(Unregister(names=("noise",))))
        said = []
        while len(said) < 3:
            data = link.recv(60)
            assert isinstance(data, bytes)
            said += [message for message, _ in unpack_to_worker(data)]
        assert {type(message) for message in said} == {Welcome, RegistrationRefused, Registered}
        assert Registered(names=("noise_other",)) in said
        assert server.state("noise_other") == "live"
    server.wait_for(lambda: server.state("noise_other") is None, "it is still there")
