"""Batches in a worker: tables are read in blocks, rows run in groups, results are written."""

import csv
import io
import os
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest

import easymlnb as ml
from easymlnb.contract.batch_protocol import (
    BLOCK_ROWS,
    JoinRequest,
    RowError,
    RowsReply,
    RowsRequest,
    ScanReply,
    ScanRequest,
    operation_name,
)
from easymlnb.contract.errors import BadRequest, EasyMLNBError
from easymlnb.contract.spec import Batch
from easymlnb.contract.worker_protocol import Call, Failure, Progress
from easymlnb.runtime.batches import csv_source
from easymlnb.runtime.batches.operations import run_operation
from easymlnb.services.definition import Service, define


def ask(service: Service, operation: str, message: Any, *tables: bytes | Path) -> Any:
    """Run an operation; raise its error."""
    kinds = {"scan": ScanReply, "rows": RowsReply}
    parts = [str(number) for number in range(len(tables))]
    call = Call(
        id=1,
        service=operation_name(service.name, operation),
        progress=True,
        uploads=tuple(
            (id, str(one), 0) if isinstance(one, Path) else (id, "", len(one))
            for id, one in zip(parts, tables, strict=True)
        ),
    )
    body = msgspec.msgpack.encode(message)
    body += b"".join(one for one in tables if isinstance(one, bytes))
    end, answer = run_operation(
        service, operation, call, body, events.append, lambda ids: nullcontext()
    )
    if isinstance(end, Failure):
        raise EasyMLNBError(end.message)
    return msgspec.msgpack.decode(answer, type=kinds[operation]) if operation in kinds else answer


events: Any = type("Events", (list,), {"append": lambda self, *event: list.append(self, event)})()


def run(
    service: Service, table: bytes | Path, **options: Any
) -> tuple[list[list[str]], list[RowError], ScanReply]:
    """Run all rows of a table; return the result as rows of text, and the errors."""
    scanned = ask(service, "scan", ScanRequest(**options), table)
    text, errors, first = scanned.header, [], 0
    reply = scanned
    while True:
        for block in reply.blocks:
            at = 0
            while at < block.rows:
                request = RowsRequest(
                    plan=scanned.plan, data=block.data, first=first, start=at, seconds=60
                )
                done = ask(service, "rows", request)
                text, at = text + done.piece, done.stop
                errors += done.errors
            first += block.rows
        if reply.complete:
            break
        request = ScanRequest(plan=scanned.plan, position=reply.position, **options)
        reply = ask(service, "scan", request, table)
    return list(csv.reader(io.StringIO(text.decode()))), errors, scanned


def add(a: int, b: float = 0.5, note: str = "") -> float:
    if a == 13:
        raise ValueError("unlucky")
    return a + b


ADD = define(add)


def test_rows_of_csv_keep_their_order_and_failures_are_listed() -> None:
    table = b"a,b,note\n1,2,x\n13,0,y\nno,0,z\n4,,\n5,6\n"
    rows, errors, scanned = run(ADD, table)
    assert rows == [
        ["a", "b", "note", "result"],
        ["1", "2", "x", "3.0"],
        ["13", "0", "y", ""],
        ["no", "0", "z", ""],
        ["4", "", "", "4.5"],
        ["5", "6", "", ""],
    ]
    assert [error.row for error in errors] == [2, 3, 5]
    assert [error.code for error in errors] == ["call_failed", "invalid_input", "bad_request"]
    assert "ValueError" in errors[0].message
    assert "a" in errors[1].message
    assert "2 cells" in errors[2].message
    assert scanned.complete and scanned.kind == "csv"


def test_tables_of_excel_in_german_are_read() -> None:
    rows, errors, _ = run(ADD, "\ufeffa;b\r\n1;2,5\r\n2;\r\n".encode())
    assert not errors
    assert rows[1:] == [["1;2", "5;3", "5"], ["2;;2", "5"]]  # decimal commas, as they came


def test_a_scan_continues_where_it_stopped(tmp_path: Path) -> None:
    count = 2 * BLOCK_ROWS + 7
    table = tmp_path / "table.csv"
    table.write_text("a,note\n" + "".join(f'{n},"x\n{n}"\n' for n in range(count)))
    rows, errors, scanned = run(ADD, table, seconds=0.0)
    assert not scanned.complete and 0 < scanned.share < 1
    assert [error.row for error in errors] == [14]
    assert [row[0] for row in rows[1:]] == [str(n) for n in range(count)]
    assert rows[1][2] == "0.5"


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (b"", "empty"),
        (b"a,b\n", "no rows"),
        (b"b\n1\n", "Column 'a' is missing. The table has: 'b'."),
        (b"a,B\n1,2\n", "Column 'B' is no parameter of the service. Did you mean 'b'?"),
        (b"a,a\n1,2\n", "two columns named 'a'"),
        (b"a,,b\n1,2,3\n", "Column 2 has no name"),
        (b"a,b\nx,1\ny,2\n", "None of the first 2 rows is usable. Row 1:"),
        (b'a,note\n1,"open\n2,x\n', "double quote"),
        (b"a,note\n1,\xe4\n", "not text in utf-8"),
        ("a\n1\n".encode("utf-16"), "UTF-16"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old", "Excel"),
        (b"PAR1 broken", "parquet file is damaged"),
        (b"PK\x03\x04 broken", "no parameter does"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_before_the_first_call(
    table: bytes, sentence: str
) -> None:
    with pytest.raises(EasyMLNBError, match=sentence.replace(".", r"\.").replace("?", r"\?")):
        ask(ADD, "scan", ScanRequest(), table)


def test_a_huge_file_without_line_breaks_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_source, "MAX_LINE", 100_000)
    table = tmp_path / "table.csv"
    table.write_text("a,note\n1,x\n2," + "x" * 200_000)
    with pytest.raises(EasyMLNBError, match=r"line of more than .* after byte 11\. Rows must"):
        ask(ADD, "scan", ScanRequest(), table)


def test_values_for_all_rows_and_columns_that_are_kept() -> None:
    rows, errors, _ = run(ADD, b"id,a\nA7,1\n", values={"b": 10}, keep=True)
    assert not errors
    assert rows == [["id", "a", "result"], ["A7", "1", "11.0"]]
    with pytest.raises(EasyMLNBError, match="also a value for all rows"):
        ask(ADD, "scan", ScanRequest(values={"b": 1}, keep=True), b"a,b\n1,2\n")
    with pytest.raises(EasyMLNBError, match="'c' is a value for all rows, but no parameter"):
        ask(ADD, "scan", ScanRequest(values={"c": 1}), b"a\n1\n")


def test_batched_services_run_groups_and_columns_may_be_fields() -> None:
    from pydantic import BaseModel

    class Row(BaseModel):
        width: float
        kind: str | None

    class Size(BaseModel):
        area: float
        kind: str

    sizes: list[int] = []

    def area(row: ml.Batched[Row]) -> list[Size]:
        sizes.append(len(row))
        if any(one.width < 0 for one in row):
            raise ValueError("negative")
        return [Size(area=one.width**2, kind=one.kind or "none") for one in row]

    service = define(area, batch=Batch(max_size=4))
    table = b"width,kind\n1,a\n2,\n-1,b\n3,c\n4,d\n"
    rows, errors, _ = run(service, table)
    assert rows == [
        ["width", "kind", "area", "result_kind"],
        ["1", "a", "1.0", "a"],
        ["2", "", "4.0", "none"],
        ["-1", "b", "", ""],
        ["3", "c", "9.0", "c"],
        ["4", "d", "16.0", "d"],
    ]
    assert [error.row for error in errors] == [3]
    assert sizes == [4, 1, 1, 1, 1, 1]  # the group with the bad row runs again one by one


def test_rows_that_ended_their_worker_are_left_out() -> None:
    scanned = ask(ADD, "scan", ScanRequest(), b"a\n1\n2\n3\n")
    (block,) = scanned.blocks
    lost = RowError(row=2, code="worker_lost", message="The worker was lost.")
    request = RowsRequest(
        plan=scanned.plan, data=block.data, first=0, start=1, seconds=0, failed=[lost]
    )
    reply = ask(ADD, "rows", request)
    assert (reply.stop, reply.errors, reply.piece) == (2, [lost], b"2,\n")
    events.clear()
    assert ask(ADD, "rows", msgspec.structs.replace(request, start=0, seconds=60)).stop == 3
    (reported,) = [message for message, _ in events if isinstance(message, Progress)]
    assert reported.text == "0"
    events.clear()
    careful = msgspec.structs.replace(request, start=0, seconds=60, careful=True)
    assert ask(ADD, "rows", careful).stop == 3
    assert [m.text for m, _ in events if isinstance(m, Progress)] == ["0", "1", "2"]


def test_a_call_with_rows_ends_when_its_time_is_over() -> None:
    scanned = ask(ADD, "scan", ScanRequest(), b"a\n1\n2\n3\n")
    (block,) = scanned.blocks
    request = RowsRequest(plan=scanned.plan, data=block.data, first=0, start=0, seconds=0)
    assert ask(ADD, "rows", request).stop == 1


def invert(
    image: Annotated[np.ndarray, ml.Image()], strength: int = 255
) -> Annotated[np.ndarray, ml.Image()]:
    return (strength - image).astype("uint8")


def png(value: int) -> bytes:
    from PIL import Image

    sink = io.BytesIO()
    Image.new("L", (3, 2), value).save(sink, "PNG")
    return sink.getvalue()


def test_files_of_a_zip_become_files() -> None:
    service = define(invert)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("cells/", "")
        archive.writestr("cells/a.png", png(10))
        archive.writestr("__MACOSX/cells/._a.png", b"hidden")
        archive.writestr("cells/broken.png", b"no image")
    scanned = ask(service, "scan", ScanRequest(), sink.getvalue())
    assert scanned.kind == "zip"
    assert scanned.header == b"file,result_file\n"
    (block,) = scanned.blocks
    reply = ask(
        service,
        "rows",
        RowsRequest(plan=scanned.plan, data=block.data, first=0, start=0, seconds=60),
    )
    ((name, data),) = reply.files
    assert name == "cells/a.png"
    assert data.startswith(b"\x89PNG")
    assert reply.piece == b"cells/a.png,cells/a.png\ncells/broken.png,\n"
    assert [error.row for error in reply.errors] == [2]


def test_several_uploads_are_rows(tmp_path: Path) -> None:
    service = define(invert)
    file = tmp_path / "one"
    file.write_bytes(png(1))
    request = ScanRequest(names=("x.png", "y.png"), values={"strength": 5})
    scanned = ask(service, "scan", request, file, png(2))
    assert [block.rows for block in scanned.blocks] == [1, 1]


def test_parquet_keeps_its_types_and_pieces_are_joined() -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table({"a": pa.array([1, 2, 13], pa.int16()), "note": ["x", None, "z"]})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    scanned = ask(ADD, "scan", ScanRequest(), sink.getvalue())
    (block,) = scanned.blocks
    pieces = []
    for start in range(3):
        request = RowsRequest(plan=scanned.plan, data=block.data, first=0, start=start, seconds=0)
        pieces.append(ask(ADD, "rows", request).piece)
    joined = ask(ADD, "join", JoinRequest(sizes=[len(piece) for piece in pieces]), b"".join(pieces))
    found = pq.read_table(io.BytesIO(joined))
    assert found.schema.field("a").type == pa.int16()
    assert found.to_pydict() == {
        "a": [1, 2, 13],
        "note": ["x", None, "z"],
        "result": [1.5, 2.5, None],
    }


def test_columns_of_parquet_are_checked() -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.table({"a": ["x", "y"]}), sink)
    with pytest.raises(EasyMLNBError, match="None of the first 2 rows is usable"):
        ask(ADD, "scan", ScanRequest(), sink.getvalue())


def test_prints_and_tracebacks_are_collected() -> None:
    def talk(a: int) -> int:
        print("row", a)
        return 1 // a

    service = define(talk)
    scanned = ask(service, "scan", ScanRequest(), b"a\n1\n0\n")
    (block,) = scanned.blocks
    request = RowsRequest(plan=scanned.plan, data=block.data, first=0, start=0, seconds=60)
    log = ask(service, "rows", request).log
    assert "row 1\n" in log and "ZeroDivisionError" in log


def test_a_service_without_a_file_refuses_a_zip() -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("[Content_Types].xml", os.urandom(3))
    with pytest.raises(EasyMLNBError):
        ask(ADD, "scan", ScanRequest(), sink.getvalue())
    with pytest.raises(EasyMLNBError, match="Excel"):
        ask(define(invert), "scan", ScanRequest(), sink.getvalue())
    assert issubclass(BadRequest, EasyMLNBError)
