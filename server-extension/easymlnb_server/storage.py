"""What an administrator may set about where a server keeps things, and with whom it shares them."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_core.paths import jupyter_data_dir
from traitlets import Float, HasTraits, TraitError, Unicode, default, validate

from easymlnb.contract.errors import StorageUnusable
from easymlnb_server.cluster.cluster import Cluster
from easymlnb_server.cluster.keeper import Keeper
from easymlnb_server.cluster.publications import LeasedPublications
from easymlnb_server.publications import Publications
from easymlnb_server.serving import Deploy
from easymlnb_server.store.store import DAY, Store

SHORTEST = 3.0
"""Seconds of the shortest lease: a turn takes its time, and there is one a second."""


class StorageSettings(HasTraits):
    """Traits of the extension."""

    state_dir = Unicode(
        help="Folder for the database and the files; default: Jupyter's data folder."
    ).tag(config=True)
    database_url = Unicode(help="SQLAlchemy URL; default: SQLite in state_dir.").tag(config=True)
    files_url = Unicode(help="fsspec URL for bundles; default: a folder in state_dir.").tag(
        config=True
    )
    own_url = Unicode(
        help="Where other server processes on the same PostgreSQL reach this one, such as "
        "http://10.0.0.5:8888; set, they share the services. Default: this process serves alone."
    ).tag(config=True)
    lease_seconds = Float(
        15.0, help="Seconds after which the others take over what a lost process served."
    ).tag(config=True)

    @default("state_dir")
    def _state_dir(self) -> str:
        return str(Path(jupyter_data_dir()) / "easymlnb")

    @validate("own_url")
    def _own_url(self, proposal: dict[str, str]) -> str:
        parts = urlsplit(proposal["value"])
        if proposal["value"] and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise TraitError("EasyMLNB.own_url looks like http://10.0.0.5:8888.")
        return proposal["value"]

    @validate("lease_seconds")
    def _lease_seconds(self, proposal: dict[str, float]) -> float:
        if proposal["value"] < SHORTEST:
            raise TraitError(f"EasyMLNB.lease_seconds must be at least {SHORTEST:g}.")
        return proposal["value"]

    def make_publications(
        self, deploy: Deploy, shared: bool
    ) -> tuple[Publications, Cluster | None]:
        """Return what is published, and what shares it with other processes, if any do."""
        if not self.own_url:
            return Publications(deploy, shared=shared), None
        made = LeasedPublications(deploy, shared=shared)
        keeper = Keeper(
            made, folder=Path(self.state_dir), address=self.own_url, seconds=self.lease_seconds
        )
        return made, Cluster(made, keeper)

    def open_store(self) -> Store:
        """Open the store; raises ``StorageUnusable``. Blocks."""
        store = Store.open(self.database_url, Path(self.state_dir), files=self.files_url)
        try:
            if self.own_url and not store.leases.shared:
                raise StorageUnusable(
                    "EasyMLNB.own_url is for several processes on one PostgreSQL; SQLite has room "
                    "for one. Name a PostgreSQL in EasyMLNB.database_url, or remove own_url."
                )
            if not self.own_url and (others := store.leases.others()):
                raise StorageUnusable(
                    f"Other server processes serve from this database ({', '.join(others)}). Set "
                    "EasyMLNB.own_url to take part in that."
                )
        except BaseException:
            store.close()
            raise
        return store


async def sweep(store: Store) -> None:
    """Remove what nothing needs any more, now and once a day."""
    while True:
        await asyncio.to_thread(store.sweep)
        await asyncio.sleep(DAY)
