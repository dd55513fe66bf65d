"""Services of groups, maintainers and transfers on a shared service: who may do what."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from typer.testing import CliRunner

from easymlnb.cli.app import app
from support.notebooks import make_notebook
from support.server import free_port, publish
from support.shared_server import BOB, OPTIONS, PEOPLE, SharedServer, call

CELL = """
import easymlnb as ml

@ml.service
def {name}() -> str:
    return {answer!r}
"""


@pytest.fixture(scope="module")
def shared(
    database: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedServer]:
    folder = tmp_path_factory.mktemp("owned")
    server = SharedServer(folder, free_port(), options=(*OPTIONS, *database), app_kernels=0)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def bring(server: SharedServer, who: str, query: str, name: str, answer: str) -> dict[str, Any]:
    notebook = make_notebook(CELL.format(name=name, answer=answer))
    path = server.root / f"{name}.ipynb"
    return publish(server.people[who], server.wait_for, notebook, path, **dict(parse_qsl(query)))


def refused(server: SharedServer, who: str, query: str) -> str:
    from easymlnb.publishing.bundle import build_bundle

    data = build_bundle(server.root / "forecast.ipynb").data
    sent = server.people[who].post(
        f"services?{query}", content=data, headers={"Content-Type": "application/zip"}
    )
    assert sent.status_code == 403, sent.text
    return str(sent.json()["error"]["message"])


def test_a_group_owns_services_that_outlive_people(shared: SharedServer) -> None:
    people = shared.people
    made = bring(shared, "alice", "owner=ml", "forecast", "one")
    assert [one["full_name"] for one in made["services"]] == ["ml/forecast"]
    assert people["dave"].get("services/ml/forecast").json()["owner"] == "group:ml"
    assert call(shared, "dave", "ml/forecast").json() == "one"
    assert call(shared, "carol", "ml/forecast").status_code == 404
    assert "not a member" in refused(shared, "carol", "owner=ml")
    assert "not a member" in refused(shared, "carol", "owner=group:ml")
    # The next member takes over when the first one is gone.
    without = {name: one for name, one in PEOPLE.items() if name != "alice"}
    shared.know(without)
    gone = people["root"].get("hub/ownerless").json()["services"]
    assert gone == [
        {"name": "ml/forecast", "owner": "group:ml", "account": "alice", "gone": ["alice"]}
    ]
    assert "ml/forecast" in people["root"].get("hub/ownerless/page").text
    token = people["root"].headers["Authorization"].split()[-1]
    told = CliRunner().invoke(app, ["hub", "ownerless", "--url", shared.url, "--token", token])
    assert (told.exit_code, "ml/forecast" in told.stdout) == (0, True), told.output
    bring(shared, "dave", "owner=ml", "forecast", "two")
    assert call(shared, "dave", "ml/forecast").json() == "two"
    assert people["root"].get("hub/ownerless").json()["services"] == []
    assert people["dave"].get("hub/ownerless").status_code == 403
    shared.know(PEOPLE)


def test_maintainers_publish_and_manage_and_do_not_own(shared: SharedServer) -> None:
    people = shared.people
    bring(shared, "alice", "", "segment", "first")
    at = "services/alice/segment"
    assert "not a maintainer" in refused(shared, "carol", "owner=alice&name=segment")
    listed = people["alice"].put(f"{at}/maintainers", json={"users": ["carol"]})
    assert listed.json() == {"users": ["carol"], "groups": []}
    bring(shared, "carol", "owner=alice&name=segment", "segment", "second")
    assert call(shared, "alice", "alice/segment").json() == "second"
    assert people["carol"].get(f"{at}/log").status_code == 200
    assert people["carol"].put(f"{at}/access", json={"groups": ["ops"]}).status_code == 200
    assert people["alice"].get(f"{at}/maintainers").json()["users"] == ["carol"]
    shown = {who: people[who].get(f"{at}/page").text for who in ("alice", "carol", BOB)}
    assert ["Maintainers: carol" in page for page in shown.values()] == [True, True, False]
    assert ["Change maintainers" in page for page in shown.values()] == [True, False, False]
    assert call(shared, BOB, "alice/segment").json() == "second"
    for method, route, body in (
        ("PUT", "maintainers", {"users": ["carol", BOB]}),
        ("POST", "transfer", {"to": "group:ml"}),
        ("DELETE", "", None),
    ):
        answer = people["carol"].request(method, f"{at}/{route}".rstrip("/"), json=body)
        assert answer.status_code == 404, (method, route, answer.text)
    assert people["alice"].put(f"{at}/access", json={"maintainers": {}}).status_code == 400
    assert people["alice"].put(f"{at}/maintainers", json={}).status_code == 200
    assert people["carol"].get(at).status_code == 404


def test_a_service_is_given_to_a_group(shared: SharedServer) -> None:
    people = shared.people
    bring(shared, "alice", "", "given", "kept")
    at = "services/alice/given/transfer"
    people["alice"].put("services/alice/given/access", json={"users": ["carol"]})
    for who, to, status in (
        ("alice", BOB, 403), ("alice", "group:ops", 403), ("alice", "group:", 403),
        ("root", "nosuch", 400), ("carol", "group:ml", 404), ("alice", 5, 400),
    ):  # fmt: skip
        answer = people[who].post(at, json={"to": to})
        assert answer.status_code == status, (who, to, answer.text)
    moved = people["alice"].post(at, json={"to": "group:ml"})
    assert moved.json() == {"moved": {"alice/given": "ml/given"}}
    answered = shared.wait_for(
        lambda: (found := call(shared, "dave", "ml/given")).status_code == 200 and found.json(),
        "the service does not answer under its new name",
    )
    assert answered == "kept"
    assert call(shared, "carol", "ml/given").json() == "kept"
    assert "ml/given" in call(shared, "alice", "alice/given").json()["error"]["message"]
    assert people["dave"].get("services/ml/given").json()["version"] == 1
    back = people["root"].post("services/ml/given/transfer", json={"to": "dave"})
    assert back.json() == {"moved": {"ml/given": "dave/given"}}
    assert people["alice"].get("services/dave/given").status_code == 404
