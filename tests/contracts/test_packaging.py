"""What is installed: one wheel, two packages, an extension that is on; and nothing is left."""

import json
import re
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import easymlnb
from support.environments import ROOT, build_wheel, copy_source, run

SITE = Path(sysconfig.get_path("purelib"))
SERVER = {"extra": "server"}
SWITCH = "etc/jupyter/jupyter_server_config.d/easymlnb_server.json"
LAB = "share/jupyter/labextensions/easymlnb/package.json"

# `find_spec("pip")` would turn setuptools' distutils off, which old scikit-learns need.
INSTALLED = {one.name for one in distributions()}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("setuptools" not in INSTALLED, reason="setuptools is not installed"),
    pytest.mark.skipif("pip" not in INSTALLED, reason="pip is not installed"),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        return message_from_bytes(archive.read(name))


def files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield path.relative_to(folder).as_posix()


def test_wheel_has_all_of_both_packages_and_no_more(source: Path, names: set[str]) -> None:
    wanted = {f"easymlnb/{name}" for name in files(source / "easymlnb")}
    wanted.remove("easymlnb/forms/scripts/types.d.ts")  # only the type checker reads it
    server = source / "server-extension/easymlnb_server"
    wanted |= {f"easymlnb_server/{name}" for name in files(server)}
    inside = {name for name in names if not name.partition("/")[0].startswith("easymlnb-")}
    assert inside == wanted
    for name in ("easymlnb/py.typed", "easymlnb_server/py.typed", "easymlnb/forms/style.css"):
        assert name in inside
    for folder in ("static", "templates", "store/migrations/versions"):
        assert any(name.startswith(f"easymlnb_server/{folder}/") for name in inside)


def test_wheel_has_the_files_for_jupyter(source: Path, names: set[str]) -> None:
    server = source / "server-extension"
    wanted = {f"{top}/{name}" for top in ("etc", "share") for name in files(server / top)}
    assert {SWITCH, LAB} <= wanted
    assert {name.partition(".data/data/")[2] for name in names if ".data/data/" in name} == wanted


def test_wheel_says_what_it_is_and_needs(metadata: Message, names: set[str]) -> None:
    assert (metadata["Name"], metadata["Version"]) == ("easymlnb", easymlnb.__version__)
    assert metadata["License"] == "BSD-3-Clause"
    assert metadata["Requires-Python"] == ">=3.11"
    assert any(name.endswith("licenses/LICENSE") for name in names)
    wanted = [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]
    core = {item.name for item in wanted if not item.marker or item.marker.evaluate({"extra": ""})}
    server = {item.name for item in wanted if item.marker and item.marker.evaluate(SERVER)} - core
    assert {"ipykernel", "ipywidgets", "pydantic", "msgspec", "typer"} <= core
    assert {"jupyter-server", "sqlalchemy", "voila", "nbclient"} <= server
    assert {"pandas", "numpy", "torch", "scikit-learn", "pytest", "jupyterlab"} & core == set()


def test_documented_extras_are_those_there_are(metadata: Message) -> None:
    page = (ROOT / "docs/get-started/install.md").read_text(encoding="utf-8")
    table = page.partition("## Extras")[2].partition("**torch")[0]
    told = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    assert set(metadata.get_all("Provides-Extra") or []) == told


class Environment:
    """A virtual environment of its own that sees this one's libraries, but not its easymlnb."""

    def __init__(self, folder: Path) -> None:
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        self.folder = folder
        self.python = folder / "bin/python"
        self._site = Path(
            run(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        )
        # A folder on the path, not a site: its own .pth files (editable installs) are not read.
        self._libraries = self._site / "libraries.pth"
        self._settings = {
            name: str(folder.parent / name.lower())
            for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
        }

    def pip(self, *arguments: str | Path, **variables: str) -> None:
        # Without the libraries: pip must not find the easymlnb that runs this test.
        self._libraries.unlink(missing_ok=True)
        run(
            sys.executable, "-m", "pip", "--python", self.python, "--disable-pip-version-check",
            *arguments, **variables,
        )  # fmt: skip

    def run(self, *command: str | Path) -> str:
        self._libraries.parent.mkdir(parents=True, exist_ok=True)  # pip removes what is empty
        self._libraries.write_text(f"{SITE}\n", encoding="utf-8")
        return run(*command, **self._settings)

    def extensions(self) -> str:
        code = "from jupyter_server.extension.serverextension import main; main()"
        said = self.run(self.python, "-c", code, "list")
        return " ".join(re.sub(r"\x1b\[\d+m", "", said).split())

    def files(self) -> set[str]:
        return set(files(self.folder)) - {self._libraries.relative_to(self.folder).as_posix()}


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")


def test_wheel_enables_the_extension_and_leaves_nothing(
    environment: Environment, wheel: Path
) -> None:
    before = environment.files()
    environment.pip("install", "-q", "--no-deps", "--no-index", wheel)
    assert (environment.folder / SWITCH).is_file()
    lab = json.loads((environment.folder / LAB).read_text(encoding="utf-8"))
    assert lab["version"] == easymlnb.__version__
    script = environment.folder / Path(LAB).parent / lab["jupyterlab"]["_build"]["load"]
    assert script.is_file()
    said = environment.extensions()
    assert "easymlnb_server enabled" in said
    assert "easymlnb_server OK" in said
    where = environment.run(environment.python, "-c", "import easymlnb; print(easymlnb.__file__)")
    assert Path(where.strip()).is_relative_to(environment.folder)
    version = environment.run(environment.folder / "bin/easymlnb", "--version")
    assert version.strip() == f"easymlnb {easymlnb.__version__}"
    environment.pip("uninstall", "-q", "-y", "easymlnb")
    assert environment.files() == before
    assert "easymlnb_server" not in environment.extensions()


def test_editable_installation_enables_the_extension_and_leaves_nothing(
    environment: Environment, source: Path, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for path in SITE.iterdir():
        if path.name.startswith(("setuptools", "_distutils_hack", "pkg_resources")):
            (tools / path.name).symlink_to(path)
    before = environment.files()
    environment.pip(
        "install", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-e", source,
        PYTHONPATH=str(tools),
    )  # fmt: skip
    assert (environment.folder / SWITCH).is_file() and (environment.folder / LAB).is_file()
    assert "easymlnb_server enabled" in environment.extensions()
    code = "import easymlnb, easymlnb_server as s; print(easymlnb.__file__, s.__file__)"
    where = environment.run(environment.python, "-c", code).split()
    assert all(Path(path).is_relative_to(source) for path in where)
    environment.pip("uninstall", "-q", "-y", "easymlnb")
    assert environment.files() == before
    assert "easymlnb_server" not in environment.extensions()
