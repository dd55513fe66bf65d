"""Requests that are made to hurt: no answer takes long, no connection stays, nothing piles up."""

import asyncio
import json
import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from easymlnb_server.http import connections
from easymlnb_server.http.connection_settings import Inbound
from easymlnb_server.http.fastpath import listener
from easymlnb_server.http.fastpath.request_head import HEAD_LIMIT
from support.fakes import until
from support.fastpath_server import PLAIN, Client, end, serving

GET = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = b"POST /x HTTP/1.1\r\nHost: localhost\r\n"
CALL = PLAIN.partition(b"Content-Length")[0]

GUARD = 30.0
"""Seconds after which a test has failed; what is right takes milliseconds."""


async def everything(client: Client) -> bytes:
    """Return what comes until the connection ends."""
    async with asyncio.timeout(GUARD):
        try:
            return await client.reader.read()
        except ConnectionResetError:
            return b""


def said(answer: bytes) -> tuple[int, str]:
    """Return the status and the code of an error."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head[9:12]), json.loads(body)["error"]["code"]


# heads


@pytest.mark.parametrize("blank", [b" ", b"\t"])
@pytest.mark.parametrize("begin", [GET[:-2], CALL])
async def test_a_header_of_blanks_stops_nobody(begin: bytes, blank: bytes) -> None:
    async with serving() as (pool, connect):
        bad, good = await connect(), await connect()
        bad.send(begin + b"X: " + blank * 60_000 + b"\x01\r\n\r\n")
        good.send(PLAIN)
        async with asyncio.timeout(GUARD / 6):
            await until(lambda: pool.calls)
            end(pool.calls[0])
            assert (await good.answer())[0] == 200
        assert (await everything(bad)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("begin", [GET[:-2], CALL + b"Content-Length: 2\r\n"])
@pytest.mark.parametrize("size", [HEAD_LIMIT, 100_000, 300_000])
@pytest.mark.parametrize("ending", [b"\r\n\r\n", b""])
@pytest.mark.parametrize("at_once", [True, False])
async def test_large_heads_are_refused(
    begin: bytes, size: int, ending: bytes, at_once: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as (_, connect):
        client = await connect()
        if not at_once:
            client.send(begin[:30])
            await asyncio.sleep(0.02)
            begin = begin[30:]
        client.send(begin + b"X: " + b"a" * size + ending)
        assert said(await everything(client)) == (431, "head_too_large")
    assert len(caplog.records) == 1 and len(caplog.text) < 300


async def test_a_head_of_the_largest_size_is_read() -> None:
    async with serving() as (_, connect):
        client = await connect()
        head = HEAD + b"Content-Length: 2\r\nX: "
        client.send(head + b"a" * (HEAD_LIMIT - len(head) - 4) + b"\r\n\r\n{}")
        assert (await client.answer())[2] == b"by tornado {}"


# lengths


@pytest.mark.parametrize("head", [HEAD, CALL])
@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 2, 2",
        b"Content-Length: 2,3",
        b"Content-Length: 0x2",
        b"Content-Length:",
        b"Content-Length: 2\r\nContent-Length: 2",
        b"Content-Length: 2\r\nContent-Length: 3",
        b"Content-Length: -2",
        b"Content-Length: +2",
        b"Content-Length: 2.0",
        b"Content-Length: \xb2",
        b"Content-Length: " + b"9" * 30,
        b"Content-Length: " + b"9" * 9000,
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding:",
    ],
)
async def test_lengths_that_are_unclear_are_refused(
    head: bytes, lines: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as (pool, connect):
        client = await connect()
        client.send(head + lines + b"\r\n\r\n{}")
        assert said(await everything(client)) == (400, "bad_request")
        assert not pool.calls
    assert len(caplog.records) == 1 and len(caplog.text) < 500
    assert not any(record.exc_info for record in caplog.records)


async def test_a_chunk_without_its_length_is_refused() -> None:
    async with serving() as (_, connect):
        client = await connect()
        client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"z" * 200)
        assert said(await everything(client)) == (400, "bad_request")


async def test_leaving_in_the_middle_of_a_body_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as (pool, connect):
        for head in (HEAD, CALL):
            client = await connect()
            client.send(head + b"Content-Length: 100000\r\n\r\n" + bytes(50_000))
            await until(lambda: len(pool.connections) == 1)
            await asyncio.sleep(0.05)
            client.writer.transport.abort()
            await until(lambda: not len(pool.connections))
    assert not caplog.records


# bodies that nobody reads


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
@pytest.mark.parametrize("length", [b"Content-Length: 120000000", b"Transfer-Encoding: chunked"])
async def test_methods_without_a_body_get_none(method: bytes, length: bytes) -> None:
    async with serving() as (_, connect):
        client = await connect()
        client.send(method + b" /x HTTP/1.1\r\nHost: localhost\r\n" + length + b"\r\n\r\n")
        assert said(await everything(client)) == (413, "too_large")


@pytest.mark.parametrize("more", [b"", b"Content-Length: 2", b"Transfer-Encoding: chunked"])
async def test_unknown_methods_are_refused(more: bytes) -> None:
    async with serving() as (_, connect):
        client = await connect()
        client.send(b"BREW /x HTTP/1.1\r\nHost: localhost\r\n" + more + b"\r\n\r\n")
        assert said(await everything(client)) == (405, "method_not_allowed")


async def test_the_answer_arrives_though_the_body_is_still_being_sent() -> None:
    async with serving() as (_, connect):
        client = await connect()
        client.send(b"GET /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n")
        client.send(bytes(900_000))
        assert said(await everything(client)) == (413, "too_large")


async def test_a_small_body_that_nobody_asked_for_is_fine() -> None:
    async with serving() as (_, connect):
        client = await connect()
        for _ in range(2):
            client.send(GET[:-2] + b"Content-Length: 2\r\n\r\n{}")
            assert (await client.answer())[0] == 200


# answers that nobody takes


@pytest.mark.parametrize("first", [b"", GET])
async def test_no_more_is_read_than_the_limit_while_an_answer_is_not_taken(first: bytes) -> None:
    async with serving() as (pool, connect):
        client = await connect()
        if first:  # so that Tornado has the connection
            client.send(first)
            await client.answer()
        client.send(PLAIN)
        await until(lambda: pool.calls)
        end(pool.calls[0], bytes(20_000_000))
        # The caller's side takes some megabytes; the server must take no more than its limit.
        junk, sent = b"x" * 2**16, 0
        transport = client.writer.transport
        while transport.get_write_buffer_size() < 2**20 and sent < 200 * 2**20:
            client.send(junk)
            sent += len(junk)
            await asyncio.sleep(0)
        assert sent < 100 * 2**20
        for connection in pool.connections._open:
            kept = len(connection._read) if isinstance(connection, listener.FastConnection) else 0
            assert kept < listener.BACKLOG + 2**19


async def test_calls_go_on_once_their_answers_are_taken() -> None:
    async with serving() as (pool, connect):
        client = await connect()
        client.send(PLAIN)
        await until(lambda: pool.calls)
        end(pool.calls[0], bytes(60_000_000))
        large = PLAIN.replace(b": 2\r\n", b": 300000\r\n").replace(b"{}", bytes(300_000))
        client.send(large + PLAIN)
        await asyncio.sleep(0.05)
        assert len(pool.calls) == 1
        assert len((await client.answer())[2]) == 60_000_000
        for number, size in ((1, 300_000), (2, 2)):
            await until(lambda number=number: len(pool.calls) > number)
            assert len(pool.calls[number].body) == size
            end(pool.calls[number])
            assert (await client.answer())[2] == b"1"


async def test_answers_that_nobody_takes_are_bounded_in_all(monkeypatch: Any) -> None:
    monkeypatch.setattr(connections, "MAX_UNSENT", 30_000_000)
    monkeypatch.setattr(connections, "EVERY", 0.02)
    async with serving() as (pool, connect):
        clients = [await connect() for _ in range(6)]
        for number, client in enumerate(clients):
            if number % 2:  # so that Tornado has the connection
                client.send(GET)
                await client.answer()
            client.send(PLAIN)
            await until(lambda number=number: len(pool.calls) > number)
            end(pool.calls[number], bytes(10_000_000))
        await until(lambda: sum(h.unsent for h in pool.connections._open) <= 30_000_000)
        assert 0 < len(pool.connections) < 6


@pytest.mark.parametrize("first", [b"", GET])
async def test_an_answer_that_is_not_taken_ends_the_connection(
    first: bytes, monkeypatch: Any
) -> None:
    monkeypatch.setattr(connections, "EVERY", 0.02)
    monkeypatch.setattr(connections, "MIN_SEND_SECONDS", 0.2)
    monkeypatch.setattr(connections, "MIN_SEND_RATE", 1e9)
    async with serving() as (pool, connect):
        client = await connect()
        if first:
            client.send(first)
            await client.answer()
        client.send(PLAIN)
        await until(lambda: pool.calls)
        end(pool.calls[0], bytes(20_000_000))
        await until(lambda: not len(pool.connections))


# slow ones

QUICK = Inbound(head_timeout=0.3, body_timeout=0.3, body_rate=1e6)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "EVERY", 0.02)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 0),
        (b"P", 408),
        (GET[:20], 408),
        (CALL, 408),
        (CALL + b"Content-Length: 100\r\n\r\n{", 408),
        (HEAD + b"Content-Length: 100\r\n\r\n{", 408),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", 408),
        (GET + b"P", 408),
        (GET + HEAD + b"Content-Length: 100\r\n\r\n{", 408),
        (PLAIN.replace(b"call", b"other") + CALL, 408),
    ],
)
async def test_what_does_not_come_is_not_waited_for(sent: bytes, status: int, quick: None) -> None:
    async with serving(QUICK) as (_, connect):
        client = await connect()
        client.send(sent)
        answers = await everything(client)
        last = answers[answers.rfind(b"HTTP/1.1") :] if answers else b""
        assert (said(last) if last else (0, "")) == (status, "request_timeout" if status else "")


@pytest.mark.parametrize("head", [HEAD, CALL])
async def test_a_body_that_trickles_is_not_waited_for(head: bytes, quick: None) -> None:
    async with serving(QUICK) as (_, connect):
        client = await connect()
        client.send(head + b"Content-Length: 100000\r\n\r\n")
        reading = asyncio.create_task(everything(client))
        while not reading.done():
            client.send(b" ")
            await asyncio.sleep(0.02)
        assert said(await reading)[0] == 408


async def test_headers_that_trickle_are_not_waited_for(quick: None) -> None:
    async with serving(QUICK) as (_, connect):
        client = await connect()
        client.send(GET[:-2])
        reading = asyncio.create_task(everything(client))
        while not reading.done():
            client.send(b"X: y\r\n")
            await asyncio.sleep(0.02)
        assert said(await reading)[0] == 408


@pytest.mark.parametrize("head", [HEAD, CALL])
async def test_a_body_that_comes_fast_enough_may_take_long(head: bytes, quick: None) -> None:
    limits = Inbound(head_timeout=0.3, body_timeout=0.3, body_rate=1000)
    async with serving(limits) as (pool, connect):
        client = await connect()
        client.send(head + b"Content-Length: 60000\r\n\r\n")
        for _ in range(60):
            client.send(bytes(1000))
            await asyncio.sleep(0.02)
        if head is CALL:
            await until(lambda: pool.calls)
            end(pool.calls[0])
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize("sent", [GET[:20], HEAD + b"Content-Length: 2\r\n\r\n{"])
async def test_limits_can_be_switched_off(sent: bytes, quick: None) -> None:
    none = Inbound(head_timeout=0, body_timeout=0, connections=0, per_address=0)
    async with serving(none) as (_, connect):
        client = await connect()
        client.send(sent)
        await asyncio.sleep(0.5)
        client.send((GET + b"}")[20:] if sent == GET[:20] else b"}")
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize("first", [GET, PLAIN])
async def test_a_used_connection_may_be_idle(first: bytes, quick: None) -> None:
    async with serving(QUICK) as (pool, connect):
        client = await connect()
        client.send(first)
        if first is PLAIN:
            await until(lambda: pool.calls)
            end(pool.calls.pop())
        await client.answer()
        await asyncio.sleep(1)
        client.send(GET)
        assert (await client.answer())[0] == 200


async def test_a_call_may_take_longer_than_its_request(quick: None) -> None:
    async with serving(QUICK) as (pool, connect):
        client = await connect()
        client.send(PLAIN)
        await until(lambda: pool.calls)
        await asyncio.sleep(1)
        end(pool.calls[0])
        assert (await client.answer())[0] == 200


# many


@pytest.mark.parametrize("limits", [Inbound(connections=3), Inbound(per_address=2)])
async def test_the_longest_idle_connection_makes_room(limits: Inbound, quick: None) -> None:
    async with serving(limits) as (pool, connect):
        busy = await connect()
        busy.send(PLAIN)
        await until(lambda: pool.calls)
        idle = await connect()
        idle.send(GET)
        await idle.answer()
        fresh = await connect()
        newest = await connect()
        newest.send(GET)
        assert (await newest.answer())[0] == 200
        assert await everything(idle) == b""
        fresh.send(GET)
        assert (await fresh.answer())[0] == 200
        end(pool.calls[0])
        assert (await busy.answer())[0] == 200


async def test_connections_in_use_do_not_count_for_their_address(quick: None) -> None:
    async with serving(Inbound(per_address=2)) as (pool, connect):
        clients = []
        for number in range(6):
            clients.append(await connect())
            clients[-1].send(PLAIN)
            await until(lambda number=number: len(pool.calls) > number)
        pool.connections.check()
        for number, client in enumerate(clients):
            end(pool.calls[number])
            assert (await client.answer())[0] == 200
        await until(lambda: len(pool.connections) == 2)


async def test_connections_of_a_burst_are_not_closed_before_their_requests_are_read() -> None:
    async with serving(Inbound(per_address=2)) as (pool, connect):
        clients = [await connect() for _ in range(5)]
        await until(lambda: len(pool.connections) == 5)
        pool.connections.check()
        assert len(pool.connections) == 5
        for client in clients:
            client.send(GET)
            assert (await client.answer())[0] == 200
        for _ in range(2):
            pool.connections.check()
        assert len(pool.connections) == 2


@pytest.mark.parametrize(
    ("address", "network"),
    [
        (("127.0.0.1", 1), "127.0.0.1"),
        (("::1", 1, 0, 0), "::/64"),
        (("2001:db8:1:2:3:4:5:6", 1, 0, 0), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::9", 1, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1, 0, 3), "fe80::/64"),
        (("::ffff:10.0.0.1", 1, 0, 0), "10.0.0.1"),
        ("", ""),
        (b"\0socket", ""),
        ((), ""),
        (("somewhere", 1), ""),
    ],
)
def test_what_counts_as_one_address(address: Any, network: str) -> None:
    assert connections.network_of(address) == network


async def test_a_full_house_refuses(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Inbound(connections=2)) as (pool, connect):
        for number in range(2):
            client = await connect()
            client.send(PLAIN)
            await until(lambda number=number: len(pool.calls) > number)
        for _ in range(20):
            late = await connect()
            assert said(await everything(late)) == (503, "too_many_connections")
        pool.connections.check()
        pool.connections.check()
        assert len(caplog.records) == 1
        end(pool.calls[0])
        await until(lambda: True)
        late = await connect()
        late.send(GET)
        assert (await late.answer())[0] == 200


# encrypted


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on this machine to make a certificate with")
    folder = tmp_path_factory.mktemp("certificate")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=localhost -keyout key.pem -out own.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "own.pem").read_text() + (folder / "key.pem").read_text())
    return both


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (GET[:20], 408),
        (HEAD + b"Content-Length: 100\r\n\r\n{", 408),
        (GET[:-2] + b"X: " + b"a" * 100_000, 431),
        (HEAD + b"Content-Length: 2, 2\r\n\r\n{}", 400),
        (GET[:-2] + b"Content-Length: 120000000\r\n\r\n", 413),
    ],
)
async def test_encrypted_connections_have_the_same_limits(
    sent: bytes, status: int, certificate: Path, quick: None
) -> None:
    async with serving(QUICK, certificate) as (_, connect):
        client = await connect()
        client.send(sent)
        assert said(await everything(client))[0] == status


async def test_an_encrypted_connection_must_begin_as_one(certificate: Path, quick: None) -> None:
    async with serving(QUICK, certificate) as (pool, connect):
        silent = await connect(plain=True)
        assert await everything(silent) == b""
        good = await connect()
        good.send(GET)
        assert (await good.answer())[0] == 200
        assert len(pool.connections) == 1
