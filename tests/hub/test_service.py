"""The shared service on a real Hub: published there, run as its author, called by whom they say."""

from collections.abc import Iterator

import pytest
from conftest import make_notebook
from hub.services import Member, ServiceHub

WHERE = """
import os
import easymlnb as ml

@ml.service
def where(x: int = 1) -> dict:
    return {
        "x": x,
        "home": os.path.expanduser("~"),
        "pid": os.getpid(),
        "names": sorted(os.environ),
    }
"""


@pytest.fixture(scope="module")
def alice(service_hub: ServiceHub) -> Iterator[Member]:
    made = service_hub.member("alice")
    yield made
    made.http.close()


@pytest.fixture(scope="module")
def where(alice: Member, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("where")
    found = alice.publish(make_notebook(WHERE), folder / "where.ipynb")
    assert found["state"] == "ready", found.get("error")
    return "alice/where"


def test_worker_runs_in_a_named_server_of_its_author(
    service_hub: ServiceHub, alice: Member, where: str
) -> None:
    answer = alice.call(where, x=3)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["x"] == 3
    # No server of hers runs but the one that the service started for her.
    assert list(service_hub.servers("alice")) == ["easymlnb-local-1"]
    assert told["home"].endswith("/homes/alice")
    assert not [name for name in told["names"] if name.startswith("JUPYTERHUB")]
