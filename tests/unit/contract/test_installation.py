"""What is missing here is said in a sentence that names it."""

import sys
from importlib import metadata
from pathlib import Path

import pytest

import easymlnb as ml
from easymlnb._version import PROTOCOL, __version__
from easymlnb.contract import installation
from easymlnb.contract.errors import BundleRejected, DefinitionError
from easymlnb.forms.sanitize import clean, markdown
from easymlnb.publishing import notebook_metadata
from easymlnb.runtime import environment
from easymlnb.services import thumbnail
from easymlnb.types.markup import to_html

REQUIRED = [
    "pydantic>=2",
    "wanted>=3",
    'for-server>=1; extra == "server"',
    'elsewhere>=1; sys_platform == "none" and extra == "server"',
]
INSTALLED = {"pydantic": "2.11", "wanted": "2.0"}


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name not in INSTALLED:
            raise metadata.PackageNotFoundError(name)
        return INSTALLED[name]

    monkeypatch.setattr(metadata, "requires", lambda name: REQUIRED)
    monkeypatch.setattr(metadata, "version", version)


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make the modules missing, for a test."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.usefixtures("packages")
def test_unmet_requirements_of_the_package_and_of_an_extra() -> None:
    assert list(installation.unmet_requirements()) == [("wanted>=3", "2.0")]
    assert list(installation.unmet_requirements("server")) == [("for-server>=1", "")]


def test_the_first_missing_packages_are_named() -> None:
    unmet = [("a>=1", ""), ("b>=2", "1.0"), ("c>=1", ""), ("d>=1", ""), ("e>=1", "")]
    assert installation.listed(unmet[:1]) == "a>=1"
    assert installation.listed(unmet) == "a>=1, b>=2 (here: 1.0), c>=1 and 2 more packages"


def test_versions_of_one_protocol_work_together() -> None:
    assert installation.version_skew("The kernel", "9.9", str(PROTOCOL)) == ""
    said = installation.version_skew("The kernel", "9.9", "99")
    assert said.startswith("The kernel has easymlnb 9.9 (protocol 99) and its server has easymlnb ")
    assert __version__ in said and "install the same version in both environments" in said
    assert "an unknown easymlnb" in installation.version_skew("The kernel", "", "")


def test_a_hint_names_the_packages_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "PIL", "numpy")
    with pytest.raises(DefinitionError) as refused:

        @ml.service
        def pictures(images: list[ml.Image]) -> int:
            return len(images)

    assert str(refused.value).startswith("Parameter 'images' of 'pictures': ml.Image needs pillow ")
    assert str(refused.value).endswith("pip install pillow numpy.")


def test_a_result_names_the_packages_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "pandas")
    with pytest.raises(DefinitionError, match=r"The result of 'rows': ml\.Table needs pandas, "):

        @ml.service
        def rows() -> ml.Table: ...


def test_markdown_without_nh3_has_no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "nh3")
    shown = markdown(
        "**a** <b> [x](https://a.b) ![y](https://a.b/c.png) <https://d.e>\n\n| t |\n|-|"
    )
    assert "<strong>a</strong>" in shown and "<table>" in shown and "&lt;b&gt;" in shown
    assert "<a" not in shown and "<img" not in shown


def test_html_without_nh3_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "nh3")
    assert "pip install nh3" in clean("<b>x</b>")
    assert "<b>" not in clean("<b>x</b>")
    with pytest.raises(ImportError, match="pip install nh3"):
        to_html("**x**")


def test_files_name_the_package_that_reads_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without(monkeypatch, "yaml", "PIL", "numpy")
    (tmp_path / "easymlnb.yaml").write_text("title: x\n")
    with pytest.raises(
        BundleRejected, match=r"easymlnb\.yaml needs pyyaml, .*: pip install pyyaml"
    ):
        notebook_metadata.read_metadata(tmp_path / "n.ipynb", {})
    with pytest.raises(ValueError, match="A thumbnail needs pillow and numpy"):
        thumbnail.of_bytes(b"")


def test_only_a_notebook_of_a_jupyter_server_lacks_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "kernel_id", lambda: "k")
    for name in ("EASYMLNB_SERVER_PID", "EASYMLNB_WORKER", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert environment.lack_of_server() == ""  # nbconvert, papermill
    monkeypatch.setenv("JPY_SESSION_NAME", "work.ipynb")
    assert "pip install 'easymlnb[server]'" in environment.lack_of_server()
    monkeypatch.setenv("EASYMLNB_SERVER_PID", "1")
    assert environment.lack_of_server() == ""
