"""Settings that all deployments of a server share."""

from dataclasses import dataclass
from pathlib import Path

from easymlnb_server.workers.environments import LockedEnvironments


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSettings:
    """Settings of a deployment.

    - ``folder``: parent of the workers' folders
    - ``start_timeout``: seconds that a worker may take to start
    - ``queue_limit``: number of calls of one service that may be queued
    - ``memory_limit``: bytes that a worker may use if its services set no limit; 0 for no limit
    - ``orphan_timeout``: seconds that workers wait for the next server after this one has ended; 0
      to end with it
    - ``environments``: builds locked environments; ``None`` where all workers run on nodes
    """

    folder: Path
    start_timeout: float = 600.0
    queue_limit: int = 64
    memory_limit: int = 0
    orphan_timeout: float = 60.0
    environments: LockedEnvironments | None = None
