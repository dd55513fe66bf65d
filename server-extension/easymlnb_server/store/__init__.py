"""What survives: rows in a database, files by content hash."""

from easymlnb_server.store.records import Added, State, StoredBundle, StoredService, Version
from easymlnb_server.store.store import Store

__all__ = ["Added", "State", "Store", "StoredBundle", "StoredService", "Version"]
