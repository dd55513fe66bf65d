"""A kernel that is not there yet, as its clients see it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.session import Session

from easymlnb_server.placement.hub.tunnel import remote_kernel
from easymlnb_server.placement.hub.tunnel.remote_kernel import RemoteKernel
from easymlnb_server.placement.hub.waiting_kernel import WaitingKernel
from support.fakes import until

KEY = b"key"


class Client:
    """Messages of a client of a waiting kernel and their replies: channel, kind, content."""

    def __init__(self, language: str = "python") -> None:
        self.told: list[tuple[str, str, dict[str, Any]]] = []
        self.left = 0
        self.session = Session(key=KEY)
        self.lobby = WaitingKernel(Session(key=KEY), language, self._hear, self._leave)

    def _leave(self) -> None:
        self.left += 1

    def _hear(self, channel: str, parts: list[bytes]) -> None:
        _, rest = self.session.feed_identities(parts)
        message = self.session.deserialize(rest)
        self.told.append((channel, message["header"]["msg_type"], message["content"]))

    def send(self, kind: str, channel: str = "shell", **content: Any) -> list[bytes]:
        parts = self.session.serialize(self.session.msg(kind, content), [b"me"])
        assert self.lobby.receive(channel, parts)
        return parts

    def kinds(self) -> list[str]:
        found = [kind for _, kind, _ in self.told]
        self.told.clear()
        return found


def test_it_says_that_it_is_up_and_what_it_speaks() -> None:
    client = Client("R")
    client.send("kernel_info_request", "control")
    (reply,) = [one for one in client.told if one[1] == "kernel_info_reply"]
    assert reply[0] == "control"
    assert reply[2]["language_info"]["name"] == "R"
    assert client.kinds() == ["status", "kernel_info_reply", "status"]
    assert client.lobby.take_over() == []


def test_the_first_cell_shows_the_latest_news_and_the_kernel_gets_all() -> None:
    client = Client()
    client.lobby.on_progress("Starting a node ...")
    assert client.told == []
    first = client.send("execute_request", code="1")
    assert client.kinds() == ["status", "clear_output", "stream"]
    second = client.send("execute_request", code="2")
    client.lobby.on_progress("Pending in queue...")
    client.lobby.on_progress("Pending in queue...")
    assert [one[2]["text"] for one in client.told if one[1] == "stream"] == [
        "Pending in queue...\n"
    ]
    client.kinds()
    asked = client.send("comm_info_request")
    assert client.lobby.take_over() == [("shell", first), ("shell", second), ("shell", asked)]
    assert client.kinds() == ["clear_output"]


def test_an_interrupt_ends_the_cells_that_wait() -> None:
    client = Client()
    client.send("execute_request", code="1")
    asked = client.send("comm_info_request")
    client.kinds()
    client.lobby.interrupt()
    assert client.told[1][2]["ename"] == "KeyboardInterrupt"
    assert client.kinds() == ["status", "error", "execute_reply", "status"]
    assert client.lobby.take_over() == [("shell", asked)]


def test_why_there_is_no_node_is_said_to_each_cell() -> None:
    client = Client()
    client.send("execute_request", code="1")
    client.kinds()
    client.lobby.fail("invalid partition specified: nope.")
    client.send("execute_request", code="2")
    errors = [content["evalue"] for _, kind, content in client.told if kind == "error"]
    assert errors == ["invalid partition specified: nope. Restart the kernel to try again."] * 2


def test_what_is_not_signed_is_dropped_and_shutting_down_leaves() -> None:
    client = Client()
    assert client.lobby.receive(
        "shell", [b"me", b"<IDS|MSG>", b"wrong", b"{}", b"{}", b"{}", b"{}"]
    )
    assert client.lobby.receive("shell", [b"nonsense"])
    assert client.lobby.take_over() == []
    client.send("shutdown_request", "control", restart=False)
    assert client.kinds() == ["shutdown_reply"]
    assert client.left == 1


async def test_a_node_that_nobody_looks_at_any_more_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_kernel, "UNWATCHED_AFTER", 0.05)
    monkeypatch.setattr(remote_kernel, "POLL_INTERVAL", 0.01)
    given_up, watched, left = [], [True], []

    async def seat() -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            given_up.append(True)

    made = RemoteKernel(None, tmp_path)  # type: ignore[arg-type]
    waiting = asyncio.ensure_future(seat())
    made.wait_for(
        waiting, Session(key=KEY), "python", lambda: watched[0], lambda: left.append(True)
    )
    await asyncio.sleep(0.1)
    assert not left
    watched[0] = False
    await until(lambda: left)
    await made.close()
    assert given_up
    assert made.exit_code == 0
