"""Clients that are generated from our OpenAPI document call services as they are."""

import base64
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from support import foreign_clients
from support.notebooks import make_notebook
from support.server import RunningServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SERVICES = """
from dataclasses import dataclass
from typing import Annotated, Literal

import easymlnb as ml
import numpy as np

@dataclass
class Point:
    x: float
    y: float = 0.0

@ml.service
def api_numbers(a: int, b: float = 0.5, way: Literal["sum", "product"] = "sum") -> float:
    "Add or multiply."
    return a + b if way == "sum" else a * b

@ml.service
def api_points(points: list[Point]) -> Point:
    return points[0]

@ml.service
def api_array(
    values: Annotated[np.ndarray, ml.Array("float64", (None,))],
) -> Annotated[np.ndarray, ml.Array("float64")]:
    return values * 2

@ml.service
def api_any(values: np.ndarray) -> np.ndarray:
    return values

@ml.service
def api_table(table: ml.Table) -> ml.Table:
    return table

@ml.service
def api_picture(
    image: Annotated[np.ndarray, ml.Image()],
) -> Annotated[np.ndarray, ml.Image()]:
    return 255 - image

@ml.service
def api_count(to: int):
    yield from range(to)
"""


def picture() -> str:
    target = io.BytesIO()
    Image.new("RGB", (4, 4)).save(target, "PNG")
    return f"data:image/png;base64,{base64.b64encode(target.getvalue()).decode()}"


@pytest.fixture(scope="module")
def server(session_server: RunningServer) -> Iterator[RunningServer]:
    foreign_clients.installed()
    found = session_server.publish(make_notebook(SERVICES), "api.ipynb")
    assert found["state"] == "ready", found
    yield session_server
    for one in found["services"]:
        session_server.http.delete(f"services/{one['name']}")


@pytest.fixture(scope="module")
def document(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_text(json.dumps(server.http.get("openapi.json").json()))
    return path


@pytest.fixture(scope="module")
def work(document: Path) -> Iterator[Path]:
    """A folder below which Node.js finds the packages, with both generated clients."""
    folder = Path(tempfile.mkdtemp(dir=foreign_clients.installed()))
    packages = foreign_clients.installed() / "node_modules"
    try:
        for name in ("openapi_fetch.ts", "openapi_hey.ts"):
            shutil.copy(foreign_clients.ROOT / name, folder / name)
        node = foreign_clients.node()
        types = packages / "openapi-typescript/bin/cli.js"
        foreign_clients.run(node, types, document, "-o", folder / "schema.d.ts")
        hey = packages / "@hey-api/openapi-ts/bin/run.js"
        foreign_clients.run(node, hey, "-i", document, "-o", folder / "hey", cwd=folder)
        yield folder
    finally:
        shutil.rmtree(folder)


def check(found: dict[str, Any], server: RunningServer) -> None:
    assert found["numbers"] == 7.0
    assert found["wrong"] == [422, "invalid_input"]
    assert found["point"] == {"x": 1.5, "y": 0.0}
    assert found["array"] == [2.0, 4.0]
    assert found["any"] == [[1, 2], [3, 4]]
    assert found["table"] == 200
    assert found["picture"] == "data:image/png;base64,"
    assert json.loads(found["count"]) == [0, 1, 2]
    assert found["listed"] == len(server.http.get("services?limit=50").json()["services"])


def test_openapi_python_client(server: RunningServer, document: Path, tmp_path: Path) -> None:
    command = foreign_clients.python().parent / "openapi-python-client"
    made = foreign_clients.run(
        command, "generate", "--path", document, "--output-path", tmp_path / "generated",
        "--meta", "none",
    )  # fmt: skip
    for trouble in ("Unable to parse", "Unable to process", "Could not find", "duplicate"):
        assert trouble not in made, made
    url = f"{server.url}easymlnb"
    arguments = (tmp_path, url, server.token, picture())
    check(foreign_clients.run_python("openapi_python.py", *arguments), server)


@pytest.mark.parametrize(
    "client", ["openapi_fetch", pytest.param("openapi_hey", marks=pytest.mark.nightly)]
)
def test_typescript_clients(server: RunningServer, work: Path, client: str) -> None:
    node, packages = foreign_clients.node(), foreign_clients.installed() / "node_modules"
    options = ("--strict", "--noEmit", "--skipLibCheck", "--target", "es2022", "--module", "esnext",
               "--moduleResolution", "bundler")  # fmt: skip
    checked = foreign_clients.run(
        node, packages / "typescript/bin/tsc", *options, work / f"{client}.ts", cwd=work
    )
    assert checked == ""
    bundle = ("--bundle", "--format=esm", "--platform=node", f"--outfile={client}.mjs")
    foreign_clients.run(
        packages / "esbuild/bin/esbuild",
        "--log-level=error",
        f"{client}.ts",
        *bundle,
        cwd=work,
    )
    url = f"{server.url}easymlnb"
    found = foreign_clients.run(node, work / f"{client}.mjs", url, server.token, picture())
    check(json.loads(found), server)
