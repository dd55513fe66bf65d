"""The kernel side alone: what ``pip install easymlnb`` brings is enough for kernels and workers."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest

from support.environments import Installed, build_wheel, copy_source, install, run
from support.kernels import NotebookKernel
from support.notebooks import make_notebook
from support.server import START_TIMEOUT, RunningServer, free_port

pytestmark = pytest.mark.slow

MOST_PACKAGES = 20
"""Packages of the kernel side in addition to those that ipykernel and ipywidgets bring."""

WHERE = """
import sys
from importlib.util import find_spec
import easymlnb as ml

SERVER = ("jupyter_server", "sqlalchemy", "voila", "jinja2", "nbformat", "pandas", "PIL", "numpy")

@ml.service(name="{name}", examples=[{{"greeting": "hello"}}])
def where(greeting: str) -> dict[str, str | list[str]]:
    "Say **where** this runs."
    return {{"python": sys.executable, "has": [one for one in SERVER if find_spec(one)]}}
"""

COUNT = """
import json
from importlib.metadata import distributions, requires
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

def closure(names):
    found, left = set(), list(names)
    while left:
        name = canonicalize_name(left.pop())
        if name not in found:
            found.add(name)
            items = map(Requirement, requires(name) or ())
            left += [i.name for i in items if not i.marker or i.marker.evaluate({"extra": ""})]
    return found

installed = {canonicalize_name(one.name) for one in distributions()}
print(json.dumps(sorted(installed - closure(["ipykernel", "ipywidgets"]) - {"easymlnb"})))
"""

IMPORT_ALL = """
import importlib, pkgutil, easymlnb
for module in pkgutil.walk_packages(easymlnb.__path__, "easymlnb.", lambda name: None):
    # Functions and notebooks import these; they need the extras [train] and [deepaas].
    if not module.name.startswith(("easymlnb.training.", "easymlnb.compat.deepaas")):
        importlib.import_module(module.name)
"""

OTHER_VERSION = """
import easymlnb._version as version
version.__version__, version.PROTOCOL = "9.9.0", 99
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = copy_source(tmp_path_factory.mktemp("source"))
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An environment with easymlnb and no extra."""
    return install(tmp_path_factory.mktemp("light") / "environment", wheel)


@pytest.fixture(scope="module")
def kernels(
    light: Installed, session_server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Kernels of the light environment: ``light``, and ``skewed`` with a later release."""
    data = session_server.environment["JUPYTER_DATA_DIR"]
    overlay = tmp_path_factory.mktemp("overlay")
    (overlay / "sitecustomize.py").write_text(OTHER_VERSION)
    light.register("light", data)
    light.register("skewed", data, PYTHONPATH=str(overlay))
    yield
    for name in ("light", "skewed"):
        shutil.rmtree(Path(data) / "kernels" / name)


def notebook(kernel: str, source: str) -> nbformat.NotebookNode:
    made = make_notebook(source)
    made.metadata["kernelspec"]["name"] = kernel
    return made


def test_light_install_stays_light(light: Installed) -> None:
    more = json.loads(run(light.python, "-c", COUNT))
    assert len(more) <= MOST_PACKAGES, more


def test_every_module_of_the_kernel_side_imports(light: Installed) -> None:
    run(light.python, "-c", IMPORT_ALL)


def test_doctor_says_what_a_server_needs(light: Installed, tmp_path: Path) -> None:
    ran = subprocess.run(
        [light.folder / "bin/easymlnb", "doctor", "--json"],
        env={**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    told = {finding["about"]: finding for finding in json.loads(ran.stdout)}
    assert told["packages"]["state"] == "ok"
    assert told["extension"]["state"] == "note"
    assert "easymlnb[server]" in told["extension"]["fix"]


@pytest.mark.usefixtures("kernels")
def test_worker_runs_in_a_light_environment(
    light: Installed, session_server: RunningServer
) -> None:
    source = notebook("light", WHERE.format(name="light_published"))
    found = session_server.publish(source, "light.ipynb")
    assert found["state"] == "ready", found
    answer = session_server.call("light_published", greeting="hi").json()
    assert answer == {"python": str(light.python), "has": []}
    parts = session_server.http.post(
        "services/light_published/call", files={"greeting": (None, b"hi")}
    )
    assert parts.json() == answer


@pytest.mark.usefixtures("kernels")
def test_live_cell_in_a_light_environment_has_its_form_and_answers(
    light: Installed, session_server: RunningServer
) -> None:
    kernel = NotebookKernel(session_server.http, kernel="light")
    try:
        ran = kernel.run(WHERE.format(name="light_live"))
        assert (ran.error, ran.stderr) == ("", "")
        assert "application/vnd.jupyter.widget-view+json" in ran.displays[0]
        answer = session_server.call("light_live", greeting="hi").json()
        assert answer == {"python": str(light.python), "has": []}
    finally:
        kernel.close()


@pytest.mark.usefixtures("kernels")
def test_publishing_from_a_kernel_of_another_version_is_refused_in_a_sentence(
    session_server: RunningServer,
) -> None:
    source = notebook("skewed", WHERE.format(name="light_skewed"))
    found = session_server.publish(source, "skewed.ipynb")
    assert found["state"] == "failed"
    message = json.dumps(found)
    assert "The kernel 'skewed' has easymlnb 9.9.0 (protocol 99) and its server has" in message
    assert "install the same version in both environments" in message


@pytest.mark.usefixtures("kernels")
def test_live_cell_of_another_version_says_so(session_server: RunningServer) -> None:
    kernel = NotebookKernel(session_server.http, kernel="skewed")
    try:
        ran = kernel.run(WHERE.format(name="light_skewed_live"))
        assert ran.error == ""
        assert "The kernel has easymlnb 9.9.0 (protocol 99) and its server has" in ran.stderr
        assert session_server.call("light_skewed_live", greeting="hi").status_code == 404
    finally:
        kernel.close()


def test_unknown_kernel_is_refused_with_those_there_are(session_server: RunningServer) -> None:
    found = session_server.publish(notebook("nowhere", WHERE.format(name="x")), "nowhere.ipynb")
    message = json.dumps(found)
    assert "There is no kernel named 'nowhere' here (there are: " in message
    assert "python -m ipykernel install --user --name nowhere" in message


@pytest.mark.parametrize(
    ("hint", "packages"),
    [
        ("ml.Image", "pillow numpy"),
        ("ml.Table", "pandas"),
        ("ml.TimeSeries", "pandas"),
        ("list[ml.Array]", "numpy"),
    ],
)
def test_hint_without_its_library_names_it(light: Installed, hint: str, packages: str) -> None:
    code = f"import easymlnb as ml\n@ml.service\ndef f(x: {hint}): ...\n"
    ran = subprocess.run([light.python, "-c", code], capture_output=True, text=True)
    error = ran.stderr.strip().splitlines()[-1]
    assert "DefinitionError: Parameter 'x' of 'f': ml." in error
    assert error.endswith(f"pip install {packages}.")


def test_result_without_its_library_names_it(light: Installed) -> None:
    code = "import easymlnb as ml\n@ml.service\ndef f() -> ml.HTML: ...\n"
    ran = subprocess.run([light.python, "-c", code], capture_output=True, text=True)
    error = ran.stderr.strip().splitlines()[-1]
    assert error.endswith("pip install nh3.")
    assert "The result of 'f': ml." in error


@pytest.mark.parametrize("command", [("serve",), ("hub", "serve")])
def test_serving_without_the_servers_packages_ends_with_a_sentence(
    light: Installed, command: tuple[str, ...]
) -> None:
    ran = subprocess.run([light.folder / "bin/easymlnb", *command], capture_output=True, text=True)
    assert ran.returncode == 1
    assert len(ran.stderr.strip().splitlines()) == 1
    assert ran.stderr.startswith("easymlnb: The server's part of easymlnb is not installed (")
    assert "pip install 'easymlnb[server]'" in ran.stderr


@pytest.fixture
def bare_server(wheel: Path, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A Jupyter server in an environment that has only the kernel side of easymlnb."""
    made = install(tmp_path / "environment", wheel, "jupyter-server")
    port, log = free_port(), tmp_path / "server.log"
    folders = {
        f"JUPYTER_{name}_DIR": str(tmp_path / name.lower())
        for name in ("CONFIG", "DATA", "RUNTIME")
    }
    command = [
        made.python, "-m", "jupyter_server", f"--port={port}", "--no-browser", "--allow-root",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=t",
        f"--ServerApp.root_dir={tmp_path}",
    ]  # fmt: skip
    with log.open("wb") as out, httpx.Client() as http:
        http.base_url = f"http://127.0.0.1:{port}/easymlnb/"
        http.headers["Authorization"] = "token t"
        process = subprocess.Popen(
            list(map(str, command)),
            env={**os.environ, **folders},
            cwd=tmp_path,
            stdout=out,
            stderr=out,
        )
        waiting = RunningServer(tmp_path, port)
        try:
            # Python compiles the new environment's modules first.
            waiting.wait_for(lambda: _up(http, port), "the server did not start", START_TIMEOUT)
            yield {"http": http, "log": log}
        finally:
            process.terminate()
            process.wait(60)


def _up(http: httpx.Client, port: int) -> bool:
    try:
        return http.get(f"http://127.0.0.1:{port}/api/status").status_code == 200
    except httpx.TransportError:
        return False


def test_server_and_first_cell_name_what_is_missing(bare_server: dict[str, Any]) -> None:
    log = bare_server["log"].read_text()
    assert "easymlnb is off. The server's part of easymlnb is not installed (" in log
    assert "Traceback" not in log
    kernel = NotebookKernel(bare_server["http"])
    try:
        first = kernel.run(WHERE.format(name="first"))
        assert first.error == ""
        assert "does not run easymlnb" in first.stderr
        assert "pip install 'easymlnb[server]'" in first.stderr
        assert kernel.run(WHERE.format(name="second")).stderr == ""
    finally:
        kernel.close()
