"""One Hub for all tests here, with the local spawner; it is skipped where npm never was."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from support.hub import networks, slurm
from support.hub.hub import Hub, free_ports, proxy_command
from support.hub.networks import Network
from support.hub.shared_service import ServiceHub
from support.hub.slurm import Cluster

Made = TypeVar("Made", bound=Hub | Cluster | Network)


def _there() -> None:
    pytest.importorskip("jupyterhub", reason="JupyterHub is not installed: pip install -e .[hub]")
    if proxy_command() is None:
        pytest.skip("configurable-http-proxy is not installed; scripts/test does it, with npm.")


@pytest.fixture(scope="session")
def real_hub() -> None:
    """Skip where no Hub can run."""
    _there()


def _running(made: Made) -> Iterator[Made]:
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub whose servers are processes of this account."""
    _there()
    yield from _running(Hub(tmp_path_factory.mktemp("hub")))


@pytest.fixture(scope="session")
def service_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceHub]:
    """A Hub whose users share a service."""
    _there()
    yield from _running(ServiceHub(tmp_path_factory.mktemp("service-hub")))


def _slurm_there() -> None:
    pytest.importorskip("batchspawner", reason="batchspawner is not installed.")
    if not slurm.installed():
        pytest.skip("Slurm is not installed: apt-get install slurmctld slurmd slurm-client munge")


def _clustered(folder: Path, network: Network | None = None) -> Iterator[Cluster]:
    yield from _running(Cluster(folder, free_ports(1)[0], network))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Slurm cluster."""
    _slurm_there()
    yield from _clustered(tmp_path_factory.mktemp("slurm"))


@pytest.fixture(scope="session")
def slurm_hub(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Hub]:
    """A Hub whose servers are jobs of that cluster."""
    _there()
    yield from _running(Hub(tmp_path_factory.mktemp("slurm-hub"), cluster.variables))


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """A network with a host name and an address for each node of a cluster."""
    if refused := networks.refusal():
        pytest.skip(refused)
    yield from _running(Network(list(slurm.NODES)))


@pytest.fixture(scope="session")
def far_cluster(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Iterator[Cluster]:
    """A Slurm cluster whose nodes are hosts of that network."""
    _slurm_there()
    yield from _clustered(tmp_path_factory.mktemp("far"), network)


@pytest.fixture(scope="session")
def far_hub(tmp_path_factory: pytest.TempPathFactory, far_cluster: Cluster) -> Iterator[Hub]:
    """A Hub whose servers are on hosts of that network, and reach each other by its proxy."""
    _there()
    yield from _running(Hub(tmp_path_factory.mktemp("far-hub"), far_cluster.variables))
