"""Traits for storage and standbys."""

from pathlib import Path

from jupyter_core.paths import jupyter_data_dir
from traitlets import Float, HasTraits, TraitError, Unicode, default, validate

from easymlnb_server.store.store import Store

MIN_LEASE = 3.0
"""Seconds; renewing a lease takes time and happens five times within its length."""


class StorageSettings(HasTraits):
    """Traits of the extension."""

    state_dir = Unicode(
        help="Folder for the database and the files; default: Jupyter's data folder."
    ).tag(config=True)
    database_url = Unicode(help="SQLAlchemy URL; default: SQLite in state_dir.").tag(config=True)
    files_url = Unicode(help="fsspec URL for bundles; default: a folder in state_dir.").tag(
        config=True
    )
    lease_seconds = Float(
        10.0,
        help="With PostgreSQL: seconds after which a standby takes over from a server process "
        "that has crashed or is cut off.",
    ).tag(config=True)

    @default("state_dir")
    def _state_dir(self) -> str:
        return str(Path(jupyter_data_dir()) / "easymlnb")

    @validate("lease_seconds")
    def _lease_seconds(self, proposal: dict[str, float]) -> float:
        if proposal["value"] < MIN_LEASE:
            raise TraitError(f"EasyMLNB.lease_seconds must be at least {MIN_LEASE:g}.")
        return proposal["value"]

    @property
    def may_have_standbys(self) -> bool:
        """Return whether other server processes can use the same database."""
        return self.database_url.startswith("postgres")

    def open_store(self) -> Store:
        """Open the store; raises ``StorageUnusable``. Blocks."""
        return Store.open(self.database_url, Path(self.state_dir), files=self.files_url)
