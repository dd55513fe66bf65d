"""The short way of plain calls: what may take it, and that all else comes through unharmed."""

import asyncio
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider
from tornado.iostream import StreamClosedError

from easymlnb_server.http.fastpath.call import FastCall
from easymlnb_server.http.fastpath.eligibility import BODY_LIMIT, Eligibility
from easymlnb_server.http.fastpath.request_head import RequestHead
from support.fakes import until
from support.fastpath_server import (
    BY_TORNADO,
    HEADERS,
    ME,
    PLAIN,
    Services,
    end,
    make_state,
    serving,
    settings,
)


def length(gate: Eligibility, headers: dict[str, str]) -> int | None:
    found = gate.check("f", headers)
    if found is None:
        return None
    assert found.caller == ME
    return found.length


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"authorization": "Bearer secret"},
        {"authorization": "TOKEN  secret"},
        {"host": "127.0.0.1:1"},
        {"host": "[::1]:1"},
        {"host": "localhost"},
        {"connection": "Keep-Alive"},
        {"x-request-id": "mine-and-mine"},
        {"content-type": "application/json; charset=utf-8"},
        {"accept": "image/png"},
    ],
)
def test_plain_calls_are_let_through(changes: dict[str, str]) -> None:
    gate = Eligibility(make_state(Services()), settings())
    assert length(gate, HEADERS | changes) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"authorization": "token wrong"},
        {"authorization": "token"},
        {"authorization": "secret"},
        {"authorization": "token secret secret"},
        {"authorization": "token s\u00e9cret"},
        {"authorization": ""},
        {"host": "evil.example"},
        {"host": "evil.example:localhost"},
        {"host": "10.0.0.1"},
        {"host": ""},
        {"connection": "close"},
        {"accept": "text/event-stream"},
        {"content-length": "-2"},
        {"content-length": "+2"},
        {"content-length": "2, 2"},
        {"content-length": "\u0662"},
        {"content-length": ""},
        {"content-length": str(BODY_LIMIT + 1)},
        {"content-length": "9" * 30},
        *({name: "1"} for name in (
            "cookie", "origin", "x-timeout", "x-priority", "idempotency-key", "expect", "upgrade",
            "transfer-encoding", "content-encoding", "x-easymlnb-uploads", "referer", "te",
        )),
    ],
)  # fmt: skip
def test_all_others_are_left_to_the_handlers(changes: dict[str, str]) -> None:
    gate = Eligibility(make_state(Services()), settings())
    assert length(gate, HEADERS | changes) is None


class Strict(Authorizer):
    def is_authorized(self, *args: Any) -> bool:
        return False


class Own(IdentityProvider):
    pass


@pytest.mark.parametrize(
    "changes",
    [
        {"authorizer": Strict()},
        {"identity_provider": Own(token="secret")},
        {"identity_provider": IdentityProvider(token="")},
        {"identity_provider": IdentityProvider(token="other")},
        {"identity_provider": None},
        {"allow_origin": "*"},
        {"allow_origin_pat": ".*"},
        {"allow_credentials": True},
        {"local_hostnames": ["other"]},
    ],
)
def test_settings_of_the_server_close_the_gate(changes: dict[str, Any]) -> None:
    gate = Eligibility(make_state(Services()), settings(**changes))
    assert length(gate, HEADERS) is None


def test_settings_are_looked_at_for_every_call() -> None:
    found = settings(identity_provider=PasswordIdentityProvider(token="secret"))
    gate = Eligibility(make_state(Services()), found)
    assert length(gate, HEADERS) == 2
    found["identity_provider"].token = "another"
    assert length(gate, HEADERS) is None
    found["identity_provider"].token = "secret"
    found["authorizer"] = Strict()
    assert length(gate, HEADERS) is None


def test_any_host_is_fine_where_jupyter_says_so() -> None:
    gate = Eligibility(make_state(Services()), settings(allow_remote_access=True))
    assert length(gate, HEADERS | {"host": "far.example"}) == 2


def test_limits_and_streams_of_a_service_are_heeded() -> None:
    assert Eligibility(make_state(Services(max_body=1)), settings()).check("f", HEADERS) is None
    assert Eligibility(make_state(Services(stream=True)), settings()).check("f", HEADERS) is None
    assert Eligibility(make_state(Services()), settings()).check("g", HEADERS) is None


async def test_calls_of_one_connection_come_one_after_the_other() -> None:
    async with serving() as (pool, connect):
        client = await connect()
        client.send(PLAIN + PLAIN.replace(b"{}", b"[]"))
        await until(lambda: pool.calls)
        await asyncio.sleep(0.02)
        assert [pending.body for pending in pool.calls] == [b"{}"]
        end(pool.calls[0], b"one")
        await until(lambda: len(pool.calls) == 2)
        end(pool.calls[1], b"two", "text/plain")
        status, head, body = await client.answer()
        assert (status, body) == (200, b"one")
        assert "X-Easymlnb-Version: 3\r\n" in head
        assert "Content-Security-Policy: default-src 'none'; sandbox\r\n" in head
        status, head, body = await client.answer()
        assert (status, body) == (200, b"two")
        assert "Content-Type: text/plain\r\n" in head


async def test_requests_come_in_any_pieces() -> None:
    async with serving() as (pool, connect):
        for cut in (1, 40, len(PLAIN) - 4, len(PLAIN) - 2, len(PLAIN) - 1):
            pool.calls.clear()
            client = await connect()
            client.send(PLAIN[:cut])
            await asyncio.sleep(0.02)
            client.send(PLAIN[cut:])
            await until(lambda: pool.calls)
            end(pool.calls[0])
            assert (await client.answer())[2] == b"1"


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (PLAIN.replace(b"/f/", b"/none/"), 200, b"by tornado {}"),
        (PLAIN.replace(b"secret", b"wrong"), 200, b"by tornado {}"),
        (PLAIN.replace(b"POST /", b"POST /?token=secret#/"), 200, b"by tornado {}"),
        (PLAIN.replace(b"call HTTP", b"call?x=1 HTTP"), 200, b"by tornado {}"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, BY_TORNADO),
        (PLAIN.replace(b"Content-Length: 2", b"Content-Length: 2\r\nCookie: a=b"), 200, None),
        (PLAIN.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked").replace(
            b"\r\n\r\n{}", b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), 200, b"by tornado {}"),
    ],
)  # fmt: skip
async def test_anything_else_is_tornados(request_: bytes, status: int, body: bytes | None) -> None:
    async with serving() as (pool, connect):
        client = await connect()
        client.send(PLAIN)
        await until(lambda: pool.calls)
        end(pool.calls.pop())
        assert (await client.answer())[0] == 200
        client.send(request_)
        found = await client.answer()
        assert found[0] == status
        assert body is None or found[2] == body
        assert not pool.calls
        # A plain call by the same connection is still one: it has the second door.
        client.send(PLAIN)
        await until(lambda: pool.calls)
        end(pool.calls[0], b"again")
        status, head, body = await client.answer()
        assert (status, body) == (200, b"again")
        assert "Tornado" not in head


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 2\r\nContent-Length: 3",
        b"Content-Length : 2",
        b"Content-Length: 2\r\n folded: yes",
        b"Content-Length: 2\nTransfer-Encoding: chunked",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Content-Length: 0x2",
    ],
)
async def test_what_can_be_read_in_two_ways_is_no_plain_call(line: bytes) -> None:
    async with serving() as (pool, connect):
        client = await connect()
        client.send(PLAIN.replace(b"Content-Length: 2", line))
        client.writer.write_eof()
        async with asyncio.timeout(20):
            await client.reader.read()
        assert not pool.calls


async def test_a_caller_who_leaves_cancels() -> None:
    async with serving() as (pool, connect):
        for first in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            pool.calls.clear()
            pool.cancelled.clear()
            client = await connect()
            if first:
                client.send(first)
                await client.answer()
            client.send(PLAIN)
            await until(lambda: pool.calls)
            client.writer.close()
            await until(lambda: pool.cancelled)
            assert pool.cancelled == pool.calls


class Broken:
    """A connection that no longer accepts responses."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def write(self, data: bytes) -> Any:
        raise self.error

    def end(self) -> None:
        raise AssertionError


@pytest.mark.parametrize("full", [False, True])
async def test_an_answer_that_cannot_be_written_hurts_nobody_else(full: bool) -> None:
    services = Services()
    services.pool.full = full
    call = FastCall(
        make_state(services), ME, RequestHead("f", HEADERS, 0.0), b"{}", Broken(StreamClosedError())
    )
    call.start()
    for pending in services.pool.calls:
        end(pending)
    call.on_disconnect()
    assert len(services.pool.calls) == (0 if full else 1)


async def test_refusals_say_when_to_come_back() -> None:
    async with serving() as (pool, connect):
        pool.full = True
        client = await connect()
        client.send(PLAIN.replace(b"Host:", b"X-Request-Id: mine-12345\r\nHost:"))
        status, head, body = await client.answer()
        assert status == 503
        assert "Retry-After: 7" in head
        assert "X-Request-Id: mine-12345\r\n" in head
        assert b'"code": "busy"' in body


async def test_a_slow_reader_gets_its_whole_answer() -> None:
    async with serving() as (pool, connect):
        client = await connect()
        client.send(PLAIN)
        await until(lambda: pool.calls)
        large = bytes(20_000_000)
        end(pool.calls[0], large)
        await asyncio.sleep(0.1)
        client.send(PLAIN)
        assert (await client.answer())[2] == large
        await until(lambda: len(pool.calls) == 2)
        end(pool.calls[1])
        assert (await client.answer())[2] == b"1"


async def test_without_the_fast_path_every_request_goes_to_tornado() -> None:
    async with serving(fast_path=False) as (pool, connect):
        client = await connect()
        for _ in range(2):
            client.send(PLAIN)
            assert (await client.answer())[2] == BY_TORNADO + b" {}"
        assert pool.calls == []
        assert len(pool.connections) == 1
