"""Messages over a WebSocket without a transport: two ends that hand their bytes to each other."""

import pytest
from websockets.client import ClientProtocol
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from easymlnb.contract.frame_connection import FrameConnection


class Ends:
    """A client and a server, and the bytes that wait for each."""

    def __init__(self) -> None:
        self.to_client, self.to_server = bytearray(), bytearray()
        self.ended: list[str] = []
        self.pongs: list[bytes] = []
        self.protocol = ClientProtocol(parse_uri("ws://host/link"), max_size=None)
        accepting = ServerProtocol(max_size=None)
        self.client = FrameConnection(
            self.protocol, self.to_server.extend, lambda: self.ended.append("client")
        )
        self.server = FrameConnection(
            accepting,
            self.to_client.extend,
            lambda: self.ended.append("server"),
            on_pong=self.pongs.append,
        )
        self.protocol.send_request(self.protocol.connect())
        self.client.flush()
        accepting.receive_data(self._take(self.to_server))
        for event in accepting.events_received():
            assert isinstance(event, Request)
            accepting.send_response(accepting.accept(event))
        self.server.flush()
        assert self.client_receives() == []

    def _take(self, waiting: bytearray) -> bytes:
        data = bytes(waiting)
        waiting.clear()
        return data

    def client_receives(self) -> list[bytes]:
        messages = self.client.receive(self._take(self.to_client))
        self.client.flush()
        return messages

    def server_receives(self) -> list[bytes]:
        messages = self.server.receive(self._take(self.to_server))
        self.server.flush()
        return messages


@pytest.fixture
def ends() -> Ends:
    return Ends()


def test_both_are_open_after_the_handshake(ends: Ends) -> None:
    assert ends.client.is_open
    assert ends.server.is_open


def test_messages_arrive_in_order_both_ways(ends: Ends) -> None:
    for message in (b"one", b"", b"x" * 70_000):
        ends.client.send(message)
        ends.server.send(message)
    assert ends.server_receives() == [b"one", b"", b"x" * 70_000]
    assert ends.client_receives() == [b"one", b"", b"x" * 70_000]


def test_a_message_cut_anywhere_is_complete_with_its_last_byte(ends: Ends) -> None:
    ends.server.send(b"message")
    *first, last = (bytes([byte]) for byte in ends.to_client)
    assert [ends.client.receive(byte) for byte in first] == [[]] * len(first)
    assert ends.client.receive(last) == [b"message"]


def test_fragments_are_joined(ends: Ends) -> None:
    ends.protocol.send_binary(b"one ", fin=False)
    ends.protocol.send_continuation(b"two ", fin=False)
    ends.client.flush()
    assert ends.server_receives() == []
    ends.protocol.send_ping(b"in between")
    ends.protocol.send_continuation(b"three", fin=True)
    ends.client.flush()
    assert ends.server_receives() == [b"one two three"]


def test_text_arrives_as_its_bytes(ends: Ends) -> None:
    ends.protocol.send_text("für".encode())
    ends.client.flush()
    assert ends.server_receives() == ["für".encode()]


def test_a_ping_is_answered(ends: Ends) -> None:
    ends.server.ping(b"7")
    assert ends.client_receives() == []
    assert ends.server_receives() == []
    assert ends.pongs == [b"7"]


def test_closing_ends_both(ends: Ends) -> None:
    ends.client.close(1001, "leaving")
    ends.client.close()  # once is enough
    assert not ends.client.is_open
    assert ends.server_receives() == []
    assert not ends.server.is_open
    ends.server.ping()
    assert ends.ended == ["server"]
