"""The settings of a server for given bundles."""

from pathlib import Path

from easymlnb_server.bundle_server.identity import ClusterIdentity
from easymlnb_server.bundle_server.server import config_from


def test_a_server_without_a_login_leaves_the_check_of_host_names_to_jupyter(
    tmp_path: Path,
) -> None:
    trusting = config_from(tmp_path / "a", trusted=True).ServerApp
    assert trusting.identity_provider_class is ClusterIdentity
    assert "allow_remote_access" not in trusting
    assert config_from(tmp_path / "b", trusted=False).ServerApp.allow_remote_access is True
