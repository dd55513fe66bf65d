"""Build contexts: what is in them, what they refuse, and nothing of the caller's secrets."""

import json
import re
import shlex
import stat
import subprocess
from pathlib import Path

import msgspec
import nbformat
import pytest
from typer.testing import CliRunner, Result

from easymlnb.cli.app import app
from easymlnb.contract import bundle as contract
from easymlnb.contract.bundle import Bundle, Environment, open_bundle
from easymlnb.contract.environment_lock import REQUIREMENTS, EnvironmentLock
from easymlnb.contract.errors import BundleRejected
from easymlnb.exporting import image, packages
from easymlnb.exporting.dockerfile import quoted
from easymlnb.exporting.labels import image_labels
from easymlnb.exporting.models import ExportedBundle
from easymlnb.publishing.bundle import build_bundle, locking
from support.notebooks import make_notebook

CODE = "import easymlnb as ml\n@ml.service\ndef roll() -> int:\n    return 1"
PIN = "msgspec==0.21.1 \\\n    --hash=sha256:{}\n".format("0" * 64)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with a lock, made without an index."""
    nbformat.write(make_notebook(CODE), tmp_path / "work.ipynb")
    made = open_bundle(build_bundle(tmp_path / "work.ipynb").data)
    lock = EnvironmentLock(python="3.11", files={REQUIREMENTS: "0" * 64})
    manifest = msgspec.structs.replace(made.manifest, lock=lock, kernel="my-kernel")
    file = tmp_path / "work.zip"
    file.write_bytes(contract.write(manifest, made.notebook, {}, {REQUIREMENTS: PIN.encode()}))
    return file


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replace uv: it resolves nothing and says what it was asked."""
    asked: list[list[str]] = []

    def compile_lock(
        program: str, wanted: list[str], options: list[str], wheels: Path
    ) -> dict[str, str]:
        asked.append([*wanted, *options])
        return {line.partition("==")[0]: line for line in wanted}

    monkeypatch.setattr(locking, "compile_lock", compile_lock)
    monkeypatch.setattr(locking, "own_wheels", lambda program, names, folder: [])
    return asked


def export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", "image", *map(str, arguments)])


def test_a_context_has_all_that_a_build_needs(
    bundle: Path, offline: list[list[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "context"
    done = export(bundle, "-o", folder, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert sorted(told["files"]) == ["Dockerfile", "bundle.zip", "requirements.lock"]
    assert told["tag"] == f"roll:{told['bundle'][:12]}"
    assert all(stat.S_IMODE((folder / one).stat().st_mode) == 0o644 for one in told["files"])
    text = (folder / "Dockerfile").read_text()
    assert "ARG BASE=docker.io/library/python:3.11-slim" in text
    assert re.search(r"^USER [1-9][0-9]*:0$", text, re.MULTILINE)
    assert 'ENTRYPOINT ["easymlnb", "serve-bundle"' in text
    assert "HEALTHCHECK" not in text and "--no-index" not in text
    assert f'org.easymlnb.bundle="{told["bundle"]}"' in text
    [asked] = offline
    assert any(line.startswith("easymlnb[container]==") for line in asked)
    assert "msgspec==0.21.1" in asked
    assert not any(line.startswith(("debugpy==", "voila", "plotly")) for line in asked)
    assert asked[asked.index("--python-version") + 1] == "3.11"
    assert "--no-build" in asked


def test_packages_without_wheels_are_built_if_asked(
    bundle: Path, offline: list[list[str]], tmp_path: Path
) -> None:
    done = export(bundle, "-o", tmp_path / "context", "--allow-build")
    assert done.exit_code == 0, done.output
    [asked] = offline
    assert "--no-build" not in asked


def test_a_package_without_a_wheel_is_not_built(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its build could run any code here."""

    def run(program: str, command: list[str], given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "has no wheels with a matching tag")

    monkeypatch.setattr(locking, "run", run)
    monkeypatch.setattr(locking, "own_wheels", lambda program, names, folder: [])
    done = export(bundle, "-o", tmp_path / "context")
    said = " ".join(done.output.split())
    assert done.exit_code == 1 and "has no wheels" in said and "Pass --allow-build to allow" in said


def test_wheels_that_do_not_exist_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(program: str, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "No matching distribution")

    monkeypatch.setattr(locking, "run", run)
    wanted = packages.ImagePackages("3.11", "a==1\n", 1)
    with pytest.raises(BundleRejected, match="leave out --wheels"):
        packages.download(wanted, tmp_path / "requirements.lock", tmp_path)


def test_the_image_serves_the_bundle_with_its_own_packages(bundle: Path) -> None:
    exported = ExportedBundle(open_bundle(bundle))
    served = open_bundle(image.for_image(exported))
    assert served.manifest.lock is None
    assert served.manifest.kernel == "python3"
    assert "debugpy" not in served.manifest.environment.packages
    assert served.notebook == exported.bundle.notebook
    with_debugger = open_bundle(image.for_image(exported, debugger=True))
    assert "debugpy" in with_debugger.manifest.environment.packages


def test_a_bundle_without_a_lock_is_refused_unless_asked(
    bundle: Path, offline: list[list[str]], tmp_path: Path
) -> None:
    (tmp_path / "plain.zip").write_bytes(build_bundle(tmp_path / "work.ipynb").data)
    refused = export(tmp_path / "plain.zip", "-o", tmp_path / "context")
    assert refused.exit_code == 1
    assert "no locked environment" in refused.output and "--unlocked" in refused.output
    assert not (tmp_path / "context").exists()
    done = export(tmp_path / "plain.zip", "-o", tmp_path / "context", "--unlocked", "--debugger")
    assert done.exit_code == 0, done.output
    assert any(line.startswith("debugpy==") for line in offline[-1])


@pytest.mark.parametrize(
    ("name", "version"),
    [("roll", "1\nevil @ https://example.org/evil.tar.gz"), ("-e .\nroll", "1"), ("roll", "x")],
)
def test_what_a_bundle_records_cannot_add_requirements(
    bundle: Path, offline: list[list[str]], tmp_path: Path, name: str, version: str
) -> None:
    made = open_bundle(bundle)
    recorded = Environment(python="3.11", packages={name: version})
    manifest = msgspec.structs.replace(made.manifest, lock=None, environment=recorded)
    bundle.write_bytes(contract.write(manifest, made.notebook, {}))
    done = export(bundle, "-o", tmp_path / "context", "--unlocked")
    assert done.exit_code == 1 and "names the package" in done.output
    assert not offline and not (tmp_path / "context").exists()


def test_the_recorded_python_cannot_add_instructions(
    bundle: Path, offline: list[list[str]], tmp_path: Path
) -> None:
    made = open_bundle(bundle)
    recorded = Environment(python="3.11-slim\nRUN id")
    manifest = msgspec.structs.replace(made.manifest, lock=None, environment=recorded)
    bundle.write_bytes(contract.write(manifest, made.notebook, {}))
    done = export(bundle, "-o", tmp_path / "context", "--unlocked")
    assert done.exit_code == 1 and "Invalid name of an image" in done.output
    assert not (tmp_path / "context").exists()


def test_a_folder_with_files_is_refused(
    bundle: Path, offline: list[list[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep")
    done = export(bundle, "-o", folder)
    assert done.exit_code == 1 and "is not empty" in done.output
    assert [one.name for one in folder.iterdir()] == ["mine.txt"]


def test_a_damaged_bundle_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    done = export(tmp_path / "cut.zip", "-o", tmp_path / "context")
    said = " ".join(done.output.split())
    assert done.exit_code == 1 and "cut.zip' is not a usable bundle." in said


@pytest.mark.parametrize("option", ["--tag", "--base"])
def test_a_wrong_image_name_is_explained(bundle: Path, tmp_path: Path, option: str) -> None:
    done = export(bundle, "-o", tmp_path / "context", option, "x y; RUN id")
    assert done.exit_code == 1 and "Invalid name of an image" in done.output


def test_without_a_builder_it_says_what_to_run(
    bundle: Path, offline: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image.shutil, "which", lambda name, **_: None)
    monkeypatch.setattr(packages.uv, "find_uv", lambda: "uv")
    done = export(bundle, "-o", tmp_path / "context", "--build", "--tag", "x:1")
    assert done.exit_code == 1
    assert "Install buildah, podman or docker" in done.output
    assert f"docker build --tag x:1 {tmp_path / 'context'}" in " ".join(done.output.split())


def test_labels_cannot_add_instructions(bundle: Path) -> None:
    made = open_bundle(bundle)
    evil = 'x" \\\n$(id) `id` ${HOME}\nRUN id'
    manifest = msgspec.structs.replace(made.manifest, metadata={"summary": evil})
    labels = image_labels(
        ExportedBundle(Bundle(made.id, manifest, made.notebook, bundle), "alice/roll", "3"), "base"
    )
    assert labels["org.opencontainers.image.version"] == "3"
    assert labels["org.opencontainers.image.title"] == "roll"
    text = quoted(labels["org.opencontainers.image.description"])
    assert "\n" not in text
    assert re.search(r'(?<!\\)"', text[1:-1]) is None
    assert re.search(r"(?<!\\)\$", text) is None
    assert quoted("a\nb\x1b") == '"a b "'


def test_wheels_are_downloaded_for_the_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def run(program: str, command: list[str]) -> subprocess.CompletedProcess[str]:
        asked.append(shlex.join([program, *command]))
        return subprocess.CompletedProcess(command, len(asked) - 1, "", "no such wheel")

    monkeypatch.setattr(locking, "run", run)
    packages.download(packages.ImagePackages("3.99", "", 0), tmp_path / "lock", tmp_path)
    assert "--require-hashes" in asked[0] and "--only-binary :all:" in asked[0]
    assert "--python-version 3.99" in asked[0] and "--abi cp399" in asked[0]
    with pytest.raises(Exception, match="pip reports:\nno such wheel"):
        packages.download(packages.ImagePackages("3.99", "", 0), tmp_path / "lock", tmp_path)
