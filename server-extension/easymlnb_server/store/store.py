"""The persistent state of a server: a database, and the files that its rows refer to."""

import time
from pathlib import Path

from sqlalchemy import URL

from easymlnb.contract.errors import StorageUnusable
from easymlnb_server.store.api_keys import ApiKeyRepository
from easymlnb_server.store.audit import Audit
from easymlnb_server.store.bundles import Bundles
from easymlnb_server.store.call_usage import CallUsage
from easymlnb_server.store.comparisons import Comparisons
from easymlnb_server.store.database import Database
from easymlnb_server.store.files import Files
from easymlnb_server.store.people import People
from easymlnb_server.store.promotions import PromotionRows
from easymlnb_server.store.provenance import Provenance
from easymlnb_server.store.recordings import Recordings
from easymlnb_server.store.service_limits import ServiceLimitsRepository
from easymlnb_server.store.services import Services
from easymlnb_server.store.traffic import TrafficRows
from easymlnb_server.store.usage import Usage

DAY = 86400.0
DATABASE = "easymlnb.sqlite"
FILES = "files"


class Store:
    """The database and the files. Methods block and are thread-safe: call them in a thread."""

    def __init__(self, database: Database, files: Files) -> None:
        self.database = database
        self.files = files
        self.bundles = Bundles(database)
        self.services = Services(database)
        self.usage = Usage(database)
        self.people = People(database)
        self.audit = Audit(database)
        self.api_keys = ApiKeyRepository(database)
        self.service_limits = ServiceLimitsRepository(database)
        self.call_usage = CallUsage(database)
        self.traffic = TrafficRows(database)
        self.promotions = PromotionRows(database)
        self.provenance = Provenance(database)
        self.recordings = Recordings(database)
        self.comparisons = Comparisons(database)

    @classmethod
    def open(cls, url: str, folder: Path, *, files: str = "") -> "Store":
        """Open or create the store and migrate it to the newest schema.

        ``url`` is the database's, by default SQLite in ``folder``. ``files`` is a path or an
        fsspec URL, by default a folder in ``folder``. Raises ``StorageUnusable`` with the reason
        and a fix.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnusable(
                f"The folder {folder} cannot be created ({error.strerror}). Choose a writable "
                "folder."
            ) from error
        stored = Files(files or str(folder / FILES))
        default = URL.create("sqlite", database=str(folder / DATABASE))
        # Without its database, a folder of published bundles is not a new store.
        return cls(Database.open(url or default, expected=bool(stored.names())), stored)

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    def sweep(self, *, older: float = DAY) -> int:
        """Remove unused bundles, and files that nothing needs; return the number of files.

        Only what has not changed for ``older`` seconds is removed.
        """
        before = time.time() - older
        self.bundles.remove_unused(before=before)
        return self.files.sweep(self.needed_files(), before=before)

    def needed_files(self) -> set[str]:
        """Return the names of all files that a row of the database needs."""
        return (
            self.bundles.files()
            | self.provenance.files()
            | self.recordings.files()
            | self.comparisons.files()
        )
