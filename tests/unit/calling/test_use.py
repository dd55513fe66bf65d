"""Calling services by name without a server: those of this process, and how values are packed."""

import asyncio
import time
from collections.abc import Iterator

import numpy as np
import pytest

import easymlnb as ml
from easymlnb.calling import use
from easymlnb.client.messages import encode_form
from easymlnb.contract.errors import CallCycle, InvalidInput, ServerUnreachable, UploadNotFound
from easymlnb.contract.service_call_protocol import (
    CancelServiceCall,
    ServiceCallError,
    ServiceResult,
)
from easymlnb.contract.worker_protocol import Call
from easymlnb.runtime.context import Context, call_context
from easymlnb.runtime.link_requests import REQUESTS, LinkTransport
from easymlnb.services.definition import SERVICES, define
from easymlnb.types import multipart


@pytest.fixture(autouse=True)
def services() -> Iterator[None]:
    """Define services as the decorator does, and forget them after the test."""

    def add(a: int, b: int = 1) -> int:
        return a + b

    def twice(rows: ml.Batched[int]) -> list[int]:
        sizes.append(len(rows))
        return [2 * row for row in rows]

    def count(n: int) -> Iterator[int]:
        yield from range(n)

    def around(n: int) -> int:
        return ml.use("around")(n)

    def deep(n: int) -> int:
        return int(ml.use("add")(n))

    async def later(n: int) -> int:
        await asyncio.sleep(0)
        return n + 1

    before = dict(SERVICES)
    for function in (add, count, around, deep, later):
        made = define(function)
        SERVICES[made.name] = made
    SERVICES["twice"] = define(twice, batch=ml.Batch(max_size=4))
    sizes.clear()
    yield
    SERVICES.clear()
    SERVICES.update(before)


sizes: list[int] = []


def test_a_service_of_this_process_is_called_directly() -> None:
    add = ml.use("add")
    assert (add(1), add(1, 2), add(a=1, b=5), ml.use("deep")(2)) == (2, 3, 6, 3)
    assert ml.use("count")(3) == [0, 1, 2]
    assert ml.use("later")(1) == 2


def test_its_values_are_checked() -> None:
    with pytest.raises(InvalidInput, match="whole number"):
        ml.use("add")("x")
    with pytest.raises(TypeError, match="takes 2 values"):
        ml.use("add")(1, 2, 3)


def test_a_map_of_a_batched_service_runs_whole_batches() -> None:
    assert ml.use("twice").map(range(10)) == [2 * n for n in range(10)]
    assert sizes == [4, 4, 2]
    assert ml.use("twice")(5) == 10
    assert ml.use("add").map([{"a": 1, "b": 1}, 5]) == [2, 6]


def test_a_service_that_calls_itself_is_refused() -> None:
    with pytest.raises(CallCycle, match="around -> around"):
        ml.use("around")(1)
    with call_context(Context(Call(id=1, service="add"), lambda message, body: None)):
        with pytest.raises(CallCycle, match="add -> add"):
            ml.use("add")(1)
        assert ml.use("twice")(1) == 2


def test_coroutines() -> None:
    async def all_of() -> list[int]:
        return await asyncio.gather(*(ml.use("later").aio(n) for n in range(3)))

    assert asyncio.run(all_of()) == [1, 2, 3]
    assert asyncio.run(_aio("add", 1)) == 2


async def _aio(name: str, value: int) -> int:
    return int(await ml.use(name).aio(value))


# over a link


class Server:
    """The other end of a link: it answers what it is asked as the test says."""

    def __init__(self) -> None:
        self.got: list[object] = []

    def send(self, message: object, body: bytes) -> None:
        self.got.append(message)

    def listen(self) -> None:
        time.sleep(0.001)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    REQUESTS.transport = LinkTransport(made.send, made.send, made.listen)
    yield made
    REQUESTS.lose()


def test_answers_find_who_asked() -> None:
    first, second = REQUESTS.begin(), REQUESTS.begin()
    REQUESTS.receive(ServiceResult(id=second.number, content_type="text/plain"), b"two")
    REQUESTS.receive(ServiceCallError(id=first.number, code="upload_not_found", message="No."), b"")
    REQUESTS.receive(ServiceResult(id=second.number, content_type="text/plain"), b"again")
    assert second.result().body == b"two"
    with pytest.raises(UploadNotFound, match="No"):
        first.result()


def test_a_lost_link_ends_all_questions(server: Server) -> None:
    question = REQUESTS.begin()
    REQUESTS.lose()
    with pytest.raises(ServerUnreachable):
        question.result()


def test_who_stops_waiting_says_so(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(REQUESTS.transport, "_listen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ml.use("elsewhere")(1)
    assert isinstance(server.got[-1], CancelServiceCall)
    assert server.got[-1].id == server.got[0].id  # type: ignore[attr-defined]


def test_without_a_link_the_client_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(shared: bool) -> None:
        raise ServerUnreachable("no server")

    monkeypatch.setattr(use, "_client", nobody)
    with pytest.raises(ServerUnreachable):
        ml.use("elsewhere")(1)


def test_a_form_is_read_as_it_was_written() -> None:
    array = np.arange(5).tobytes()
    kind, body = encode_form([
        ("a", ('a"\r\n;ü.npy', array, "application/x-npy")),
        ("n", (None, b"7", "application/json")),
    ])  # fmt: skip
    found = multipart.read(kind, body, {})
    assert (found["a"].data, found["a"].media_type, found["n"]) == (array, "application/x-npy", 7)
    assert "ü" in found["a"].name
