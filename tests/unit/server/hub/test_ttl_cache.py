"""What the Hub said is good for a while: asked once, bounded, and never kept when it is nothing."""

import asyncio

import pytest

from easymlnb.contract.errors import NotReady
from easymlnb_server.hub import ttl_cache
from easymlnb_server.hub.ttl_cache import Outage, TtlCache


class Asked:
    """Answers, and counts."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {"a": "1"}
        self.asked: list[str] = []
        self.away = False
        self.began, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

    async def __call__(self, key: str) -> str | None:
        self.asked.append(key)
        self.began.set()
        await self.go.wait()
        if self.away:
            raise NotReady("away")
        return self.answers.get(key)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(ttl_cache.time, "monotonic", lambda: now[0])
    return now


def test_an_answer_is_asked_for_once_while_it_is_good(clock: list[float]) -> None:
    async def work() -> None:
        asked = Asked()
        known: TtlCache[str] = TtlCache(asked, 30)
        assert [await known.get("a"), await known.get("a")] == ["1", "1"]
        assert asked.asked == ["a"]
        asked.answers["a"] = "2"
        clock[0] += 29.9
        assert await known.get("a") == "1"
        clock[0] += 0.2
        assert await known.get("a") == "2"
        del asked.answers["a"]
        clock[0] += 31
        assert known.last("a") == "2"
        assert await known.get("a") is None
        assert known.last("a") is None

    asyncio.run(work())


def test_what_is_fresh_is_there_without_asking_and_bounded(clock: list[float]) -> None:
    async def work() -> None:
        asked = Asked()
        asked.answers = {"a": "1", "b": "2", "c": "3"}
        known: TtlCache[str] = TtlCache(asked, 30, max_entries=2)
        assert known.cached("a") is None
        await known.get("a")
        await known.get("b")
        clock[0] += 29.9
        assert (known.cached("a"), known.cached("x")) == ("1", None)
        await known.get("c")  # "b" was not used for longest
        assert (known.cached("a"), known.cached("b"), len(known)) == ("1", None, 2)
        # Having been used has not made it any younger.
        clock[0] += 0.2
        assert known.cached("a") is None
        assert asked.asked == ["a", "b", "c"]

    asyncio.run(work())


def test_all_who_wait_get_one_answer_and_may_go_away() -> None:
    async def work() -> None:
        asked = Asked()
        asked.go.clear()
        known: TtlCache[str] = TtlCache(asked, 30)
        waiting = [asyncio.create_task(known.get("a")) for _ in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        asked.go.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert found[1:] == ["1"] * 4
        assert asked.asked == ["a"]

    asyncio.run(work())


def test_errors_and_nothing_are_not_kept() -> None:
    async def work() -> None:
        asked = Asked()
        known: TtlCache[str] = TtlCache(asked, 30)
        assert await known.get("x") is None
        assert await known.get("x") is None
        asked.away = True
        with pytest.raises(NotReady):
            await known.get("a")
        asked.away = False
        assert await known.get("a") == "1"
        assert asked.asked == ["x", "x", "a", "a"]
        assert len(known) == 1

    asyncio.run(work())


def test_the_least_used_goes_when_there_are_too_many() -> None:
    async def work() -> None:
        asked = Asked()
        asked.answers = dict.fromkeys("abc", "1")
        known: TtlCache[str] = TtlCache(asked, 30, max_entries=2)
        for key in ("a", "b", "a", "c"):
            await known.get(key)
        assert len(known) == 2
        assert known.last("b") is None

    asyncio.run(work())


def test_what_was_good_when_an_outage_began_is_good_for_as_long_again(clock: list[float]) -> None:
    async def work() -> None:
        asked, outage = Asked(), Outage()
        tokens: TtlCache[str] = TtlCache(asked, 30, outage=outage)
        names: TtlCache[str] = TtlCache(asked, 30, outage=outage)
        asked.answers["old"] = "0"
        await tokens.get("old")
        clock[0] += 20
        await names.get("a")
        clock[0] += 20  # "a" has 10 s to go
        await tokens.get("a")
        asked.away = True
        clock[0] += 9
        assert await names.get("a") == "1"
        with pytest.raises(NotReady):
            await tokens.get("old")  # reveals the outage; this entry had expired
        # All entries are valid until 30 s after that.
        clock[0] += 29
        count = len(asked.asked)
        assert [await tokens.get("a"), await names.get("a")] == ["1", "1"]
        assert len(asked.asked) > count  # it may be over
        clock[0] += 1.1
        for known in (tokens, names):
            with pytest.raises(NotReady):
                await known.get("a")
        asked.away = False
        assert [await tokens.get("a"), await names.get("a")] == ["1", "1"]

    asyncio.run(work())


def test_during_an_outage_not_everybody_waits_for_the_answer(clock: list[float]) -> None:
    async def work() -> None:
        asked = Asked()
        known: TtlCache[str] = TtlCache(asked, 30)
        await known.get("a")
        clock[0] += 31
        known.extend("a", "1")
        asked.away = True
        for _ in range(5):
            assert await known.get("a") == "1"
        assert asked.asked == ["a", "a"]
        clock[0] += ttl_cache.RETRY_AFTER
        assert await known.get("a") == "1"
        assert asked.asked == ["a", "a", "a"]

    asyncio.run(work())


def test_made_up_questions_tell_of_no_outage(clock: list[float]) -> None:
    async def work() -> None:
        asked = Asked()
        known: TtlCache[str] = TtlCache(asked, 30)
        await known.get("a")
        asked.away = True
        with pytest.raises(NotReady):
            await known.get("made-up")
        clock[0] += 31
        with pytest.raises(NotReady):
            await known.get("a")

    asyncio.run(work())


def test_age_counts_from_the_question(clock: list[float]) -> None:
    async def work() -> None:
        asked = Asked()
        asked.go.clear()
        known: TtlCache[str] = TtlCache(asked, 30)
        waiting = asyncio.create_task(known.get("a"))
        await asked.began.wait()
        clock[0] += 20
        asked.go.set()
        await waiting
        clock[0] += 11
        await known.get("a")
        assert asked.asked == ["a", "a"]

    asyncio.run(work())
