"""One Hub for all tests here, with the local spawner; it is skipped where npm never was."""

from collections.abc import Iterator

import pytest
from hub.hubs import Hub, proxy_command


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub whose servers are processes of this account."""
    pytest.importorskip("jupyterhub", reason="JupyterHub is not installed: pip install -e .[hub]")
    if proxy_command() is None:
        pytest.skip("configurable-http-proxy is not installed; scripts/test does it, with npm.")
    made = Hub(tmp_path_factory.mktemp("hub"))
    try:
        made.start()
        yield made
    finally:
        made.stop()
