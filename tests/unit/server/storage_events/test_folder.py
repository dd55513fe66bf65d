"""Files of a folder: each is claimed once, read whole, and left with its result."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from easymlnb.contract.errors import NotReady
from easymlnb_server.storage_events.folder import FolderPlace
from easymlnb_server.storage_events.models import Found, Item, Outcome, Source
from easymlnb_server.storage_events.place import Gone, NotComplete

JSON = Outcome("0" * 64, "application/json")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def place(tmp_path: Path, clock: Clock) -> Iterator[FolderPlace]:
    made = open_place(tmp_path, clock)
    yield made
    made.close()


def open_place(folder: Path, clock: Clock, **values: Any) -> FolderPlace:
    made = FolderPlace(Source(service="f", folder=str(folder), pattern="*.csv", **values), clock)
    made.open()
    return made


def find(place: FolderPlace, clock: Clock, most: int = 10) -> list[Found]:
    place.find(0)
    clock.now += 1.1
    return place.find(most)


def item(found: Found, **values: Any) -> Item:
    return Item(
        id=found.id, source="s", identity=found.identity, path=found.path, place=found.place,
        size=found.size, **values,
    )  # fmt: skip


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_complete_file_is_claimed_and_ends_in_done(
    place: FolderPlace, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    (found,) = find(place, clock)
    assert (found.path, found.size) == ("a.csv", 3)
    assert not (tmp_path / "a.csv").exists()
    assert place.find(10) == [found]  # until it is in the database
    place.confirm([found])
    assert place.find(10) == []
    one = item(found)
    assert b"".join(place.read(one)) == b"1,2"
    assert place.target(one) == "a.csv"
    for _ in range(2):  # a crash may repeat it
        place.finish(item(found, target="a.csv"), JSON, iter([b"3"]))
    assert names(tmp_path / "done") == ["a.csv", "a.csv.result.json"]
    assert names(tmp_path / ".working") == ["server.lock"]


def test_a_file_that_grows_is_left_alone(place: FolderPlace, tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "slow.csv"
    for number in range(5):
        path.write_text("x" * (number + 1))
        assert place.find(10) == []
        clock.now += 0.9
    clock.now += 0.2
    assert [one.path for one in place.find(10)] == ["slow.csv"]


def test_what_is_no_file_of_the_service_is_left_alone(
    place: FolderPlace, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "b.csv.part").write_text("")
    (tmp_path / "c.csv").mkdir()
    os.symlink("/etc/passwd", tmp_path / "d.csv")
    assert find(place, clock) == []


def test_a_rename_before_the_claim_makes_one_file(
    place: FolderPlace, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "a.csv").write_text("1")
    place.find(10)
    (tmp_path / "a.csv").rename(tmp_path / "b.csv")
    clock.now += 1.1
    assert place.find(10) == []
    clock.now += 1.1
    assert [one.path for one in place.find(10)] == ["b.csv"]


def test_a_second_file_of_the_name_gets_another_one(
    place: FolderPlace, tmp_path: Path, clock: Clock
) -> None:
    found = []
    for text in ("1", "2"):
        (tmp_path / "a.csv").write_text(text)
        (new,) = find(place, clock)
        place.confirm([new])
        one = item(new)
        target = place.target(one)
        place.finish(item(new, target=target), JSON, iter([text.encode()]))
        found.append(target)
    assert found[0] == "a.csv"
    assert found[1] == f"a-{new.id}.csv"
    done = tmp_path / "done"
    assert [(done / f"{name}.result.json").read_text() for name in found] == ["1", "2"]


def test_an_error_is_left_beside_the_file(place: FolderPlace, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "a.csv").write_text("1")
    (found,) = find(place, clock)
    outcome = Outcome(error={"code": "invalid_input", "message": "No."})
    place.finish(item(found, target="a.csv"), outcome, iter(()))
    assert names(tmp_path / "done") == ["a.csv", "a.csv.error.json"]
    assert "invalid_input" in (tmp_path / "done/a.csv.error.json").read_text()


@pytest.mark.parametrize("name", [b"\xfcber.csv", b"a" * 240 + b".csv"])
def test_odd_names_are_changed(
    name: bytes, place: FolderPlace, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / os.fsdecode(name)).write_text("x")
    (found,) = find(place, clock)
    found.path.encode()
    assert found.path.endswith("ber.csv" if len(name) < 10 else f"a-{found.id}.csv")
    target = place.target(item(found))
    place.finish(item(found, target=target), JSON, iter([b"1"]))
    assert names(tmp_path / "done") == [target, f"{target}.result.json"]


def test_links_and_pipes_of_others_are_not_followed(
    place: FolderPlace, tmp_path: Path, clock: Clock
) -> None:
    secret = tmp_path.parent / f"{tmp_path.name}-secret"
    secret.write_text("secret")
    (tmp_path / "a.csv").write_text("x")
    (found,) = find(place, clock)
    claimed = tmp_path / ".working" / found.place / found.path
    claimed.unlink()
    claimed.symlink_to(secret)
    with pytest.raises(Gone):
        list(place.read(item(found)))
    claimed.unlink()
    os.mkfifo(claimed)
    with pytest.raises(Gone):
        list(place.read(item(found)))
    (tmp_path / "done" / ".a.csv.result.json.tmp").symlink_to(secret)
    place.finish(item(found, target="a.csv"), JSON, iter([b"1"]))
    assert secret.read_text() == "secret"
    assert (tmp_path / "done" / "a.csv.result.json").read_text() == "1"


def test_results_can_be_in_another_folder(tmp_path: Path, clock: Clock) -> None:
    inbox, results = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    place = open_place(inbox, clock, results=str(results))
    (inbox / "a.csv").write_text("1")
    (found,) = find(place, clock)
    place.finish(item(found, target="a.csv"), JSON, iter([b"2"]))
    place.close()
    assert (names(inbox / "done"), names(results)) == (["a.csv"], ["a.csv.result.json"])


def test_claims_survive_a_crash(place: FolderPlace, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "a.csv").write_text("1")
    before = find(place, clock)
    (tmp_path / ".working/01ABC").mkdir()  # a crash before the rename
    place.close()
    again = open_place(tmp_path, clock)
    assert again.find(0) == before
    assert not (tmp_path / ".working/01ABC").exists()
    again.close()


def test_only_one_server_takes_files(place: FolderPlace, tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(NotReady, match="Another server"):
        open_place(tmp_path, clock)
    with pytest.raises(NotReady, match="no folder"):
        open_place(tmp_path / "missing", clock)


def test_a_file_that_changes_while_it_is_read_is_read_again(
    place: FolderPlace, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "a.csv").write_text("1")
    (found,) = find(place, clock)
    one = item(found)
    claimed = tmp_path / ".working" / found.place / "a.csv"
    chunks = place.read(one)
    next(chunks)
    with claimed.open("a") as file:  # its writer still has it open
        file.write("2")
    os.utime(claimed, (time.time() + 5,) * 2)
    with pytest.raises(NotComplete):
        list(chunks)
    assert b"".join(place.read(one)) == b"12"
    claimed.unlink()
    with pytest.raises(Gone):
        list(place.read(one))


async def test_a_missing_package_is_named(
    place: FolderPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(NotReady, match=r"pip install 'easymlnb\[storage\]'"):
        await place.watch(lambda: None)
    polled = FolderPlace(Source(service="f", folder=str(tmp_path), polling=True))
    await polled.watch(lambda: None)
    assert polled.pause < 1.0
