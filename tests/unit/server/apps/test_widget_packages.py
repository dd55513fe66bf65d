"""Packages with widgets that are installed for JupyterLab: found by name, and no other file."""

import json
from pathlib import Path
from typing import Any

import pytest

from easymlnb_server.apps.voila.widget_packages import WidgetPackages, modules_of

BUILD = {"load": "static/remoteEntry.1.js", "extension": "./extension"}


def install(root: Path, name: str, **about: Any) -> None:
    folder = root / "labextensions" / name
    (folder / "static").mkdir(parents=True)
    (folder / "static/remoteEntry.1.js").write_text("var _JUPYTERLAB = {};")
    (folder / "secret.txt").write_text("secret")
    (folder / "package.json").write_text(json.dumps({"name": name, "jupyterlab": about}))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WidgetPackages:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    shared = {"@jupyter-widgets/base": {"bundled": False}}
    install(tmp_path, "maps", sharedPackages=shared, _build=BUILD)
    install(tmp_path, "@ours/dials", sharedPackages=shared, _build=BUILD)
    install(tmp_path, "theme", _build=BUILD)
    return WidgetPackages()


def test_packages_with_widgets_are_found(packages: WidgetPackages) -> None:
    found = packages.addresses(["maps", "@ours/dials", "theme", "none", "../maps", ""], "/a/")
    assert sorted(found) == ["@ours/dials", "maps"]
    script = found["@ours/dials"]["script"]
    assert script.startswith("/a/") and script.endswith(
        "/widgets/@ours/dials/static/remoteEntry.1.js"
    )
    assert found["maps"]["module"] == "./extension"


def test_only_their_static_files_are_served(packages: WidgetPackages) -> None:
    for path in ("maps/static/remoteEntry.1.js", "@ours/dials/static/remoteEntry.1.js"):
        asset = packages.file(path)
        assert asset is not None and asset.type == "text/javascript"
        assert asset.read("") == b"var _JUPYTERLAB = {};"
    for path in (
        "maps/secret.txt", "maps/static/../secret.txt", "maps/static", "maps/static/none.js",
        "theme/static/remoteEntry.1.js", "maps", "", "@ours", "@ours/..",
    ):  # fmt: skip
        assert packages.file(path) is None, path


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        (None, []),
        ({"column": [{"text": "a"}, {"widget": 5}, {"widget": {"states": []}}]}, []),
        ({"row": [{"widget": {"states": {"a": {"model_module": "maps"}, "b": 5}}}]}, ["maps"]),
        ({"static": {"widget": {"states": {"a": {"model_module": "maps"}}}}}, []),
    ],
)
def test_modules_of_a_layout(tree: Any, found: list[str]) -> None:
    assert modules_of(tree) == found
