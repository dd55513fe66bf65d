"""Messages of app pages on the websocket, as Jupyter's own front and back end write them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)

from easymlnb_server.apps import jupyter_messages

HEADER = {"msg_id": "1", "msg_type": "comm_msg", "session": "s", "username": "é"}
CONTENT = {"comm_id": "c", "data": {"text": "größer", "of": [1, None]}}
PARTS = [json.dumps(one).encode() for one in (HEADER, {}, {}, CONTENT)]
BUFFERS = st.lists(st.binary(max_size=64), max_size=3)


def message(buffers: list[bytes]) -> jupyter_messages.JupyterMessage:
    header, parent, metadata, content = PARTS
    return jupyter_messages.JupyterMessage(
        "shell", "comm_msg", header, parent, metadata, content, tuple(buffers)
    )


@given(BUFFERS)
def test_v1_as_jupyter_writes_it(buffers: list[bytes]) -> None:
    data = serialize_msg_to_ws_v1([*PARTS, *buffers], "shell")
    assert jupyter_messages.read(data, True) == message(buffers)
    assert jupyter_messages.write(message(buffers), True) == data
    assert deserialize_msg_from_ws_v1(data)[1] == [*PARTS, *buffers]


@given(BUFFERS)
def test_the_older_one_as_jupyter_writes_it(buffers: list[bytes]) -> None:
    told: dict[str, Any] = {
        "channel": "shell",
        "header": HEADER,
        "parent_header": {},
        "metadata": {},
        "content": CONTENT,
    }
    data = serialize_binary_message({**told, "buffers": buffers}) if buffers else json.dumps(told)
    assert jupyter_messages.read(data, False) == message(buffers)
    written = jupyter_messages.write(message(buffers), False)
    if isinstance(written, bytes):
        read = deserialize_binary_message(written)
        assert [bytes(one) for one in read["buffers"]] == buffers
    else:
        read = json.loads(written)
    assert read["content"] == CONTENT
    assert read["channel"] == "shell"


@given(st.binary(max_size=200), st.booleans())
def test_noise_is_refused_and_no_more(data: bytes, v1: bool) -> None:
    with pytest.raises(ValueError, match=r"."):
        jupyter_messages.read(data, v1)


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_a_cut_message_is_refused(cut: int) -> None:
    data = jupyter_messages.write(message([b"x" * 20]), True)
    assert isinstance(data, bytes)
    with pytest.raises(ValueError, match=r"."):
        jupyter_messages.read(data[:-cut], True)
