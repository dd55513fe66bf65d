"""Places of app pages and the pool of form kernels, with real kernels."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest

from easymlnb.contract.page_protocol import FromPage, ToPage
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.apps.comm_channel import TokenBucket
from easymlnb_server.apps.page_tokens import SCHEME
from easymlnb_server.apps.service import AppPages
from easymlnb_server.apps.sessions import Limits, NoCapacity, PageSession, Visitor
from easymlnb_server.apps.waiting_list import WaitingList

pytestmark = pytest.mark.slow

SPEC = ServiceSpec(
    name="roll",
    title="Roll",
    input={"type": "object", "properties": {"sides": {"type": "integer"}}},
    output={"type": "integer"},
)


@asynccontextmanager
async def running(kernels: int = 1, carry: int = 50, **limits: Any) -> AsyncIterator[AppPages]:
    apps = AppPages(
        kernels=kernels,
        carry=carry,
        memory=2**30,
        limits=Limits(**limits),
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
    return await apps.places.open(
        SPEC, Visitor(visitor), public=public, url=apps.url, base="/", patience=60
    )


def pids(apps: AppPages) -> set[int]:
    assert apps.places.pool is not None
    return {one.pid for one in apps.places.pool.kernels}


async def states(apps: AppPages, place: PageSession) -> dict[str, Any]:
    told: asyncio.Queue[ToPage] = asyncio.Queue()
    apps.places.connect(place, told.put_nowait, lambda: None)

    def say(kind: str, content: Any) -> None:
        place.say(FromPage(kind=kind, header=b"{}", content=json.dumps(content).encode()))

    say("comm_open", {"comm_id": "c", "target_name": "jupyter.widget.control", "data": {}})
    say("comm_msg", {"comm_id": "c", "data": {"method": "request_states"}})
    while True:
        message = await asyncio.wait_for(told.get(), 30)
        if message.kind == "comm_msg":
            found: dict[str, Any] = json.loads(message.content)["data"]["states"]
            return found


def test_many_places_in_one_kernel() -> None:
    async def go() -> None:
        async with running() as apps:
            places = [await enter(apps, f"v{at}") for at in range(20)]
            assert len({one.kernel for one in places}) == 1
            seen: set[str] = set()
            for place in places:
                found = await states(apps, place)
                assert place.root in found
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
        async with running(kernels=1, carry=2) as apps:
            places = [await enter(apps, f"v{at}") for at in range(6)]
            assert len(pids(apps)) >= 3
            used = {one.kernel for one in places}
            assert all(len(one.places) == 2 for one in used)
            for place in places:
                apps.places.leave(place)
            assert len(apps.places) == len(apps.passes) == 0
            # What stays too long is what the pool keeps for visitors who may come back.
            assert apps.places.pool is not None
            for kernel in apps.places.pool.kernels:
                kernel.emptied -= 3600
            apps.places.pool.forget_arrivals()
            await until(lambda: len(pids(apps)) <= 2)
        assert not [one for one in used if psutil.pid_exists(one.pid)]

    asyncio.run(go())


def test_a_dead_kernel_is_replaced_and_its_places_end() -> None:
    async def go() -> None:
        async with running() as apps:
            place = await enter(apps)
            dropped: list[bool] = []
            apps.places.connect(place, lambda _: None, lambda: dropped.append(True))
            psutil.Process(place.kernel.pid).kill()
            await until(lambda: len(apps.places) == 0)
            assert dropped == [True]
            assert apps.passes.find(f"{SCHEME} {place.secret}") is None
            other = await enter(apps)
            assert other.kernel.pid != place.kernel.pid

    asyncio.run(go())


def test_stuck_kernel_is_ended_with_the_server() -> None:
    async def go() -> int:
        async with running() as apps:
            process = psutil.Process((await enter(apps)).kernel.pid)
            process.suspend()
            return process.pid

    assert not psutil.pid_exists(asyncio.run(go()))


def test_who_comes_before_the_first_kernel_is_not_told_of_others() -> None:
    async def go() -> None:
        async with running() as apps:
            with pytest.raises(NoCapacity) as full:
                await apps.places.open(
                    SPEC, Visitor("ann"), public=False, url=apps.url, base="/", patience=0
                )
            assert full.value.warming
            assert full.value.ahead == 0
            await enter(apps)

    asyncio.run(go())


def test_limits_and_the_line() -> None:
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
            apps.places.leave(own[0])
            # Whoever came first has the place, although another asks first.
            with pytest.raises(NoCapacity) as full:
                await enter(apps, "dan")
            assert full.value.ahead == 1
            await enter(apps, "cid")
            with pytest.raises(NoCapacity) as full:
                await enter(apps, "dan")
            assert full.value.ahead == 0
            assert not full.value.warming

    asyncio.run(go())


def test_whoever_has_a_name_has_no_more_pages_for_forgetting_a_cookie() -> None:
    async def go() -> None:
        async with running(visitor=2) as apps:

            async def come(browser: str, user: str) -> PageSession:
                return await apps.places.open(
                    SPEC, Visitor(browser, user), public=False, url="", base="/", patience=60
                )

            for browser in ("first", "second"):
                await come(browser, "ann")
            with pytest.raises(NoCapacity) as full:
                await come("third", "ann")
            assert full.value.own
            await come("third", "bob")

    asyncio.run(go())


def test_places_end_unopened_lost_and_unused() -> None:
    async def go() -> None:
        async with running(unopened=0.5, grace=3.0, idle=6.0) as apps:
            never, lost, open_ = [await enter(apps) for _ in range(3)]
            for place in (lost, open_):
                apps.places.connect(place, lambda _: None, lambda: None)
            assert lost.hear is not None
            apps.places.disconnect(lost, lost.hear)
            for place in (never, lost, open_):
                await until(
                    lambda place=place: (
                        apps.places.get(  # type: ignore[misc]
                            place.id, "roll", place.visitor
                        )
                        is None
                    )
                )
            assert len(apps.places) == 0

    asyncio.run(go())


def test_a_page_comes_back_in_time() -> None:
    async def go() -> None:
        async with running() as apps:
            place = await enter(apps)
            first = await states(apps, place)
            assert place.hear is not None
            apps.places.disconnect(place, place.hear)
            assert await states(apps, place) == first

    asyncio.run(go())


def test_line_forgets_those_who_ask_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    line = WaitingList()
    line.wait(("ann", "x"))
    line.wait(("bob", "x"))
    assert line.ahead(("bob", "x")) == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600)
    line.wait(("bob", "x"))
    assert line.ahead(("bob", "x")) == 0


def test_bucket_refills(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    bucket = TokenBucket(10, 20)
    assert all(bucket.take(1) for _ in range(20))
    assert not bucket.take(1)
    monkeypatch.setattr(time, "monotonic", lambda: now + 1)
    assert bucket.take(10)
    assert not bucket.take(1)
