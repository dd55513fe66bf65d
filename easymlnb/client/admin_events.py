"""``client.admin``: bridges to brokers, and folders and buckets that feed services."""

from typing import Any

from easymlnb.client import operations
from easymlnb.client.admin_method import Operations, operation
from easymlnb.client.messages import Operation


class EventOperations(Operations):
    """What brings calls and jobs in from outside; the administrator configures it."""

    @operation
    def bridges(self) -> Operation[list[dict[str, Any]]]:
        """Return the bridges to brokers that run in your name, with their counts."""
        return operations.get_listed("bridges", {}, "bridges")

    @operation
    def storage_events(self) -> Operation[list[dict[str, Any]]]:
        """Return the folders and buckets that feed services in your name."""
        return operations.get_listed("storage-events", {}, "sources")

    @operation
    def storage_source(self, name: str) -> Operation[dict[str, Any]]:
        """Return a folder or bucket that feeds a service, with its latest files."""
        return dict((yield from operations.get(f"storage-events/{name}")))
