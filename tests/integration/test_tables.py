"""Tables on their whole way: as bodies, parts of a form, uploads, by the client and back."""

import io
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import pandas as pd
import pytest

from easymlnb.client import connect
from easymlnb.contract.errors import InvalidInput
from support.notebooks import make_notebook
from support.server import RunningServer

SERVICES = """
import easymlnb as ml
import numpy as np, pandas as pd
from typing import Any

@ml.service
def tables_echo(table: pd.DataFrame) -> pd.DataFrame:
    return table

@ml.service
def tables_odd() -> Any:
    times = np.array(["2025-01-31", "NaT"], "M8[ns]")
    frame = pd.DataFrame({"bin": pd.cut([1, 9], [0, 5, 10]), "list": [[1], None]})
    return {"table": frame, "times": times, "masked": np.ma.array([1, 999], mask=[0, 1])}

@ml.service
def tables_bins() -> pd.DataFrame:
    return pd.DataFrame({"bin": pd.cut([1, 9], [0, 5, 10]), "list": [[1], None]})
"""

TEXT = "stadt;wert\nKöln;1,5\nBonn;2,25\n"
ROWS = [{"stadt": "Köln", "wert": 1.5}, {"stadt": "Bonn", "wert": 2.25}]


@pytest.fixture(scope="module")
def http(session_server: RunningServer) -> Iterator[httpx.Client]:
    found = session_server.publish(make_notebook(SERVICES), "tables.ipynb")
    assert found["state"] == "ready", found
    yield session_server.http


def test_a_charset_counts_in_bodies_forms_and_uploads(http: httpx.Client) -> None:
    url, data = "services/tables_echo/call", TEXT.encode("windows-1252")
    kind = "text/csv; charset=windows-1252"
    answers = [http.post(url, content=data, headers={"Content-Type": kind})]
    answers.append(http.post(url, files={"table": ("t.csv", data, kind)}))
    about = {"name": "t.csv", "media_type": kind, "size": len(data)}
    made = http.post("uploads", params={"service": "tables_echo"}, json=about)
    assert made.status_code == 201, made.text
    id = made.json()["id"]
    http.put(f"uploads/{id}", params={"offset": 0}, content=data).raise_for_status()
    table = {"upload": id, "name": "t.csv", "media_type": kind}
    headers = {"X-Easymlnb-Uploads": id}
    answers.append(http.post(url, json={"table": table}, headers=headers))
    for answer in answers:
        assert answer.json() == ROWS, answer.text


def test_tables_go_to_a_service_and_back_with_the_client(
    http: httpx.Client, session_server: RunningServer, tmp_path: Path
) -> None:
    with connect(session_server.url, session_server.token) as client:
        frame = pd.DataFrame({"year": [2020, 2021], "mixed": [1, "a"], "code": ["007", "NA"]})
        found = client.tables_echo(table=frame.set_index("year"))
        # Arrow, in which the answer comes, has no type for the mixed column.
        mixed = ["1", "a"] if find_spec("pyarrow") else [1, "a"]
        assert found.to_dict("list") == {**frame.to_dict("list"), "mixed": mixed}
        (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04 xl/workbook.xml")
        with pytest.raises(InvalidInput, match="Excel files are not supported"):
            client.tables_echo(table=tmp_path / "t.xlsx")
        odd = client.tables_odd()
        assert odd["table"][0] == {"bin": "(0, 5]", "list": [1]}
        assert odd["times"] == ["2025-01-31T00:00:00", None] and odd["masked"] == [1, None]
        assert client.tables_bins()["bin"].tolist() == ["(0, 5]", "(5, 10]"]


def test_a_table_is_answered_in_every_form(http: httpx.Client) -> None:
    def get(accept: str) -> httpx.Response:
        url = "services/tables_bins/call"
        return http.post(url, json={}, headers={"Accept": accept}).raise_for_status()

    assert get("application/json").json()[0] == {"bin": "(0, 5]", "list": [1]}
    assert get("text/csv").text == 'bin,list\n"(0, 5]",[1]\n"(5, 10]",\n'
    pyarrow = pytest.importorskip("pyarrow")
    body = get("application/vnd.apache.arrow.stream").content
    found = pyarrow.ipc.open_stream(io.BytesIO(body)).read_all()
    assert found["bin"].to_pylist() == ["(0, 5]", "(5, 10]"]
