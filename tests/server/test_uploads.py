"""The table of uploads: whose they are, how far, how much, how long."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from fakes import spec

from easymlnb.contract.errors import (
    TooLarge,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadNotFound,
    UploadOffset,
    UploadQuota,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.spool import Spool
from easymlnb_server.uploads import Upload, Uploads

MB = 2**20


def of_files(**fields: tuple[list[str], int]) -> ServiceSpec:
    """Return a service whose parameters take files of these kinds and sizes."""
    properties = {
        name: {"x-easymlnb": {"accept": accept, "max_bytes": size}}
        for name, (accept, size) in fields.items()
    }
    return msgspec.structs.replace(spec("f"), input={"properties": properties})


TABLE = of_files(table=(["text/csv", ".csv"], 2 * MB), film=(["video/*"], 8 * MB))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def uploads(tmp_path: Path, clock: Clock) -> Iterator[Uploads]:
    spool = Spool(tmp_path, 64 * MB, None)
    spool.open()
    yield Uploads(spool, 100.0, 16 * MB, clock)
    spool.close()


def sent(uploads: Uploads, data: bytes = b"a,b\n", owner: str = "me") -> Upload:
    made = uploads.begin(owner, TABLE, "", "x.csv", "", len(data))
    made.begin(0, len(data))
    made.file.write(data)
    made.end()
    return made


def test_parts_follow_one_another(uploads: Uploads) -> None:
    made = uploads.begin("me", TABLE, "table", "x.csv", "text/csv", 6)
    made.begin(0, 4)
    with pytest.raises(UploadOffset):  # one part at a time
        made.begin(0, 4)
    made.file.write(b"1234")
    made.end()
    for offset in (0, 3, 5):
        with pytest.raises(UploadOffset) as caught:
            made.begin(offset, 1)
        assert caught.value.details == {"offset": 4}
    with pytest.raises(TooLarge):
        made.begin(4, 3)
    made.begin(4, 2)
    made.file.write(b"56")
    made.end()
    assert uploads.files([made.id], "f")[0][1].read() == b"123456"
    assert made.file.path.stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize(
    ("field", "name", "kind", "size", "error"),
    [
        ("", "x.csv", "", 3 * MB, TooLarge),
        ("table", "x.csv", "text/csv", 2 * MB + 1, TooLarge),
        ("", "x.mp4", "", 9 * MB, TooLarge),
        ("", "x.exe", "", 1, UnsupportedMediaType),
        ("table", "x.mp4", "video/mp4", 1, UnsupportedMediaType),
        ("nosuch", "x.csv", "", 1, UnsupportedMediaType),
    ],
)
def test_what_no_parameter_takes_is_refused_at_once(
    uploads: Uploads, field: str, name: str, kind: str, size: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        uploads.begin("me", TABLE, field, name, kind, size)
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
    assert uploads.begin("me", TABLE, "", name, kind, size).offset == 0


def test_one_owner_has_a_quota(uploads: Uploads) -> None:
    for _ in range(2):
        last = uploads.begin("me", TABLE, "film", "", "", 8 * MB)
    with pytest.raises(UploadQuota):
        uploads.begin("me", TABLE, "", "x.csv", "", 1)
    uploads.begin("you", TABLE, "", "x.csv", "", 1)
    uploads.remove(last.id, "me")
    uploads.begin("me", TABLE, "", "x.csv", "", 1)


def test_only_the_owner_sees_an_upload(uploads: Uploads) -> None:
    made = sent(uploads)
    for see in (uploads.get, uploads.remove):
        for id, owner in ((made.id, "you"), ("x" * 43, "me"), ("", "me")):
            with pytest.raises(UploadNotFound):
                see(id, owner)
    assert uploads.get(made.id, "me") is made


def test_only_calls_of_its_service_use_it_and_only_when_it_is_whole(uploads: Uploads) -> None:
    made = sent(uploads)
    half = uploads.begin("me", TABLE, "", "x.csv", "", 10)
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
    made = uploads.begin("me", TABLE, "", "x.csv", "", 4)
    made.begin(0, 4)
    clock.now = 1000
    assert uploads.sweep() == 0


def test_a_call_keeps_what_was_removed_to_its_end(uploads: Uploads) -> None:
    made = sent(uploads)
    used, path = uploads.files([made.id], "f"), made.file.path
    uploads.remove(made.id, "me")
    del made
    assert used[0][1].read() == b"a,b\n"
    del used
    assert not path.exists()
