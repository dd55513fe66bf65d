"""One Hub for all tests here, with the local spawner; it is skipped where npm never was."""

from collections.abc import Iterator

import pytest
from hub import clusters
from hub.clusters import Cluster
from hub.hubs import Hub, free_ports, proxy_command


def _there() -> None:
    pytest.importorskip("jupyterhub", reason="JupyterHub is not installed: pip install -e .[hub]")
    if proxy_command() is None:
        pytest.skip("configurable-http-proxy is not installed; scripts/test does it, with npm.")


def _running(hub: Hub) -> Iterator[Hub]:
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub whose servers are processes of this account."""
    _there()
    yield from _running(Hub(tmp_path_factory.mktemp("hub")))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Slurm cluster."""
    pytest.importorskip("batchspawner", reason="batchspawner is not installed.")
    if not clusters.installed():
        pytest.skip("Slurm is not installed: apt-get install slurmctld slurmd slurm-client munge")
    made = Cluster(tmp_path_factory.mktemp("slurm"), free_ports(1)[0])
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def slurm_hub(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Hub]:
    """A Hub whose servers are jobs of that cluster."""
    _there()
    yield from _running(Hub(tmp_path_factory.mktemp("slurm-hub"), cluster.variables))
