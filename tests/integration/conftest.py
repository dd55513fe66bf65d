"""A server of its own for the tests of faults: what they do to it is nobody else's business."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.invariants import check
from support.misbehaving import BYSTANDER, VICTIM, pid
from support.notebooks import make_notebook
from support.postgres import running
from support.server import RunningServer, running_server


@pytest.fixture(scope="session")
def victim_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("faults")
    notebooks = make_notebook(BYSTANDER), make_notebook(VICTIM)
    with running_server(folder, *notebooks, options=("--EasyMLNB.queue_limit=2",)) as server:
        yield server


@pytest.fixture
def victim(victim_server: RunningServer) -> Iterator[RunningServer]:
    """The server with the services of ``victim``; afterwards it must be as it was before."""
    yield victim_server
    check(victim_server, 2, "bystander", x=2)
    pid(victim_server)


@pytest.fixture(scope="session")
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)]
)
def database(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """The options of a server with an empty database of each kind."""
    if request.param == "sqlite":
        yield ()
        return
    with running() as postgres:
        yield (f"--EasyMLNB.database_url={postgres.create()}",)
