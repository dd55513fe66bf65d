"""A locked version keeps its packages when those of its kernel change; others show the drift."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import nbformat
import pytest

from support.locked import KernelEnvironment, make_kernel, make_wheelhouse, wheel
from support.notebooks import make_notebook
from support.server import RunningServer, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CELL = """
import easymlnb as ml
import tiny_pure
import own_pure
import edit_pure

@ml.service(name="{name}", examples=[{{}}])
def {name}() -> list[float]:
    return [tiny_pure.VALUE, own_pure.VALUE, edit_pure.VALUE]
"""

PROJECT = """
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
[project]
name = "edit_pure"
version = "1.0"
[tool.setuptools]
py-modules = ["edit_pure"]
"""


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages that workers need, made from those that are installed here."""
    return make_wheelhouse(tmp_path_factory.mktemp("wheelhouse"))


@pytest.fixture(scope="module")
def kernel(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> KernelEnvironment:
    folder = tmp_path_factory.mktemp("kernel")
    made = make_kernel(folder / "environment", wheelhouse)
    made.pip(wheel(folder, "own_pure", "1.0"))
    source = made.folder / "source"
    source.mkdir()
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "edit_pure.py").write_text("VALUE = 1.0")
    made.pip("--no-build-isolation", "--no-deps", "-e", source)
    return made


@pytest.fixture(scope="module")
def server(
    wheelhouse: Path, kernel: KernelEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    made = RunningServer(
        folder, free_port(), options=(f"--EasyMLNB.environment_wheelhouse={wheelhouse}",)
    )
    kernel.register("tiny", str(folder / "data"))
    made.start()
    yield made
    made.stop()


def notebook(server: RunningServer, name: str) -> Path:
    made = make_notebook(CELL.format(name=name))
    made.metadata["kernelspec"] = {"name": "tiny", "display_name": "Tiny", "language": "python"}
    path = server.root / f"{name}.ipynb"
    nbformat.write(made, path)
    return path


def test_a_locked_version_keeps_its_packages(
    server: RunningServer, kernel: KernelEnvironment, wheelhouse: Path
) -> None:
    publish = partial(kernel.publish, server.url, server.token, wheelhouse)
    said = publish(notebook(server, "loose"))
    said = publish(notebook(server, "fixed"), "--locked")
    assert "The bundle contains wheels of edit-pure, own-pure." in said
    assert "Building the locked environment" in said
    publish(notebook(server, "second"), "--locked")
    built = list((server.folder / "data/easymlnb/environments").iterdir())
    assert sorted(len(path.name) for path in built) == [24, 64]  # easymlnb, and one environment
    kernel.pip("--find-links", wheelhouse, "-U", "tiny_pure==2.0")
    kernel.pip(wheel(kernel.folder, "own_pure", "3.0"))
    (kernel.folder / "source/edit_pure.py").write_text("VALUE = 4.0")
    server.stop()
    server.start()
    server.wait_for(
        lambda: {server.state(name) for name in ("loose", "fixed", "second")} == {"ready"},
        "the services did not start",
    )
    assert server.call("fixed").json() == server.call("second").json() == [1.0, 1.0, 1.0]
    assert server.call("loose").json() == [2.0, 3.0, 4.0]
    drift = {"own-pure": ["1.0", "3.0"], "tiny-pure": ["1.0", "2.0"]}
    assert server.http.get("services/loose").json()["drift"]["changed"] == drift
    assert "drift" not in server.http.get("services/fixed").json()
    assert "tiny-pure 1.0" in server.http.get("services/loose/page").text
    made = server.http.get("services/fixed/versions/1/provenance").json()
    assert (made["environment"], len(made["lock"])) == ("locked", 64)
    assert made["drift"] == {"changed": {}, "missing": {}}
    assert "tiny-pure 1.0 -> 2.0" in server.log
