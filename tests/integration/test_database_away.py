"""Calls are answered while the database neither answers nor closes a connection."""

from pathlib import Path

import httpx
import pytest

from support.notebooks import make_notebook
from support.postgres import paused, running
from support.server import running_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CELL = "import easymlnb as ml\n@ml.service\ndef add(a: int = 1) -> int:\n    return a + 1"


def test_calls_while_the_database_is_paused(tmp_path: Path) -> None:
    with running() as postgres:
        options = (f"--EasyMLNB.database_url={postgres.create()}",)
        with running_server(tmp_path, make_notebook(CELL), options=options) as server:
            key = server.http.post("keys", json={"services": ["add"]}).json()["key"]
            with_key = {"Authorization": f"Bearer {key}"}
            url = f"{server.url}easymlnb/services/add/call"
            with paused(postgres):
                answers = [server.call("add", a=number) for number in range(20)]
                answers += [
                    httpx.post(url, json={}, headers={**with_key, **more}, timeout=60)
                    for more in ({}, {"X-Timeout": "20"}, {"X-Easymlnb-Version": "1"})
                ]
                answers += [server.http.get(path) for path in ("services", "services/add")]
            assert [one.status_code for one in answers] == [200] * 25
            assert max(one.elapsed.total_seconds() for one in answers) < 10
            # What was counted meanwhile is stored once the database is back.
            server.wait_for(
                lambda: sum(row["calls"] for row in server.http.get("usage").json()["usage"]) == 23,
                "the calls are not counted",
            )
