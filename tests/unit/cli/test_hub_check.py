"""``easymlnb hub check``: what a Hub would meet is said before its restart."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from easymlnb.cli import hub_check
from easymlnb.cli.app import app
from easymlnb.cli.doctor import CheckResult
from easymlnb.cli.hub import HubOptions

pytestmark = pytest.mark.slow

PROGRAM = str(Path(sys.executable).with_name("easymlnb"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's working folder, in which the check runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def block(folder: Path, command: list[str] | None = None) -> str:
    """Return the printed block, with another command for the service if one is given."""
    text = HubOptions(folder / "state", public="https://hub.example.org").block()
    if command is not None:
        text += f'c.JupyterHub.services.get_value([])[-1]["command"] = {command!r}\n'
    return text


def findings(folder: Path, text: str) -> dict[str, CheckResult]:
    file = folder / "jupyterhub_config.py"
    file.write_text(text)
    return {finding.about: finding for finding in hub_check.examine(file)}


def bad(folder: Path, text: str) -> list[str]:
    return [about for about, finding in findings(folder, text).items() if finding.bad]


def test_the_printed_block_passes_beside_a_file_of_the_packages_name(folder: Path) -> None:
    (folder / "easymlnb.py").write_text("c.EasyMLNB.queue_limit = 3\n")
    found = findings(folder, block(folder))
    assert [finding.says for finding in found.values() if finding.bad] == []
    assert found["shared service"].says == "the service starts with these settings"
    assert "has the same name as the package easymlnb" in found["import path"].says
    assert not (folder / "state").exists()


def test_a_wrong_setting_is_told_before_the_restart(folder: Path) -> None:
    settings = folder / "easymlnb_settings.py"
    settings.write_text('c.EasyMLNB.group_limits = {"students": {"wrkers": 2}}\n')
    place = HubOptions(folder / "state", settings, public="https://hub.example.org")
    (folder / "jupyterhub_config.py").write_text(place.block())
    done = CliRunner().invoke(app, ["hub", "check", "--json"])
    assert done.exit_code == 1
    found = [one for one in json.loads(done.stdout) if one["state"] == "bad"]
    assert [one["about"] for one in found] == ["shared service"]
    assert found[0]["says"] == (
        "EasyMLNB.group_limits: the limit of the group 'students' has no setting 'wrkers'. "
        "Did you mean 'workers'?"
    )
    assert "stops the Hub" in found[0]["fix"]


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ('del c.JupyterHub["load_roles"]', ["role", "users"]),
        ('c.JupyterHub.load_roles = [{"name": "user", "scopes": ["access:services"]}]', ["role"]),
        ("del c.Spawner.server_token_scopes", ["users' servers"]),
        ('c.Spawner.server_token_scopes = ["servers!user"]', ["users' servers"]),
        ("c.JupyterHub.allow_named_servers = False", ["named servers"]),
        ("c.JupyterHub.services = []", ["shared service"]),
        ("1 / 0", ["hub settings"]),
        ("", []),
    ],
)
def test_what_the_hubs_settings_lack_is_told(folder: Path, change: str, about: list[str]) -> None:
    assert bad(folder, block(folder, ["/bin/true"]) + change + "\n") == about


def test_rights_may_be_narrowed_to_groups(folder: Path) -> None:
    text = block(folder, ["/bin/true"])
    text = text.replace('"servers", "tokens"', '"servers!group=ml", "tokens!group=ml"')
    found = findings(folder, text)
    assert not found["role"].bad
    assert "restricted" in found["role"].says


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/no/such/easymlnb"], "is not an executable program"),
        (["/bin/false"], "the service exits with code 1"),
        (["/bin/sh", "-c", "echo easymlnb: It is broken. >&2; exit 1"], "It is broken."),
    ],
)
def test_a_command_that_fails_is_told(folder: Path, command: list[str], said: str) -> None:
    found = findings(folder, block(folder, command))["shared service"]
    assert found.bad
    assert said in found.says


def test_a_service_that_others_start_is_noted(folder: Path) -> None:
    text = block(folder) + 'del c.JupyterHub.services.get_value([])[-1]["command"]\n'
    found = findings(folder, text)["shared service"]
    assert (found.state, "--check" in found.fix) == ("note", True)


def test_without_a_file_it_says_which(folder: Path) -> None:
    done = CliRunner().invoke(app, ["hub", "check"])
    assert done.exit_code == 1
    assert "there is no file" in done.output


def test_the_block_comes_with_a_word_on_a_missing_settings_file(folder: Path) -> None:
    missing = ["hub", "config", "--config", "easymlnb_settings.py"]
    done = CliRunner().invoke(app, missing)
    assert f"Create {folder / 'easymlnb_settings.py'} first" in done.stderr
    assert "easymlnb hub check" in done.stderr
    (folder / "easymlnb_settings.py").write_text("")
    assert "Create" not in CliRunner().invoke(app, missing).stderr
