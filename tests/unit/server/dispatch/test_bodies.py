"""How a body gets to a kernel: by the path of its file, or in the frame to one elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from easymlnb.contract.worker_protocol import Call, unpack_to_worker
from easymlnb_server.dispatch.bodies import FileBody, frame
from easymlnb_server.uploads.spool import Spool, SpooledFile


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path, 2**20, None)
    made.open()
    yield made
    made.close()


def spooled(spool: Spool, data: bytes) -> SpooledFile:
    made = spool.create(len(data))
    made.write(data)
    return made


def sent(call: Call, body: bytes | FileBody, spool: Spool, *, here: bool) -> tuple[Call, bytes]:
    ((message, content),) = unpack_to_worker(
        frame(call, body, spool.open_file_share() if here else None)
    )
    assert isinstance(message, Call)
    return message, content


@pytest.mark.parametrize("here", [True, False])
def test_a_small_body_is_in_the_frame(spool: Spool, here: bool) -> None:
    call, content = sent(Call(id=1, service="f"), b"body", spool, here=here)
    assert (content, call.file, call.uploads, bool(call.result_folder)) == (b"body", "", (), here)


def test_a_kernel_on_this_host_gets_paths(spool: Spool) -> None:
    file, upload = spooled(spool, b"large"), spooled(spool, b"sent before")
    body = FileBody(file=file, uploads=(("ID", upload),))
    call, content = sent(Call(id=1, service="f"), body, spool, here=True)
    assert (content, call.file) == (b"", str(file.path))
    assert call.uploads == (("ID", str(upload.path), 11),)
    call, content = sent(Call(id=1, service="f"), FileBody(data=b"{}"), spool, here=True)
    assert (content, call.file) == (b"{}", "")


def test_a_kernel_elsewhere_gets_all_bytes(spool: Spool) -> None:
    body = FileBody(
        file=spooled(spool, b"large"),
        uploads=(("A", spooled(spool, b"one")), ("B", spooled(spool, b"four"))),
    )
    call, content = sent(Call(id=1, service="f"), body, spool, here=False)
    assert (content, call.file, call.result_folder) == (b"largeonefour", "", "")
    assert call.uploads == (("A", "", 3), ("B", "", 4))
