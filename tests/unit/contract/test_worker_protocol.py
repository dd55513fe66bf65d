"""Frames: what is packed comes out again, and anything else is a ``ValueError``, never worse."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.worker_protocol import (
    LENGTHS,
    Call,
    Cancel,
    Drain,
    Failure,
    Hello,
    Item,
    Message,
    Progress,
    Register,
    Registered,
    RegistrationRefused,
    Result,
    Unregister,
    Welcome,
    pack,
    unpack_to_server,
    unpack_to_worker,
)

TEXT = st.text(max_size=20)
NUMBER = st.integers(0, 2**63)
SECONDS = st.floats(0, 1e9)
NAMES = st.lists(TEXT, max_size=3).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
SPECS = st.builds(
    ServiceSpec,
    name=TEXT,
    title=TEXT,
    input=st.dictionaries(TEXT, JSON, max_size=3),
    output=st.dictionaries(TEXT, JSON, max_size=3),
    examples=st.lists(st.dictionaries(TEXT, JSON, max_size=2), max_size=2).map(tuple),
    workers=st.integers(1, 9),
)
TO_SERVER = st.one_of(
    st.builds(Hello, kernel=TEXT, source=TEXT, live=st.booleans()),
    st.builds(Register, specs=st.lists(SPECS, max_size=2).map(tuple)),
    st.builds(Unregister, names=NAMES),
    st.builds(Result, id=NUMBER, content_type=TEXT, seconds=SECONDS, filename=TEXT, log=TEXT),
    st.builds(Failure, id=NUMBER, code=TEXT, message=TEXT, details=JSON, trace=TEXT),
    st.builds(Progress, id=NUMBER, fraction=st.floats(0, 1), text=TEXT),
    st.builds(Item, id=NUMBER),
)
TO_WORKER = st.one_of(
    st.just(Welcome()),
    st.builds(RegistrationRefused, name=TEXT, message=TEXT),
    st.builds(Registered, names=NAMES),
    st.builds(Call, id=NUMBER, service=TEXT, accept=TEXT, seconds=SECONDS, view=st.booleans()),
    st.builds(Cancel, id=NUMBER),
    st.just(Drain()),
)
BODY = st.binary(max_size=100)


@given(st.lists(st.tuples(TO_SERVER, BODY), max_size=5))
def test_round_trip_to_the_server(sent: list[tuple[Message, bytes]]) -> None:
    assert list(unpack_to_server(b"".join(pack(*frame) for frame in sent))) == sent


@given(st.lists(st.tuples(TO_WORKER, BODY), max_size=5))
def test_round_trip_to_the_worker(sent: list[tuple[Message, bytes]]) -> None:
    assert list(unpack_to_worker(b"".join(pack(*frame) for frame in sent))) == sent


@given(TO_SERVER, BODY, st.data())
def test_cut_frame(message: Message, body: bytes, data: st.DataObject) -> None:
    whole = pack(message, body)
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    with pytest.raises(ValueError, match="truncated"):
        list(unpack_to_server(cut))


@given(TO_SERVER, BODY, st.integers(0, 10_000), st.integers(0, 255))
def test_damaged_frame_is_read_or_refused(
    message: Message, body: bytes, at: int, byte: int
) -> None:
    damaged = bytearray(pack(message, body))
    damaged[at % len(damaged)] = byte
    with contextlib.suppress(ValueError):
        list(unpack_to_server(bytes(damaged)))


@given(st.binary(max_size=200))
def test_noise_is_read_or_refused(noise: bytes) -> None:
    for unpack in (unpack_to_server, unpack_to_worker):
        for data in (noise, LENGTHS.pack(len(noise), 0) + noise):
            with contextlib.suppress(ValueError):
                list(unpack(data))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        msgspec.msgpack.encode(["Nobody", 1]),
        msgspec.msgpack.encode(["Result", "not a number"]),
        msgspec.msgpack.encode({"id": 1}),
        b"\x91" * 5000,
    ],
)
def test_header_of_no_message(header: bytes) -> None:
    with pytest.raises(ValueError):
        list(unpack_to_server(LENGTHS.pack(len(header), 0) + header))


def test_message_for_the_other_side_is_refused() -> None:
    with pytest.raises(ValueError):
        list(unpack_to_server(pack(Drain())))
    with pytest.raises(ValueError):
        list(unpack_to_worker(pack(Hello(kernel="k", source=""))))


def test_frames_before_a_cut_one_are_read() -> None:
    frames = unpack_to_server(pack(Item(id=1), b"a") + pack(Item(id=2), b"b")[:-1])
    assert next(frames) == (Item(id=1), b"a")
    with pytest.raises(ValueError):
        next(frames)


def test_bodies_are_not_copied_into_the_header() -> None:
    body = bytes(range(256)) * 10_000
    data = pack(Item(id=1), body)
    assert len(data) < len(body) + 100
    assert list(unpack_to_server(data)) == [(Item(id=1), body)]
