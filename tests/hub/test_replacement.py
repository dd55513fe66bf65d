"""New versions in a placement that lets each user have one worker."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import nbformat
import pytest

from easymlnb.publishing.bundle import build_bundle
from support.hub.hub import Hub, User
from support.hub.load import Load
from support.notebooks import make_notebook

pytestmark = pytest.mark.timeout(300)

NAME = "only"
VERSION = """
import easymlnb as ml

@ml.service(placement="single", timeout=120, examples=[{{}}])
def only() -> int:
    return {value}
"""


@pytest.fixture(scope="module")
def heidi(hub: Hub) -> Iterator[User]:
    made = hub.serve("heidi")
    yield made
    for name in list(hub.servers("heidi")):
        hub.stop_server("heidi", name)


def post(user: User, value: str, folder: Path, **params: str) -> httpx.Response:
    path = folder / "only.ipynb"
    nbformat.write(make_notebook(VERSION.format(value=value)), path)
    headers = {"Content-Type": "application/zip"}
    return user.http.post(
        "services", content=build_bundle(path).data, headers=headers, params=params
    )


def test_versions_take_the_only_seat_from_each_other(hub: Hub, heidi: User, tmp_path: Path) -> None:
    def publish(value: str) -> dict[str, object]:
        source = make_notebook(VERSION.format(value=value))
        return heidi.publish(source, tmp_path / "only.ipynb")

    found = publish("1")
    assert found["state"] == "ready", found.get("error")

    # The next one replaces it automatically; calls wait, and none fails.
    with Load(heidi, NAME, callers=2) as load:
        found = publish("2")
        assert found["state"] == "ready", found.get("error")
        load.more()
        assert set(load.ends) == {"ok"}
        assert list(load.values) == [1, 2]

        # One that fails gives the place back.
        found = publish("1 / 0")
        assert found["state"] == "failed"
        assert str(found["error"]).count("The previous version starts again.") == 1
        load.more()
    assert set(load.ends) == {"ok"}
    assert heidi.call(NAME).json() == 2

    # A publication that waits names the service that has the slot, and can be canceled.
    sent = post(heidi, "3", tmp_path, replace="wait")
    assert sent.status_code == 202, sent.text
    at = f"bundles/{sent.json()['bundle']}"
    reason = hub.wait_for(lambda: heidi.http.get(at).json().get("reason"), "it does not wait")
    assert "all GPUs or slots of the placement 'single' are in use" in reason
    assert "In use by version 2 of 'only' (1 worker)." in reason
    assert heidi.call(NAME).json() == 2
    assert post(heidi, "3", tmp_path, replace="in_place").status_code == 202
    hub.wait_for(lambda: heidi.http.get(at).json()["state"] == "ready", "it does not serve")
    assert heidi.call(NAME).json() == 3
    refused = post(heidi, "4", tmp_path, replace="soon")
    assert refused.status_code == 400
    assert "auto, in_place, wait" in refused.json()["error"]["message"]
