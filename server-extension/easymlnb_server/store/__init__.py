"""Persistent state: rows in a database, and files named by their content hash."""

from easymlnb_server.store.records import Added, BundleState, StoredBundle, Version
from easymlnb_server.store.store import Store

__all__ = ["Added", "BundleState", "Store", "StoredBundle", "Version"]
