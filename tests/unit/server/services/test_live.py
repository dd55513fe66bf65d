"""Names of live services: whose they are, and what becomes of calls when they change hands."""

import pytest

from easymlnb.contract.errors import NameTaken
from easymlnb.contract.worker_protocol import Call
from easymlnb_server.dispatch.call import CallHandle
from easymlnb_server.services.live import LiveServices
from support.fakes import FakeLink, spec


def submit(table: LiveServices, name: str = "f") -> CallHandle:
    service = table.get(name)
    assert service is not None
    return service.dispatcher.submit(Call(id=0, service=name), b"{}")


def code(pending: CallHandle) -> str | None:
    if not pending.answered.done():
        return None
    error = pending.answered.result().error
    return error.code if error is not None else "ok"


async def test_offered_and_taken_away() -> None:
    table = LiveServices(10)
    link = FakeLink()
    table.offer(link, spec("b"))
    table.offer(link, spec("a"))
    assert [service.spec.name for service in table.all()] == ["a", "b"]
    table.withdraw(link, "a")
    table.withdraw(link, "a")
    table.withdraw(link, "unknown")
    assert table.get("a") is None
    table.drop(link)
    assert table.all() == []


async def test_renewed_cell_keeps_who_waits() -> None:
    table = LiveServices(10)
    link = FakeLink()
    table.offer(link, spec())
    running, waiting = submit(table), submit(table)
    table.offer(link, spec(description="new"))
    service = table.get("f")
    assert service is not None
    assert service.spec.description == "new"
    link.answer(running.call.id)
    link.answer(waiting.call.id)
    assert (code(running), code(waiting)) == ("ok", "ok")


async def test_other_number_of_workers_takes_effect_and_keeps_who_waits() -> None:
    table = LiveServices(10)
    link = FakeLink()
    table.offer(link, spec())
    pendings = [submit(table) for _ in range(5)]
    assert len(link.calls) == 1
    table.offer(link, spec(workers=3))
    assert len(link.calls) == 3
    table.offer(link, spec(workers=1))
    for done in range(5):
        assert len(link.calls) == max(3, done + 1)
        link.answer(link.calls[done])
    assert {code(p) for p in pendings} == {"ok"}


async def test_another_notebook_is_refused() -> None:
    table = LiveServices(10)
    link = FakeLink("one", "folder/first.ipynb")
    table.offer(link, spec())
    for other in (FakeLink("two", "second.ipynb"), FakeLink("three", "")):
        with pytest.raises(NameTaken, match=r"first\.ipynb"):
            table.offer(other, spec())
        table.withdraw(other, "f")
        table.drop(other)
    assert table.get("f") is not None


async def test_nameless_notebooks_are_not_the_same() -> None:
    table = LiveServices(10)
    table.offer(FakeLink("one", ""), spec())
    with pytest.raises(NameTaken, match="unnamed"):
        table.offer(FakeLink("two", ""), spec())


async def test_newer_kernel_of_the_same_notebook_wins() -> None:
    table = LiveServices(10)
    old, new = FakeLink("one", "a.ipynb"), FakeLink("two", "a.ipynb")
    table.offer(old, spec())
    running, waiting = submit(table), submit(table)
    table.offer(new, spec())
    assert code(waiting) == "worker_lost"
    old.answer(running.call.id)
    assert code(running) == "ok"
    submit(table)
    assert (len(old.calls), len(new.calls)) == (1, 1)
    # The old kernel's end takes nothing away from the new one.
    old.close()
    table.drop(old)
    assert table.get("f") is not None


async def test_kernel_that_dials_again_is_the_same() -> None:
    table = LiveServices(10)
    old, new = FakeLink("one", ""), FakeLink("one", "")
    table.offer(old, spec())
    table.offer(new, spec())
    old.close()
    table.drop(old)
    service = table.get("f")
    assert service is not None
    assert service.link is new


async def test_lost_kernel_fails_all_calls() -> None:
    table = LiveServices(10)
    link = FakeLink()
    for name in ("f", "g"):
        table.offer(link, spec(name))
    pendings = [submit(table, name) for name in ("f", "f", "g", "g")]
    link.close()
    table.drop(link)
    assert {code(p) for p in pendings} == {"worker_lost"}
    assert table.all() == []
