"""Large files of a call: sent in parts before it, named in it, taken back after it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from easymlnb.client import AsyncClient, Client, uploads
from easymlnb.client.discovery import Server
from easymlnb.contract.errors import TooLarge

SERVER = Server("http://localhost:1/easymlnb/", "secret")
READ = {
    "name": "read",
    "title": "Read",
    "input": {
        "type": "object",
        "properties": {
            "doc": {"x-easymlnb": {"widget": "file", "accept": ["*/*"]}},
            "path": {"type": "string"},
        },
    },
    "output": {"type": "integer"},
}


class Uploading:
    """A server of one service that takes parts of four bytes."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.said: list[tuple[str, str]] = []
        self.data = b""
        self.call: Any = None
        self.named = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/easymlnb/")
        self.said.append((request.method, path))
        if path == "services/read":
            return httpx.Response(200, json=READ)
        if path == "uploads":
            assert dict(request.url.params) == {"service": "read", "field": "doc"}
            if self.refuses:
                error = {"code": "too_large", "message": "Too large."}
                return httpx.Response(413, json={"error": error})
            return httpx.Response(201, json={"id": "ID", "offset": 0, "chunk": 4})
        if request.method == "PUT":
            assert int(request.url.params["offset"]) == len(self.data)
            self.data += request.content
            return httpx.Response(200, json={"offset": len(self.data)})
        if request.method == "DELETE":
            return httpx.Response(204)
        self.call, self.named = json.loads(request.content), request.headers[uploads.HEADER]
        return httpx.Response(200, json=len(self.data))


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(uploads, "LARGE", 5)
    path = tmp_path / "film.mp4"
    path.write_bytes(b"0123456789")
    return path


def called(server: Uploading, kind: str, **values: Any) -> Any:
    if kind == "sync":
        with Client(SERVER, transport=httpx.MockTransport(server)) as client:
            return client.read(**values)

    async def run() -> Any:
        async with AsyncClient(SERVER, transport=httpx.MockTransport(server)) as client:
            return await client.read(**values)

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_large_file_is_sent_in_parts_and_taken_back(film: Path, kind: str) -> None:
    server = Uploading()
    assert called(server, kind, doc=film) == 10
    assert server.data == film.read_bytes()
    told = {"upload": "ID", "name": "film.mp4", "media_type": "video/mp4"}
    assert (server.call, server.named) == ({"doc": told}, "ID")
    assert [method for method, _ in server.said] == ["GET", "POST", *["PUT"] * 3, "POST", "DELETE"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_file_that_is_too_large_is_not_sent(film: Path, kind: str) -> None:
    server = Uploading(refuses=True)
    with pytest.raises(TooLarge):
        called(server, kind, doc=film)
    assert (server.data, server.call) == (b"", None)


def test_small_files_and_what_takes_none_stay_in_the_call(film: Path, tmp_path: Path) -> None:
    from easymlnb.contract.spec import ServiceSpec

    small = tmp_path / "small"
    small.write_bytes(b"123")
    spec = ServiceSpec.from_dict(READ)
    assert uploads.large_files(spec, {"doc": small, "path": film, "other": 1}) == {}
    assert uploads.large_files(spec, {"doc": film}) == {"doc": film}
