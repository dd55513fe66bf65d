"""A user is renamed, another gets the name: what was published stays with who published it."""

from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from easymlnb.cli.app import app
from easymlnb.publishing.bundle import build_bundle
from support.hub.shared_service import ServiceHub
from support.notebooks import make_notebook

ZIP = {"Content-Type": "application/zip"}

WHERE = """
import os
import easymlnb as ml

print("a secret of the log")

@ml.service
def where(x: int = 1) -> str:
    return os.path.expanduser("~")
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def renamed(hub: ServiceHub, old: str, new: str) -> None:
    answer = hub.api.patch(f"users/{old}", json={"name": new})
    assert answer.status_code == 200, answer.text


def test_services_stay_with_who_published_them(service_hub: ServiceHub, tmp_path: Path) -> None:
    former, dora = service_hub.member("gina"), service_hub.member("dora")
    people = [former, dora]
    try:
        found = former.publish(make_notebook(WHERE), tmp_path / "where.ipynb")
        assert found["state"] == "ready", found.get("error")
        bundle = found["bundle"]
        friend = service_hub.member("ivy")  # who has never been at the service
        former.share("gina/where", users=["hugo", "ivy"])
        renamed(service_hub, "ivy", "ivy2")
        renamed(service_hub, "gina", "gina2")
        newcomer, hugo = service_hub.member("gina"), service_hub.member("hugo")
        stranger = service_hub.member("ivy")
        people += [newcomer, hugo, friend, stranger]

        # What is shared with somebody is not shared with who gets the name.
        assert stranger.call("gina/where").status_code == 404
        assert friend.call("gina/where").status_code == 200

        # The newcomer finds nothing, neither in lists nor by its address.
        assert "where" not in newcomer.http.get("services").text
        at = "services/gina/where"
        for method, path in (("GET", at), ("GET", f"{at}/log"), ("PUT", f"{at}/access"),
                             ("DELETE", at), ("POST", f"{at}/call"), ("GET", f"bundles/{bundle}"),
                             ("GET", f"bundles/{bundle}/notebook")):  # fmt: skip
            answer = newcomer.http.request(method, path, json={} if method != "GET" else None)
            assert answer.status_code == 404, (method, path, answer.text)
        notebook = make_notebook(WHERE.replace("where", "other"))
        nbformat.write(notebook, tmp_path / "other.ipynb")
        data = build_bundle(tmp_path / "other.ipynb").data
        refused = newcomer.http.post("services", content=data, headers=ZIP)
        assert refused.status_code == 403
        assert "belong to a former user of the Hub with the same name" in refused.text
        assert "easymlnb hub transfer gina NEW" in refused.text

        # Its publisher still has it, under the former name.
        def is_renamed() -> bool:
            return bool(former.http.get("me").json()["name"] == "gina2")

        service_hub.wait_for(is_renamed, "the service does not notice", 60.0)
        assert former.http.get(f"{at}/log").status_code == 200
        assert hugo.call("gina/where").text == former.call("gina/where").text

        # No worker of the former starts in the newcomer's account.
        service_hub.api.request(
            "DELETE", "users/gina2/servers/easymlnb-local-1", json={"remove": True}
        )
        service_hub.wait_for(
            lambda: "the name was reused" in former.http.get(at).text, "a worker started"
        )
        assert not service_hub.servers("gina")

        # An administrator gives it to who was renamed.
        options = ["--url", service_hub.service_url, "--token", dora.token]
        done = CliRunner().invoke(app, ["hub", "transfer", "gina", "gina2", *options])
        assert (done.exit_code, done.stdout) == (0, "gina/where is now gina2/where\n"), done.output

        def home() -> str:
            answer = hugo.call("gina2/where")
            return str(answer.json()) if answer.status_code == 200 else ""

        assert service_hub.wait_for(home, "it does not serve").endswith("/homes/gina2")
        assert former.http.get("services/gina2/where/log").status_code == 200
        moved = hugo.call("gina/where")
        assert moved.status_code == 404
        assert "Its name is now 'gina2/where'" in moved.json()["error"]["message"]
        assert "now" not in newcomer.call("gina/where").json()["error"]["message"]

        # The name is the newcomer's now.
        found = newcomer.publish(make_notebook(WHERE), tmp_path / "where.ipynb")
        assert found["state"] == "ready", found.get("error")
        assert newcomer.call("gina/where").json().endswith("/homes/gina")
        assert hugo.call("gina/where").status_code == 404

        for name in ("gina", "gina2"):
            done = CliRunner().invoke(app, ["hub", "remove-user", name, "--yes", *options])
            assert (done.exit_code, done.stdout) == (0, f"{name}/where removed\n"), done.output
        assert former.http.get("services").json()["services"] == []
        service_hub.wait_for(
            lambda: not service_hub.servers("gina") and not service_hub.servers("gina2"),
            "the nodes stay",
        )
        not_for_her = [*options[:-1], former.token]
        done = CliRunner().invoke(app, ["hub", "transfer", "a", "b", *not_for_her])
        assert done.exit_code == 1
        assert "administrator of the Hub" in done.output
    finally:
        for member in people:
            member.http.close()
