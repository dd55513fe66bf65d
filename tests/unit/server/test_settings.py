"""Settings of a server that somebody misspelled or mistyped: refused, with the name, never lost."""

import asyncio
import difflib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jupyter_server.serverapp import ServerApp
from traitlets import Bool, Container, Dict, Enum, Float, Integer, TraitError, TraitType, Unicode
from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from easymlnb_server import spelling
from easymlnb_server.app import EasyMLNB
from easymlnb_server.hub import group_limits
from easymlnb_server.hub.group_limits import Limit
from easymlnb_server.hub.identity_provider import HubIdentity, OwnRoutesOnly
from easymlnb_server.hub.shared_app import OURS, SharedServer, SharedService, read_file
from easymlnb_server.hub.shared_service import NEEDED
from easymlnb_server.placement.hub import profiles
from easymlnb_server.placement.hub.profiles import PlacementProfile

pytestmark = pytest.mark.slow

KINDS = (SharedServer, SharedService, HubIdentity, OwnRoutesOnly)


def own(kind: type[Any]) -> Iterator[tuple[str, TraitType[Any, Any]]]:
    """Yield the settings that our own classes have."""
    for name, trait in kind.class_traits(config=True).items():
        if trait.this_class is not None and trait.this_class.__module__.startswith("easymlnb"):
            yield name, trait


SETTINGS = dict(own(SharedService))
IDENTITY = dict(own(HubIdentity))


def misspelled(name: str) -> str:
    """Return a name with one letter lost, as in a hasty edit."""
    return name[: len(name) // 2] + name[len(name) // 2 + 1 :]


def wrong(trait: TraitType[Any, Any]) -> Any:
    """Return a value of a type that a setting does not take."""
    if isinstance(trait, (Bool, Integer, Float, Dict, Enum)):
        return "many"
    return 7 if isinstance(trait, (Unicode, Container)) else object()


def refusals(**sections: Any) -> list[str]:
    config = Config({name: Config(entries) for name, entries in sections.items()})
    return list(spelling.unknown(config, KINDS, OURS))


def test_there_are_settings_to_try() -> None:
    assert {"placements", "group_limits", "database_url", "queue_limit", "app_pages"} <= {*SETTINGS}
    assert {*IDENTITY} == {"cache_seconds"}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_misspelled_setting_is_refused_with_the_right_name(name: str) -> None:
    (said,) = refusals(EasyMLNB={misspelled(name): 1})
    assert said.startswith(f"c.EasyMLNB.{misspelled(name)} is not a setting. Did you mean ")
    suggested = said.partition("Did you mean ")[2].strip("'?")
    assert difflib.SequenceMatcher(None, suggested, name).ratio() > 0.8
    assert refusals(EasyMLNB={name: 1}) == []


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_the_wrong_type_is_refused_with_its_name(name: str) -> None:
    config = Config({"EasyMLNB": {name: wrong(SETTINGS[name])}})
    with pytest.raises(TraitError, match=name):
        SharedService(config=config)


@pytest.mark.parametrize("name", IDENTITY)
def test_settings_of_the_login_are_looked_at_too(name: str) -> None:
    (said,) = refusals(HubIdentity={misspelled(name): 1})
    assert f"Did you mean {name!r}?" in said


@pytest.mark.parametrize(
    ("section", "meant"),
    [("EasyMLNb", "EasyMLNB"), ("EasyMLB", "EasyMLNB"), ("easymlnb", "EasyMLNB"),
     ("HubIdentiy", "HubIdentity"), ("SeverApp", "ServerApp")],
)  # fmt: skip
def test_a_misspelled_section_is_refused(section: str, meant: str) -> None:
    assert refusals(**{section: {"queue_limit": 1}}) == [
        f"Unknown section c.{section}. Did you mean c.{meant}?"
    ]


def test_sections_of_other_programs_are_left_alone() -> None:
    assert refusals(LabApp={"collaborative": True}, MappingKernelManager={"x": 1}) == []


def test_a_name_that_is_mentioned_and_not_set_is_refused() -> None:
    # As c.EasyMLNB.placements.gpu = {...} leaves it.
    (said,) = refusals(EasyMLNB={"placements": LazyConfigValue()})
    assert said == (
        "c.EasyMLNB.placements has no value. Set it with: c.EasyMLNB.placements = VALUE."
    )


NESTED = [
    ("placements", PlacementProfile, profiles.parse_profiles, field.name)
    for field in msgspec.structs.fields(PlacementProfile)
] + [
    ("group_limits", Limit, group_limits.parse, field.name)
    for field in msgspec.structs.fields(Limit)
]


@pytest.mark.parametrize(("setting", "kind", "read", "name"), NESTED)
def test_a_misspelled_key_inside_a_setting_is_refused(
    setting: str, kind: Any, read: Any, name: str
) -> None:
    near = misspelled(name)
    with pytest.raises(ValueError, match=f"'students' has no setting '{near}'. Did you mean"):
        read({"students": {near: 1}})
    with pytest.raises(TraitError, match=f"EasyMLNB.{setting}: .*'{near}'"):
        SharedService(**{setting: {"students": {near: 1}}})


@pytest.mark.parametrize(("setting", "kind", "read", "name"), NESTED)
def test_a_key_of_the_wrong_type_inside_a_setting_is_refused(
    setting: str, kind: Any, read: Any, name: str
) -> None:
    for value in ([1], {1, 2}):
        with pytest.raises(ValueError, match=f"'{name}' of the .*'students' is"):
            read({"students": {name: value}})


@pytest.mark.parametrize("told", [3, "gpu", ["gpu"], {"students": 3}, {"students": ["workers"]},
                                  {3: {}}])  # fmt: skip
@pytest.mark.parametrize("setting", ["placements", "group_limits"])
def test_settings_that_are_no_dictionaries_are_refused(setting: str, told: Any) -> None:
    with pytest.raises(TraitError, match=setting):
        SharedService(**{setting: told})


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), -1.0])
def test_numbers_that_are_no_limits_are_refused(limit: float) -> None:
    with pytest.raises(ValueError, match=r"invalid gpu_seconds_a_day .*: a limit is a number"):
        group_limits.parse({"students": {"gpu_seconds_a_day": limit}})


def test_it_cannot_be_set_to_be_not_shared() -> None:
    with pytest.raises(TraitError, match=r"EasyMLNB\.shared must be True"):
        SharedService(config=Config({"EasyMLNB": {"shared": False}}))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.py", None, "There is no configuration file"),
        ("folder.py", "", "There is no configuration file"),
        ("settings.yaml", "a: 1", "must end with .py or .json"),
        ("settings", "c = 1", "must end with .py or .json"),
        ("half.py", "c.EasyMLNB.queue_limit = ", "SyntaxError"),
        ("raises.py", "1 / 0", "ZeroDivisionError"),
        ("half.json", "{", "cannot be used"),
    ],
)
def test_a_settings_file_that_cannot_be_read_is_refused(
    name: str, content: str | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    if content is not None and content:
        file.write_text(content)
    elif content is not None:
        file.mkdir()
    with pytest.raises(ValueError, match=f"{name}|{said}") as caught:
        read_file(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


# the real process


def started(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Start the shared service as a Hub would, with settings that must end it."""
    told = dict.fromkeys(NEEDED, "x")
    told["JUPYTERHUB_SERVICE_PREFIX"] = "/services/easymlnb/"
    told["JUPYTERHUB_API_URL"] = told["JUPYTERHUB_SERVICE_URL"] = "http://127.0.0.1:1"
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("JUPYTER", "JPY_"))}
    program = Path(sys.executable).with_name("easymlnb")
    command = [str(program), "hub", "serve", "--state-dir", str(folder / "state"), *options]
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, **told},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('c.EasyMLNB.placements = {"gpu": {"max_wrkers": 2}}', "'max_workers'"),
        (None, "There is no configuration file"),
    ],
)
def test_the_shared_service_ends_with_the_sentence(
    content: str | None, said: str, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.py"
    if content is not None:
        settings.write_text(content)
    done = started(tmp_path, "--config", str(settings))
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_of_ones_own_does_not_run_the_extension_without_its_settings() -> None:
    server = ServerApp(config=Config({"EasyMLNB": {"queue_limit": "many", "app_kernels": 0}}))
    extension = EasyMLNB()
    with pytest.raises(TraitError, match="queue_limit"):
        extension._link_jupyter_server_extension(server)
    with pytest.raises(TraitError, match="queue_limit"):
        extension.initialize()
    asyncio.run(extension._start_jupyter_server_extension(server))
    asyncio.run(extension.stop_extension())
