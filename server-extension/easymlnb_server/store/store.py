"""The whole store: one database and the files that its rows name."""

import time
from pathlib import Path

from sqlalchemy import URL, text

from easymlnb.contract.errors import StorageBusy, StorageUnusable
from easymlnb_server.store.bundles import Bundles
from easymlnb_server.store.database import Database
from easymlnb_server.store.files import Files
from easymlnb_server.store.people import People
from easymlnb_server.store.services import Services
from easymlnb_server.store.usage import Usage

DAY = 86400.0
DATABASE = "easymlnb.sqlite"
FILES = "files"


class Store:
    """What survives. All methods block: call them from a thread, never from the event loop.

    Thread-safe.
    """

    def __init__(self, database: Database, files: Files) -> None:
        self.database = database
        self.files = files
        self.bundles = Bundles(database)
        self.services = Services(database)
        self.usage = Usage(database)
        self.people = People(database)

    @classmethod
    def open(cls, url: str, folder: Path, *, files: str = "") -> "Store":
        """Open the store, made on the first start, and bring it to the newest schema.

        ``url`` is the database's (empty: SQLite in ``folder``), ``files`` where the files are
        kept (empty: in ``folder``; a path or a URL for fsspec). Raises ``StorageUnusable`` with the
        reason and the fix: damaged, read-only, of a newer release, on a network file system, ...
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnusable(
                f"The folder {folder} cannot be created ({error.strerror}). Choose a writable "
                "folder."
            ) from error
        kept = Files(files or str(folder / FILES))
        default = URL.create("sqlite", database=str(folder / DATABASE))
        # An empty database beside published bundles is a lost one, not a new one.
        return cls(Database.open(url or default, expected=bool(kept.names())), kept)

    def close(self) -> None:
        """Give all connections back."""
        self.database.close()

    def ready(self) -> bool:
        """Say whether the database answers."""
        try:
            return bool(self.database.read(lambda connection: connection.scalar(text("SELECT 1"))))
        except StorageBusy:
            return False

    def sweep(self, *, older: float = DAY) -> int:
        """Forget bundles that failed or serve nothing any more, and files that nothing names.

        Only what has not changed for ``older`` seconds. Returns the number of files removed.
        """
        before = time.time() - older
        self.bundles.remove_unused(before=before)
        return self.files.sweep(self.bundles.files(), before=before)
