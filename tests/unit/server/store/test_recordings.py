"""Rows of recorded calls and of comparisons, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.store import Store
from easymlnb_server.store.comparisons import ComparisonRow, ItemRow
from easymlnb_server.store.recordings import RecordRow


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    made = Store.open(database_url, tmp_path)
    yield made
    made.close()


def row(number: int, **changes: Any) -> RecordRow:
    made = RecordRow(
        id=f"{number:032x}", service="ann/f", version="3", kind="recorded",
        request_id=f"request-{number}", caller="user ann", reason="", source="server",
        preview="x=1", status=200, code="", seconds=0.1, size=5, file=f"{number:064x}",
        time=float(number), expires=100.0 + number,
    )  # fmt: skip
    return replace(made, **changes)


def comparison(**changes: Any) -> ComparisonRow:
    made = ComparisonRow(
        id="c" * 32, service="ann/f", before=3, after=4, source="flagged", file="f" * 64,
        options={"relative": 0.1}, made_by="ann", state="queued", error=None, total=2,
        created=1.0, ended=None,
    )  # fmt: skip
    return replace(made, **changes)


def test_rows_are_listed_flagged_and_removed(store: Store) -> None:
    recordings = store.recordings
    rows = [row(1), row(2, caller="user bob"), row(3, service="bob/g"), row(4)]
    recordings.add(rows)
    recordings.add(rows[:2])
    assert recordings.newest("ann/f", "", limit=2) == [rows[3], rows[1]]
    assert recordings.newest("ann/f", "recorded", start=2, limit=9) == [rows[0]]
    assert recordings.count("ann/f", "") == 3
    assert recordings.services() == {"ann/f", "bob/g"}
    assert recordings.find("ann/f", "request-2", "user bob") == rows[1]
    assert recordings.find("ann/f", "request-2", "user ann") is None
    recordings.flag(rows[0].id, "wrong")
    flagged = recordings.get(rows[0].id)
    assert flagged == replace(rows[0], kind="flagged", reason="wrong", expires=None)
    assert recordings.remove("ann/f", caller="user bob") == [rows[1].file]
    assert recordings.remove("bob/g", id=rows[0].id) == []
    assert recordings.remove("ann/f", kind="flagged") == [rows[0].file]
    assert recordings.files() == {rows[2].file, rows[3].file}


def test_rows_expire_and_are_trimmed(store: Store) -> None:
    rows = [row(number) for number in range(10)]
    store.recordings.add([*rows, row(90, kind="flagged", expires=None)])
    assert sorted(store.recordings.expire(102.0)) == sorted(one.file for one in rows[:3])
    assert store.recordings.trim("ann/f", 5) == [row(4).file, row(3).file] or set(
        store.recordings.files()
    ) == {row(n).file for n in (5, 6, 7, 8, 9, 90)}
    assert store.recordings.count("ann/f", "") == 6


def test_a_comparison_resumes_and_ends_once(store: Store) -> None:
    comparisons, made = store.comparisons, comparison()
    comparisons.add(made, ["r" * 32, None])
    comparisons.add(made, ["r" * 32, None])
    assert comparisons.get(made.id) == made
    assert comparisons.unfinished() == comparisons.unfinished("ann/f") == [made]
    assert comparisons.start(made.id)
    done = ItemRow(0, "r" * 32, "equal", {"outcome": "equal"})
    assert comparisons.store(made.id, [done])
    assert comparisons.items(made.id, done=True) == [done]
    assert comparisons.items(made.id, done=False) == [ItemRow(1, None)]
    assert comparisons.done(made.id) == 1
    assert comparisons.end(made.id, "succeeded")
    assert not comparisons.end(made.id, "failed", {"code": "x"})
    assert not comparisons.start(made.id)
    assert not comparisons.store(made.id, [done])
    found = comparisons.newest("ann/f", 5)[0]
    assert (found.state, found.error) == ("succeeded", None)
    assert found.ended
    assert comparisons.files() == {"f" * 64}
    comparisons.remove(made.id)
    assert comparisons.get(made.id) is None
    assert comparisons.items(made.id) == []


def test_the_sweep_keeps_what_is_recorded(store: Store) -> None:
    kept, lost = store.files.put(b"kept"), store.files.put(b"lost")
    rows = store.files.put(b"rows")
    store.recordings.add([row(1, file=kept)])
    store.comparisons.add(comparison(file=rows), [None])
    assert store.sweep(older=-10) == 1
    assert set(store.files.names()) == {kept, rows}
    assert lost not in store.files.names()
    store.files.remove(kept)
    store.files.remove(kept)
    assert store.files.names() == [rows]


def test_rows_follow_their_service(store: Store) -> None:
    spec = ServiceSpec(name="ann/f", title="F", input={}, output={})
    store.bundles.add("b", owner="ann", manifest={}, file="f" * 64)
    store.services.publish("b", [spec], owner="ann")
    store.recordings.add([row(1)])
    store.comparisons.add(comparison(), [None])
    store.people.transfer("ann", "bob", "identity")
    assert store.recordings.services() == {"bob/f"}
    assert store.comparisons.newest("bob/f", 5)
    store.services.delete("bob/f")
    assert store.recordings.services() == set()
    assert store.comparisons.newest("bob/f", 5) == []
