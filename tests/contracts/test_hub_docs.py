"""The configuration in the Hub's documentation is what the program prints and parses."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from easymlnb.cli.hub import PORT, HubOptions
from easymlnb.contract.hub_config import ACCESS, OWN_SCOPES, SCOPES, SERVICE
from easymlnb_server.hub import group_limits
from easymlnb_server.hub.shared_service import NEEDED, config_from_environment
from easymlnb_server.placement.hub import profiles

HUB = Path(__file__).parents[2] / "docs/deploy"


def fenced(page: str, language: str) -> list[str]:
    text = (HUB / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def documents() -> list[Any]:
    found: list[Any] = []
    for text in fenced("kubernetes.md", "yaml"):
        found += yaml.safe_load_all(text)
    return found


def of_kind(kind: str) -> Any:
    found = [one for one in documents() if one.get("kind") == kind]
    assert len(found) == 1
    return found[0]


def test_the_block_in_the_docs_is_the_one_that_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/jupyterhub/bin/python")
    place = HubOptions(
        Path("/srv/easymlnb"),
        Path("/etc/jupyterhub/easymlnb_settings.py"),
        public="https://hub.example.org/",
    )
    printed, said = fenced("hub.md", "python")[0], place.block()
    assert printed == said
    compile(said, "block", "exec")


def test_without_an_address_the_block_leaves_that_line_to_the_administrator() -> None:
    assert '\n# c.JupyterHub.public_url = "https://hub.example.org"' in HubOptions().block()
    assert "--state-dir" not in HubOptions().block()


def test_settings_in_the_docs_are_understood() -> None:
    class Told:
        EasyMLNB: Any = type("EasyMLNB", (), {})

    text = next(one for one in fenced("hub.md", "python") if "group_limits" in one)
    exec(text, {"c": Told})
    spots = profiles.for_shared_service(Told.EasyMLNB.placements)
    assert (spots["local"].max_workers, spots["local"].slots) == (8, 8)
    found = group_limits.parse(Told.EasyMLNB.group_limits)
    assert group_limits.limit_for(["students"], found).workers == 2
    assert group_limits.limit_for([], found).workers == 8


def test_kubernetes_values_give_the_rights_that_are_needed() -> None:
    first, second = (one for one in documents() if "kind" not in one)
    assert tuple(first["hub"]["config"]["Spawner"]["server_token_scopes"]) == OWN_SCOPES
    scopes = second["hub"]["config"]["Spawner"]["server_token_scopes"]
    assert tuple(scopes) == (*OWN_SCOPES, ACCESS)
    roles = second["hub"]["loadRoles"]
    assert tuple(roles[SERVICE]["scopes"]) == SCOPES
    assert roles[SERVICE]["services"] == [SERVICE]
    assert roles["user"]["scopes"] == ["self", ACCESS]
    profiles = first["singleuser"]["profileList"]
    assert {"display_name", "slug"} <= set.intersection(*(set(one) for one in profiles))
    assert second["hub"]["services"][SERVICE]["url"] == f"http://{SERVICE}:{PORT}"


def test_kubernetes_runs_the_service_as_it_wants_to_be_run(tmp_path: Path) -> None:
    pod = of_kind("Deployment")["spec"]["template"]
    container = pod["spec"]["containers"][0]
    told = {one["name"]: one.get("value", "secret") for one in container["env"]}
    assert set(NEEDED) <= set(told)
    # What a Hub gives to a service that others start, as for two processes.
    of_two = re.findall(r"JUPYTERHUB_\w+(?==)", "".join(fenced("hub.md", "sh")))
    assert set(of_two) <= set(told)
    found = config_from_environment(told, tmp_path)
    assert (found.ServerApp.base_url, found.ServerApp.port) == ("/services/", PORT)
    assert container["command"][:3] == ["easymlnb", "hub", "serve"]
    text = of_kind("ConfigMap")["data"]["easymlnb.json"]
    said = json.loads(text)["EasyMLNB"]
    assert list(profiles.for_shared_service(said["placements"])) == ["local", "gpu"]
    assert group_limits.parse(said["group_limits"])
    labels = pod["metadata"]["labels"]
    policy = of_kind("NetworkPolicy")["spec"]
    for selector in (
        policy["podSelector"]["matchLabels"],
        of_kind("Service")["spec"]["selector"],
        of_kind("Deployment")["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    allowed = [one["podSelector"]["matchLabels"] for one in policy["ingress"][0]["from"]]
    assert [one["component"] for one in allowed] == ["proxy", "hub"]
    assert policy["ingress"][0]["ports"] == [{"port": PORT}]
    assert container["ports"] == [{"containerPort": PORT}]


@pytest.mark.parametrize("name", NEEDED)
def test_nobody_but_a_hub_starts_it(name: str, tmp_path: Path) -> None:
    told = dict.fromkeys(NEEDED, "x")
    told["JUPYTERHUB_SERVICE_PREFIX"] = "/services/easymlnb/"
    del told[name]
    with pytest.raises(ValueError, match=f"{name} is not set.*easymlnb hub config"):
        config_from_environment(told, tmp_path)


def test_another_name_is_refused(tmp_path: Path) -> None:
    told = dict.fromkeys(NEEDED, "x")
    told["JUPYTERHUB_SERVICE_PREFIX"] = "/services/ml/"
    with pytest.raises(ValueError, match="must be named 'easymlnb'"):
        config_from_environment(told, tmp_path)
