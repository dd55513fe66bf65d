"""Files of a folder: each is claimed once, read whole, and left with its result."""

import asyncio
import errno
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from easymlnb.contract.errors import Forbidden, NotReady
from easymlnb_server.storage_events import folder as folder_module
from easymlnb_server.storage_events import subfolders
from easymlnb_server.storage_events.folder import FolderPlace
from easymlnb_server.storage_events.models import FileOutcome, Found, Source, TakenFile
from easymlnb_server.storage_events.place import Gone, NotComplete

JSON = FileOutcome("0" * 64, "application/json")


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


def item(found: Found, **values: Any) -> TakenFile:
    return TakenFile(
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
    outcome = FileOutcome(error={"code": "invalid_input", "message": "No."})
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


def tree(folder: Path) -> list[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if path != ".working/server.lock")


def test_files_of_subfolders_end_at_the_same_relative_path(tmp_path: Path, clock: Clock) -> None:
    inbox, results = tmp_path / "in", tmp_path / "in" / "out"
    (inbox / "day 1" / "über").mkdir(parents=True)
    (inbox / ".hidden").mkdir()
    (inbox / "out").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (inbox / "link").symlink_to(outside)
    left_alone = (inbox / ".hidden/a.csv", outside / "a.csv", results / "a.csv")
    for path in (*left_alone, inbox / "a.csv", inbox / "day 1/a.csv", inbox / "day 1/über/a.csv"):
        path.write_text(str(path.parent.name))
    place = open_place(inbox, clock, results=str(results), recursive=True)
    found = find(place, clock)
    assert sorted(one.path for one in found) == ["a.csv", "day 1/a.csv", "day 1/über/a.csv"]
    place.confirm(found)
    for one in found:
        content = b"".join(place.read(item(one)))
        target = place.target(item(one))
        assert target == one.path
        for _ in range(2):
            place.finish(item(one, target=target), JSON, iter([content]))
    assert find(place, clock) == []
    place.close()
    assert [path for path in tree(inbox) if path.startswith("done")] == [
        "done/a.csv", "done/day 1/a.csv", "done/day 1/über/a.csv",
    ]  # fmt: skip
    assert (results / "day 1/über/a.csv.result.json").read_text() == "über"
    assert all(path.exists() for path in left_alone)
    assert names(inbox / ".working") == ["server.lock"]


def test_a_subfolder_with_the_name_of_a_file_in_done(tmp_path: Path, clock: Clock) -> None:
    place = open_place(tmp_path, clock, recursive=True)
    for path in ("a.csv", "a.csv/b.csv"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("1")
        (found,) = find(place, clock)
        place.confirm([found])
        target = place.target(item(found))
        place.finish(item(found, target=target), JSON, iter([b"2"]))
    assert target == f"{found.id}/a.csv/b.csv"
    assert (tmp_path / "done" / target).read_text() == "1"
    assert (tmp_path / "done" / f"{target}.result.json").read_text() == "2"
    place.close()


def test_results_can_be_in_a_folder_above(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "in/inner").mkdir(parents=True)
    (tmp_path / "in/inner/a.csv").write_text("1")
    place = open_place(tmp_path / "in", clock, results=str(tmp_path), recursive=True)
    assert [one.path for one in find(place, clock)] == ["inner/a.csv"]
    assert not place._is_own(str(tmp_path / "in/b.csv"))
    place.close()


def test_subfolders_are_left_alone_unless_the_source_is_recursive(
    place: FolderPlace, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/a.csv").write_text("1")
    assert find(place, clock) == []


def test_a_subfolder_that_becomes_a_link_leads_nowhere(tmp_path: Path, clock: Clock) -> None:
    """People who can write in the folder cannot make the server move files of other folders."""
    inbox, outside = tmp_path / "in", tmp_path / "outside"
    for folder in (inbox / "x", outside):
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text(folder.name)
    place = open_place(inbox, clock, recursive=True)
    place.find(0)
    clock.now += 1.1
    (inbox / "x").rename(tmp_path / "moved")
    (inbox / "x").symlink_to(outside)
    place._claim("x/a.csv")  # it was found before
    assert place.find(10) == []
    (inbox / "x").unlink()
    (tmp_path / "moved").rename(inbox / "x")
    (found,) = find(place, clock)
    (inbox / "done/x").symlink_to(outside)
    with pytest.raises(OSError, match="x"):
        place.finish(item(found, target="x/a.csv"), JSON, iter([b"1"]))
    place.close()
    assert tree(outside) == ["a.csv"]


def test_folders_that_cannot_be_listed_do_not_stop_the_others(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    place = open_place(tmp_path, clock, recursive=True)
    inner = PermissionError(13, "Permission denied", str(tmp_path / "inner"))
    for _ in range(2):
        place._refused(inner)
    place.close()
    assert caplog.text.count("inner is not watched: Permission denied") == 1
    with pytest.raises(PermissionError):
        place._refused(PermissionError(13, "Permission denied", str(tmp_path)))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EXDEV])
def test_files_that_cannot_be_moved_do_not_stop_the_others(
    code: int, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    place = open_place(tmp_path, clock, recursive=True)
    for folder in ("foreign", "own"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text("1")
    move = subfolders.move

    def refuse(source: Path, target: Path, path: str, to: str) -> None:
        if path.startswith(("foreign", "top")):
            raise OSError(code, os.strerror(code), "a.csv")
        move(source, target, path, to)

    monkeypatch.setattr(subfolders, "move", refuse)
    found = find(place, clock, most=1)
    assert [one.path for one in found] == ["own/a.csv"]
    assert place.find(1) == found
    assert caplog.text.count("foreign is not watched") == 1
    assert names(tmp_path / ".working") == [found[0].id, "server.lock"]
    (tmp_path / "top.csv").write_text("1")
    with pytest.raises(OSError, match=os.strerror(code)):
        find(place, clock)
    place.close()


def test_a_file_that_may_not_be_read_is_named(
    place: FolderPlace, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text("1")
    (found,) = find(place, clock)

    def refuse(folder: int, name: str) -> None:
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(folder_module, "_open", refuse)
    with pytest.raises(Forbidden, match="account may not read the file"):
        list(place.read(item(found)))


def test_claims_survive_a_crash(place: FolderPlace, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "a.csv").write_text("1")
    before = find(place, clock)
    (tmp_path / ".working/01ABC/inner").mkdir(parents=True)  # a crash before the rename
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


async def test_links_and_hidden_folders_are_not_watched(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("inner", "inner/deep", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("/")
    place = open_place(tmp_path, clock, recursive=True)
    watched: list[list[str]] = []
    notified: list[bool] = []

    async def awatch(*folders: str, recursive: bool, **options: Any) -> AsyncIterator[set[str]]:
        assert not recursive
        watched.append([one.removeprefix(str(tmp_path)) for one in folders])
        if len(watched) == 2:  # a folder was removed before it could be watched
            (tmp_path / "new").rmdir()
            raise FileNotFoundError
        if len(watched) == 3:
            raise OSError("the end of the test")
        yield set()
        (tmp_path / "new").mkdir()
        yield set()

    monkeypatch.setitem(sys.modules, "watchfiles", SimpleNamespace(awatch=awatch))
    with pytest.raises(OSError, match="the end"):
        await place.watch(lambda: notified.append(True))
    assert watched == [
        ["", "/inner", "/inner/deep"], ["", "/inner", "/inner/deep", "/new"],
        ["", "/inner", "/inner/deep"],
    ]  # fmt: skip
    assert len(notified) == 2
    place.close()


async def test_files_of_new_subfolders_wake_the_source(tmp_path: Path, clock: Clock) -> None:
    pytest.importorskip("watchfiles")
    place = open_place(tmp_path, clock, recursive=True)
    woken = asyncio.Event()
    watching = asyncio.create_task(place.watch(woken.set))
    async with asyncio.timeout(30):
        for name in ("new", "new/inner"):
            (tmp_path / name).mkdir()
            # Twice: the first event may be that of the folder.
            for number in range(2):
                woken.clear()
                while not woken.is_set() and not watching.done():
                    (tmp_path / name / f"{number}.csv").write_text("1")
                    await asyncio.sleep(0.02)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    place.close()


async def test_a_missing_package_is_named(
    place: FolderPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(NotReady, match=r"pip install 'easymlnb\[storage\]'"):
        await place.watch(lambda: None)
    polled = FolderPlace(Source(service="f", folder=str(tmp_path), polling=True))
    await polled.watch(lambda: None)
    assert polled.pause < 1.0
