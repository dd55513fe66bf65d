"""Calls that wait for calls: what is refused, because it would wait for itself."""

import asyncio

import pytest

from easymlnb.contract.errors import CallCycle
from easymlnb.contract.worker_protocol import Call, Hello
from easymlnb_server.dispatch.call import CallHandle
from easymlnb_server.dispatch.call_chains import DEPTH, extend
from easymlnb_server.dispatch.worker_link import WorkerLink


def link(*, live: bool = False) -> WorkerLink:
    return WorkerLink(Hello(kernel="k", source="", live=live), lambda data: None)


def pending(service: str) -> CallHandle:
    return CallHandle(Call(id=1, service=service), b"", asyncio.get_running_loop())


async def test_the_chain_grows_by_who_waits() -> None:
    here, there = link(), link()
    outer = pending("a")
    inner = pending("b")
    inner.chain = extend(outer, here, "b", (there,))
    assert inner.chain == (("a", here),)
    assert extend(inner, there, "c", (link(),)) == (("a", here), ("b", there))
    assert extend(None, here, "a", (here,)) == ()


async def test_a_name_that_waits_is_refused() -> None:
    outer = pending("a")
    outer.chain = (("first", link()),)
    for name in ("a", "first"):
        with pytest.raises(CallCycle, match=f"first -> a -> {name}"):
            extend(outer, link(), name, ())


async def test_workers_that_wait_are_not_waited_for() -> None:
    here, live = link(), link(live=True)
    outer = pending("a")
    with pytest.raises(CallCycle):
        extend(outer, here, "other", (link(), here))
    # A live notebook runs many calls concurrently.
    assert extend(outer, live, "other", (live,)) == (("a", live),)


async def test_a_chain_has_an_end() -> None:
    outer = pending("a")
    outer.chain = tuple((f"s{n}", link()) for n in range(DEPTH - 2))
    assert len(extend(outer, link(), "b", ())) == DEPTH - 1
    outer.chain = (*outer.chain, ("more", link()))
    with pytest.raises(CallCycle):
        extend(outer, link(), "b", ())
