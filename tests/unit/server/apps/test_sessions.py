"""Sessions of app pages and the pool of form kernels, with real kernels."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from easymlnb.contract.page_protocol import FromPage, ToPage
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.apps.comm_channel import TokenBucket
from easymlnb_server.apps.page_tokens import SCHEME, PageTokens
from easymlnb_server.apps.service import AppPages
from easymlnb_server.apps.sessions import (
    UNOPENED,
    NoCapacity,
    PageSession,
    PageSessions,
    SessionLimits,
    Visitor,
)
from easymlnb_server.apps.waiting_list import WaitingList

pytestmark = pytest.mark.slow

SPEC = ServiceSpec(
    name="roll",
    title="Roll",
    input={"type": "object", "properties": {"sides": {"type": "integer"}}},
    output={"type": "integer"},
)


@asynccontextmanager
async def running(kernels: int = 1, per_kernel: int = 50, **limits: Any) -> AsyncIterator[AppPages]:
    apps = AppPages(
        kernels=kernels,
        per_kernel=per_kernel,
        memory=2**30,
        limits=SessionLimits(**limits),
        message_limit=2**20,
    )
    apps.open("http://127.0.0.1:9/", "")
    try:
        yield apps
    finally:
        await apps.close()


async def until(done: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def enter(apps: AppPages, visitor: str = "ann", *, public: bool = False) -> PageSession:
    return await apps.sessions.open(
        SPEC, Visitor(visitor), public=public, url=apps.url, base="/", max_wait=60
    )


def pids(apps: AppPages) -> set[int]:
    assert apps.sessions.pool is not None
    return {one.pid for one in apps.sessions.pool.kernels}


async def states(apps: AppPages, session: PageSession) -> dict[str, Any]:
    received: asyncio.Queue[ToPage] = asyncio.Queue()
    apps.sessions.connect(session, received.put_nowait, lambda: None)

    def send(kind: str, content: Any) -> None:
        session.send(FromPage(kind=kind, header=b"{}", content=json.dumps(content).encode()))

    send("comm_open", {"comm_id": "c", "target_name": "jupyter.widget.control", "data": {}})
    send("comm_msg", {"comm_id": "c", "data": {"method": "request_states"}})
    while True:
        message = await asyncio.wait_for(received.get(), 30)
        if message.kind == "comm_msg":
            found: dict[str, Any] = json.loads(message.content)["data"]["states"]
            return found


def test_many_sessions_in_one_kernel() -> None:
    async def go() -> None:
        async with running() as apps:
            sessions = [await enter(apps, f"v{at}") for at in range(20)]
            assert len({one.kernel for one in sessions}) == 1
            seen: set[str] = set()
            for session in sessions:
                found = await states(apps, session)
                assert session.root in found
                assert not seen & found.keys()
                seen |= found.keys()

    asyncio.run(go())


def test_those_with_and_without_login_share_no_process() -> None:
    async def go() -> None:
        async with running() as apps:
            user, public = await enter(apps), await enter(apps, "bob", public=True)
            assert user.kernel is not public.kernel

    asyncio.run(go())


def test_kernel_knows_nothing_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "secret-of-the-server")
    monkeypatch.setenv("EASYMLNB_SECRET", "secret-of-the-server")

    async def go() -> None:
        async with running() as apps:
            process = psutil.Process((await enter(apps)).kernel.pid)
            assert "secret-of-the-server" not in process.environ().values()
            assert process.cwd() == process.environ()["HOME"]
            assert process.net_connections() == []
            limit = process.rlimit(psutil.RLIMIT_DATA)
            assert limit[0] == 2**30

    asyncio.run(go())


def test_pool_returns_to_its_size() -> None:
    async def go() -> None:
        async with running(kernels=1, per_kernel=2) as apps:
            sessions = [await enter(apps, f"v{at}") for at in range(6)]
            assert len(pids(apps)) >= 3
            used = {one.kernel for one in sessions}
            assert all(len(one.sessions) == 2 for one in used)
            for session in sessions:
                apps.sessions.close(session)
            assert len(apps.sessions) == len(apps.tokens) == 0
            # What stays too long is what the pool keeps for visitors who may come back.
            assert apps.sessions.pool is not None
            for kernel in apps.sessions.pool.kernels:
                kernel.empty_since -= 3600
            for arrivals in apps.sessions.pool._arrivals.values():
                arrivals.clear()
            await until(lambda: len(pids(apps)) <= 2)
        assert not [one for one in used if psutil.pid_exists(one.pid)]

    asyncio.run(go())


def test_a_dead_kernel_is_replaced_and_its_sessions_end() -> None:
    async def go() -> None:
        async with running() as apps:
            session = await enter(apps)
            dropped: list[bool] = []
            apps.sessions.connect(session, lambda _: None, lambda: dropped.append(True))
            psutil.Process(session.kernel.pid).kill()
            await until(lambda: len(apps.sessions) == 0)
            assert dropped == [True]
            assert apps.tokens.find(f"{SCHEME} {session.secret}") is None
            other = await enter(apps)
            assert other.kernel.pid != session.kernel.pid

    asyncio.run(go())


def test_stuck_kernel_is_ended_with_the_server() -> None:
    async def go() -> int:
        async with running() as apps:
            process = psutil.Process((await enter(apps)).kernel.pid)
            process.suspend()
            return process.pid

    assert not psutil.pid_exists(asyncio.run(go()))


def test_visitor_before_the_first_kernel_waits_behind_nobody() -> None:
    async def go() -> None:
        async with running() as apps:
            with pytest.raises(NoCapacity) as full:
                await apps.sessions.open(
                    SPEC, Visitor("ann"), public=False, url=apps.url, base="/", max_wait=0
                )
            assert full.value.warming
            assert full.value.ahead == 0
            await enter(apps)

    asyncio.run(go())


def test_limits_and_the_waiting_list() -> None:
    async def go() -> None:
        async with running(pages=3, public=2, visitor=2) as apps:
            own = [await enter(apps), await enter(apps)]
            with pytest.raises(NoCapacity) as full:
                await enter(apps)
            assert full.value.own
            await enter(apps, "bob", public=True)
            for ahead, name in enumerate(("cid", "dan", "eve")):
                with pytest.raises(NoCapacity) as full:
                    await enter(apps, name)
                assert full.value.ahead == ahead
            apps.sessions.close(own[0])
            # The first visitor has the session, although another one asks first.
            with pytest.raises(NoCapacity) as full:
                await enter(apps, "dan")
            assert full.value.ahead == 1
            await enter(apps, "cid")
            with pytest.raises(NoCapacity) as full:
                await enter(apps, "dan")
            assert full.value.ahead == 0
            assert not full.value.warming

    asyncio.run(go())


def test_program_without_cookies_does_not_keep_visitors_out() -> None:
    async def go() -> None:
        async with running(public=UNOPENED + 3) as apps:

            async def come(name: str, address: str) -> PageSession:
                visitor = Visitor(name, address=address)
                return await apps.sessions.open(
                    SPEC, visitor, public=True, url="", base="/", max_wait=60
                )

            here = await come("ann", "192.0.2.1")
            apps.sessions.connect(here, lambda _: None, lambda: None)
            slow = [await come(f"slow {n}", "192.0.2.2") for n in range(2)]
            robots = [await come(f"robot {n}", "192.0.2.3") for n in range(UNOPENED)]
            with pytest.raises(NoCapacity):  # few enough for people who share an address
                await come("robot", "192.0.2.3")
            apps.sessions.close(slow.pop())
            robots.append(await come("robot", "192.0.2.3"))
            await come("eve", "192.0.2.4")
            left = apps.sessions.all()
            assert len(left) == UNOPENED + 3
            assert {here, *slow, *robots[1:]} < set(left)
            # Somebody's address may change.
            assert apps.sessions.get(here.id, "roll", Visitor("ann", address="192.0.2.9")) is here

    asyncio.run(go())


def test_full_app_ends_no_pages_of_other_apps() -> None:
    async def go() -> None:
        sessions = PageSessions(PageTokens(), SessionLimits(app=1))
        kernel: Any = SimpleNamespace(send=lambda message: None)
        for n, service in enumerate(["roll", *["other"] * (UNOPENED + 1)]):
            one = PageSession(str(n), service, Visitor(str(n)), True, "", "", kernel)
            sessions._sessions[one.id] = one
        with pytest.raises(NoCapacity):
            await sessions.open(SPEC, Visitor("ann"), public=True, url="", base="/")
        assert len(sessions) == UNOPENED + 2

    asyncio.run(go())


def test_a_user_has_one_limit_in_all_browsers() -> None:
    async def go() -> None:
        async with running(visitor=2) as apps:

            async def come(browser: str, user: str) -> PageSession:
                return await apps.sessions.open(
                    SPEC, Visitor(browser, user), public=False, url="", base="/", max_wait=60
                )

            for browser in ("first", "second"):
                await come(browser, "ann")
            with pytest.raises(NoCapacity) as full:
                await come("third", "ann")
            assert full.value.own
            await come("third", "bob")

    asyncio.run(go())


def test_sessions_time_out_before_opening_after_a_lost_connection_and_when_idle() -> None:
    async def go() -> None:
        async with running(open_timeout=0.5, reconnect_timeout=3.0, idle_timeout=6.0) as apps:
            never, lost, open_ = [await enter(apps) for _ in range(3)]
            for session in (lost, open_):
                apps.sessions.connect(session, lambda _: None, lambda: None)
            assert lost.to_page is not None
            apps.sessions.disconnect(lost, lost.to_page)
            for session in (never, lost, open_):
                await until(
                    lambda session=session: (
                        apps.sessions.get(  # type: ignore[misc]
                            session.id, "roll", session.visitor
                        )
                        is None
                    )
                )
            assert len(apps.sessions) == 0

    asyncio.run(go())


def test_a_page_comes_back_in_time() -> None:
    async def go() -> None:
        async with running() as apps:
            session = await enter(apps)
            first = await states(apps, session)
            assert session.to_page is not None
            apps.sessions.disconnect(session, session.to_page)
            assert await states(apps, session) == first

    asyncio.run(go())


def test_waiting_list_forgets_visitors_who_stop_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    line = WaitingList()
    line.join(("ann", "x"))
    line.join(("bob", "x"))
    assert line.ahead(("bob", "x")) == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600)
    line.join(("bob", "x"))
    assert line.ahead(("bob", "x")) == 0


def test_bucket_refills(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    bucket = TokenBucket(10, 20)
    assert all(bucket.acquire(1) for _ in range(20))
    assert not bucket.acquire(1)
    monkeypatch.setattr(time, "monotonic", lambda: now + 1)
    assert bucket.acquire(10)
    assert not bucket.acquire(1)
