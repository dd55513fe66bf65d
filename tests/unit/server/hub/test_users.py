"""What the Hub is asked of people, while somebody makes up tokens."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from easymlnb_server.hub.users import MAX_CONCURRENT, HubUsers

ANN = {"kind": "user", "name": "ann", "groups": ["ml"], "created": "2026-01-01T00:00:00Z"}
NARROW = {"kind": "user", "name": "bob"}


@asynccontextmanager
async def hub() -> AsyncIterator[tuple[str, list[str]]]:
    """Run a Hub that knows two tokens, and takes its time over all others."""
    asked: list[str] = []
    over = asyncio.Event()
    answering: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        answering.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                asked.append(head)
                said = ANN if "token good" in head else NARROW
                if "token made-up" in head:
                    await over.wait()
                body = json.dumps(said).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hub/api", asked
    finally:
        server.close()
        over.set()
        for one in answering:
            one.cancel()
        await asyncio.gather(*answering, return_exceptions=True)


async def test_tokens_that_are_made_up_keep_nobody_known_waiting() -> None:
    async with hub() as (url, asked):
        members = HubUsers(url, "service", 0.0)
        found = await members.find_by_token("good")
        assert found is not None
        strangers = [
            asyncio.ensure_future(members.find_by_token(f"made-up-{number}"))
            for number in range(2 * MAX_CONCURRENT)
        ]
        while sum("made-up" in one for one in asked) < MAX_CONCURRENT:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            again = await members.find_by_token("good")
            somebody = await members.find("ann")
        assert again is not None and again.groups == {"ml"}
        assert somebody is not None
        for one in strangers:
            one.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)
        await members.close()


async def test_a_token_that_does_not_show_groups_tells_nothing_of_them() -> None:
    async with hub() as (url, _):
        members = HubUsers(url, "service", 30.0)
        for token, name, groups in (("good", "ann", {"ml"}), ("narrow", "bob", None)):
            assert await members.find_by_token(token) is not None
            known = members.last(name)
            assert (known.groups if known is not None else None) == groups
        await members.close()


async def test_whom_a_token_named_is_known_to_their_pages_while_the_hub_is_away() -> None:
    async with hub() as (url, asked):
        members = HubUsers(url, "service", 30.0)
        assert await members.find_by_token("good") is not None
    found = await members.find("ann")
    assert found is not None and found.groups == {"ml"}
    assert not any("users/ann" in one for one in asked)
    await members.close()
