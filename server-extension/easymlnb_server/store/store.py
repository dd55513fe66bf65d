"""The persistent state of a server: a database, and the files that its rows refer to."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from easymlnb.contract.errors import StorageUnusable
from easymlnb_server.store.api_keys import ApiKeyRepository
from easymlnb_server.store.audit import Audit
from easymlnb_server.store.bundles import Bundles
from easymlnb_server.store.call_usage import CallUsage
from easymlnb_server.store.comparisons import ComparisonRows
from easymlnb_server.store.credentials import CredentialRows
from easymlnb_server.store.database import Database
from easymlnb_server.store.files import Files
from easymlnb_server.store.models import ModelRows
from easymlnb_server.store.people import People
from easymlnb_server.store.promotions import PromotionRows
from easymlnb_server.store.provenance import Provenance
from easymlnb_server.store.quality import QualityReports
from easymlnb_server.store.recordings import RecordingRows
from easymlnb_server.store.records import StoredBundle
from easymlnb_server.store.service_limits import ServiceLimitsRepository
from easymlnb_server.store.services import Services
from easymlnb_server.store.traffic import TrafficRows
from easymlnb_server.store.usage import GpuUsageRows

DAY = 86400.0
DATABASE = "easymlnb.sqlite"
FILES = "files"


@dataclass(frozen=True, slots=True)
class Unused:
    """What nothing needs: bundles, and files with their sizes in bytes by name."""

    bundles: list[StoredBundle]
    files: dict[str, int]


class Store:
    """The database and the files. Methods block and are thread-safe: call them in a thread."""

    def __init__(self, database: Database, files: Files) -> None:
        self.database = database
        self.files = files
        self.bundles = Bundles(database)
        self.services = Services(database)
        self.usage = GpuUsageRows(database)
        self.people = People(database)
        self.audit = Audit(database)
        self.api_keys = ApiKeyRepository(database)
        self.service_limits = ServiceLimitsRepository(database)
        self.call_usage = CallUsage(database)
        self.traffic = TrafficRows(database)
        self.promotions = PromotionRows(database)
        self.credentials = CredentialRows(database)
        self.provenance = Provenance(database)
        self.quality = QualityReports(database)
        self.recordings = RecordingRows(database)
        self.comparisons = ComparisonRows(database)
        self.models = ModelRows(database)
        self.more_files: list[Callable[[], set[str]]] = []
        """Return the names of further files that must be kept."""

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
        stored = files_in(folder, files)
        # Without its database, a folder of published bundles is not a new store.
        return cls(Database.open(url or default_url(folder), expected=bool(stored.names())), stored)

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    def sweep(self, *, older: float = DAY) -> int:
        """Remove unused bundles, and files that nothing needs; return the number of files.

        Only what has not changed for ``older`` seconds is removed.
        """
        before = time.time() - older
        self.bundles.remove_unused(before=before)
        self.models.forget_uses()
        return self.files.sweep(self.needed_files(), before=before)

    def unused(self, *, older: float = DAY) -> Unused:
        """Return what ``sweep`` would remove."""
        before = time.time() - older
        unused = self.bundles.unused(before=before)
        kept = self.needed_files(without={bundle.id for bundle in unused})
        return Unused(unused, self.files.unused(kept, before=before))

    def needed_files(self, *, without: Collection[str] = ()) -> set[str]:
        """Return the files that rows of the database need, also if some bundles did not exist."""
        found = (
            self.bundles.files(without=without)
            | self.provenance.files()
            | self.recordings.files()
            | self.comparisons.files()
            | self.models.files()
        )
        return found.union(*(names() for names in self.more_files))


def default_url(folder: Path) -> URL:
    """Return the URL of the database in a state folder."""
    return URL.create("sqlite", database=str(folder / DATABASE))


def files_in(folder: Path, url: str = "") -> Files:
    """Return the files at ``url``, by default in a state folder."""
    return Files(url or str(folder / FILES))
