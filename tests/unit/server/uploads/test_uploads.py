"""The table of uploads: whose they are, how far, how much, how long."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from easymlnb.contract.errors import (
    BadRequest,
    StorageFull,
    TooLarge,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadNotFound,
    UploadOffset,
    UploadQuota,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.uploads.spool import Spool
from easymlnb_server.uploads.uploads import (
    CLOSED_PAGE_SECONDS,
    MAX_PER_VISITOR,
    Upload,
    Uploader,
    Uploads,
)
from support.fakes import spec

MB = 2**20


def test_a_file_for_no_parameter_names_those_with_files(uploads: Uploads) -> None:
    with pytest.raises(BadRequest, match=r"no parameter 'nosuch'.*: table, film\.$"):
        uploads.begin(ME, TABLE, "nosuch", "x.csv", "", 1)
    with pytest.raises(BadRequest, match="takes no files"):
        uploads.begin(ME, of_files(), "", "x.csv", "", 1)


def of_files(**fields: tuple[list[str], int]) -> ServiceSpec:
    """Return a service whose parameters take files of these kinds and sizes."""
    properties = {
        name: {"x-easymlnb": {"accept": accept, "max_bytes": size}}
        for name, (accept, size) in fields.items()
    }
    return msgspec.structs.replace(spec("f"), input={"properties": properties})


TABLE = of_files(table=(["text/csv", ".csv"], 2 * MB), film=(["video/*"], 8 * MB))


ME, YOU = Uploader("me"), Uploader("you")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pages() -> set[tuple[str, str]]:
    """Who has a page of which service open."""
    return set()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path, 64 * MB, None, visitors=0.25)
    made.open()
    yield made
    made.close()


@pytest.fixture
def uploads(spool: Spool, clock: Clock, pages: set[tuple[str, str]]) -> Uploads:
    return Uploads(spool, 100.0, 16 * MB, clock, open_pages=lambda: pages)


def visitor(name: str) -> Uploader:
    return Uploader(f"pass {name}", name, visitor=True)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def sent(uploads: Uploads, data: bytes = b"a,b\n", owner: str = "me") -> Upload:
    made = uploads.begin(Uploader(owner), TABLE, "", "x.csv", "", len(data))
    made.begin(0, len(data))
    made.write(data)
    made.end()
    return made


def test_parts_follow_one_another(uploads: Uploads) -> None:
    made = uploads.begin(ME, TABLE, "table", "x.csv", "text/csv", 6)
    made.begin(0, 4)
    with pytest.raises(UploadOffset):  # one part at a time
        made.begin(0, 4)
    made.write(b"1234")
    made.end()
    for offset in (0, 3, 5):
        with pytest.raises(UploadOffset) as caught:
            made.begin(offset, 1)
        assert caught.value.details == {"offset": 4}
    with pytest.raises(TooLarge):
        made.begin(4, 3)
    made.begin(4, 2)
    made.write(b"56")
    made.end()
    assert uploads.files([made.id], "f")[0][1].read() == b"123456"
    assert made.file is not None
    assert made.file.path.stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize(
    ("field", "name", "kind", "size", "error"),
    [
        ("", "x.csv", "", 3 * MB, TooLarge),
        ("table", "x.csv", "text/csv", 2 * MB + 1, TooLarge),
        ("", "x.mp4", "", 9 * MB, TooLarge),
        ("", "x.exe", "", 1, UnsupportedMediaType),
        ("table", "x.mp4", "video/mp4", 1, UnsupportedMediaType),
        ("nosuch", "x.csv", "", 1, BadRequest),
    ],
)
def test_what_no_parameter_takes_is_refused_at_once(
    uploads: Uploads, field: str, name: str, kind: str, size: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        uploads.begin(ME, TABLE, field, name, kind, size)
    assert len(uploads) == 0


@pytest.mark.parametrize(
    ("name", "kind", "size"),
    [
        ("X.CSV", "application/vnd.ms-excel", 1),
        ("x.mp4", "", 8 * MB),
        ("", "", 8 * MB),
        ("", "", 0),
    ],
)
def test_what_a_parameter_takes_is_accepted(
    uploads: Uploads, name: str, kind: str, size: int
) -> None:
    assert uploads.begin(ME, TABLE, "", name, kind, size).offset == 0


def test_one_owner_has_a_quota(uploads: Uploads) -> None:
    for _ in range(2):
        last = uploads.begin(ME, TABLE, "film", "", "", 8 * MB)
    with pytest.raises(UploadQuota):
        uploads.begin(ME, TABLE, "", "x.csv", "", 1)
    uploads.begin(YOU, TABLE, "", "x.csv", "", 1)
    uploads.remove(last.id, "me")
    uploads.begin(ME, TABLE, "", "x.csv", "", 1)


def test_only_the_owner_sees_an_upload(uploads: Uploads) -> None:
    made = sent(uploads)
    for see in (uploads.get, uploads.remove):
        for id, owner in ((made.id, "you"), ("x" * 43, "me"), ("", "me")):
            with pytest.raises(UploadNotFound):
                see(id, owner)
    assert uploads.get(made.id, "me") is made


def test_only_calls_of_its_service_use_it_and_only_when_it_is_whole(uploads: Uploads) -> None:
    made = sent(uploads)
    half = uploads.begin(ME, TABLE, "", "x.csv", "", 10)
    assert uploads.files([made.id, made.id], "f") == ((made.id, made.file),)
    with pytest.raises(UploadNotFound):
        uploads.files([made.id], "g")
    with pytest.raises(UploadIncomplete):
        uploads.files([made.id, half.id], "f")


def test_it_expires_after_its_last_use(uploads: Uploads, clock: Clock) -> None:
    first, second = sent(uploads), sent(uploads)
    clock.now = 90
    uploads.files([second.id], "f")
    clock.now = 110
    assert uploads.sweep() == 1
    with pytest.raises(UploadNotFound):
        uploads.get(first.id, "me")
    assert uploads.get(second.id, "me") is second


def test_a_part_on_its_way_keeps_it(uploads: Uploads, clock: Clock) -> None:
    made = uploads.begin(ME, TABLE, "", "x.csv", "", 4)
    made.begin(0, 4)
    clock.now = 1000
    assert uploads.sweep() == 0


def test_a_call_keeps_what_was_removed_to_its_end(uploads: Uploads) -> None:
    made = sent(uploads)
    used = uploads.files([made.id], "f")
    path = used[0][1].path
    uploads.remove(made.id, "me")
    del made
    assert used[0][1].read() == b"a,b\n"
    del used
    assert not path.exists()


# callers who only announce, and visitors


def test_an_announced_upload_takes_no_descriptor_and_no_room(
    uploads: Uploads, spool: Spool
) -> None:
    before = descriptors()
    for _ in range(50):
        uploads.begin(ME, TABLE, "", "x.csv", "", 0)
    for _ in range(4):
        uploads.begin(YOU, TABLE, "film", "", "", 4 * MB)
    assert descriptors() == before
    spool.create_on_disk(60 * MB).reserve(60 * MB)


def test_what_is_there_takes_no_descriptor_between_its_parts(uploads: Uploads) -> None:
    before = descriptors()
    kept = [sent(uploads) for _ in range(20)]
    half = uploads.begin(ME, TABLE, "", "x.csv", "", 4)
    for part in (b"12", b"34"):
        half.begin(half.offset, len(part))
        half.write(part)
        half.end()
    assert descriptors() == before
    files = uploads.files([half.id, *(one.id for one in kept)], "f")
    assert [file.read() for _, file in files] == [b"1234", *[b"a,b\n"] * 20]
    assert descriptors() == before


def test_files_without_a_byte_share_one(uploads: Uploads) -> None:
    ids = [uploads.begin(ME, TABLE, "", "x.csv", "", 0).id for _ in range(50)]
    before = descriptors()
    files = uploads.files(ids, "f")
    assert {file.read() for _, file in files} == {b""}
    assert descriptors() == before


def test_visitors_together_have_a_share_that_leaves_room_for_others(
    uploads: Uploads, spool: Spool
) -> None:
    for name in "abcd":
        made = uploads.begin(visitor(name), TABLE, "film", "", "", 4 * MB)
        made.begin(0, 4 * MB)
        made.write(b"x" * 4 * MB)
        made.end()
    with pytest.raises(StorageFull, match="visitors"):
        uploads.begin(visitor("e"), TABLE, "", "x.csv", "", 1)
    assert sent(uploads).offset == 4
    uploads.remove(made.id, "pass d")
    del made
    uploads.begin(visitor("e"), TABLE, "", "x.csv", "", 1)


def test_bytes_beyond_the_share_of_visitors_are_refused_as_they_come(uploads: Uploads) -> None:
    announced = [uploads.begin(visitor(name), TABLE, "film", "", "", 4 * MB) for name in "abcde"]
    *first, last = announced
    for made in announced:
        made.begin(0, 4 * MB)
    for made in first:
        made.write(b"x" * 4 * MB)
    with pytest.raises(StorageFull, match="visitors"):
        last.write(b"x")
    assert sent(uploads).offset == 4


def test_a_visitor_has_less_than_all_visitors(uploads: Uploads) -> None:
    uploads.begin(visitor("a"), TABLE, "film", "", "", 4 * MB)
    with pytest.raises(UploadQuota):
        uploads.begin(visitor("a"), TABLE, "", "x.csv", "", 1)
    for _ in range(MAX_PER_VISITOR):
        uploads.begin(visitor("b"), TABLE, "", "x.csv", "", 0)
    with pytest.raises(UploadQuota):
        uploads.begin(visitor("b"), TABLE, "", "x.csv", "", 0)


def test_all_visitors_have_so_many_uploads(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("easymlnb_server.uploads.uploads.MAX_OF_VISITORS", 2)
    for name in "ab":
        uploads.begin(visitor(name), TABLE, "", "x.csv", "", 0)
    with pytest.raises(StorageFull):
        uploads.begin(visitor("c"), TABLE, "", "x.csv", "", 0)
    uploads.begin(ME, TABLE, "", "x.csv", "", 0)


def test_uploads_of_a_page_go_when_it_is_left_but_not_when_it_is_loaded_again(
    uploads: Uploads, clock: Clock, pages: set[tuple[str, str]]
) -> None:
    pages |= {("a", "f"), ("b", "f")}
    for name in "ab":
        uploads.begin(visitor(name), TABLE, "", "x.csv", "", 0)
    own = uploads.begin(ME, TABLE, "", "x.csv", "", 0)
    assert uploads.sweep() == 0
    pages.clear()
    assert uploads.sweep() == 0
    clock.now += CLOSED_PAGE_SECONDS / 2
    pages.add(("b", "f"))
    assert uploads.sweep() == 0
    pages.clear()
    clock.now += CLOSED_PAGE_SECONDS / 2 + 1
    assert uploads.sweep() == 1
    clock.now += CLOSED_PAGE_SECONDS + 1
    assert uploads.sweep() == 1
    assert uploads.get(own.id, "me") is own
