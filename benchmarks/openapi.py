"""Requests that schemathesis makes from our OpenAPI document: the server does what it says.

Takes some minutes. `tests/integration/test_openapi_fuzz.py` is the short form.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
from common import TOKEN, easymlnb, publish

SOURCE = """
import easymlnb as ml
from dataclasses import dataclass
from typing import Literal

@dataclass
class Point:
    x: float
    y: float = 0.0

@ml.service
def add(a: int, b: int = 2, way: Literal["sum", "product"] = "sum") -> float:
    return float(a + b if way == "sum" else a * b)

@ml.service
def points(points: list[Point]) -> int:
    return len(points)

@ml.service
def same(table: ml.Table) -> ml.Table:
    return table

@ml.service
def ticks(to: int):
    yield from range(min(to, 10))
"""
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503, 504, 507]
"""
HOOKS = """
import schemathesis

@schemathesis.serializer("application/zip")
def zipped(context: object, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
"""
"""How it sends bundles and models: it has no way of its own."""

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,response_headers_conformance,unsupported_method"
)


def main() -> int:
    with tempfile.TemporaryDirectory() as name, easymlnb(Path(name), app_kernels=0) as url:
        folder = Path(name)
        publish(url, SOURCE, "api")
        headers = {"Authorization": f"token {TOKEN}"}
        document = folder / "openapi.json"
        document.write_text(json.dumps(httpx.get(f"{url}openapi.json", headers=headers).json()))
        config = folder / "schemathesis.toml"
        config.write_text(CONFIG)
        (folder / "hooks.py").write_text(HOOKS)
        command = [
            Path(sys.executable).parent / "schemathesis", "--config-file", config, "run", document,
            "--url", url.rstrip("/"), "-H", f"Authorization: token {TOKEN}",
            "--phases", "examples,coverage,fuzzing", "-n", "25", "--seed", "1",
            "--checks", CHECKS, "--exclude-method", "DELETE", "--exclude-path", "/link",
            "--no-color",
        ]  # fmt: skip
        environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": name}
        words = [str(part) for part in command]
        return subprocess.run(words, cwd=folder, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
