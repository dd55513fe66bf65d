"""What is exported, and how it runs in a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from easymlnb.contract.bundle import Bundle, Manifest

PORT = 8080
"""The port of the image, which KServe expects."""

USER = 10001
"""The user of the image: a number, so that a cluster can check that it is not root."""

HOME = "/home/easymlnb"
PROGRAMS = "/opt/easymlnb"
BUNDLE = "/srv/easymlnb/bundle.zip"
CREDENTIALS = "/run/secrets/easymlnb"
"""Paths in the image."""

TOKEN_KEY = "token"
"""Key of the token in its Kubernetes secret."""


@dataclass(frozen=True, slots=True)
class ExportedBundle:
    """A bundle to export.

    - ``service``, ``version``: as requested, such as ``roll`` and ``3``; empty for a file
    """

    bundle: Bundle = field(repr=False)
    service: str = ""
    version: str = ""

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @property
    def services(self) -> tuple[str, ...]:
        """The names of the services, without their owners."""
        return self.manifest.services or self.manifest.defines

    @property
    def title(self) -> str:
        """A name for all of it: the requested service, the only one, or that of the notebook."""
        if self.service:
            return self.service.rpartition("/")[2]
        if len(self.services) == 1:
            return self.services[0]
        return PurePosixPath(self.manifest.notebook).stem

    @property
    def tag(self) -> str:
        """The version, or the beginning of the bundle's id."""
        return self.version or self.bundle.id[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How an image runs in a cluster.

    - ``name``: of all objects
    - ``secret``: the Kubernetes secret with the token; callers need none with ``trust_cluster``
    - ``credentials``: the Kubernetes secret with the credentials of the code, if any
    - ``cpu``, ``memory``: as Kubernetes writes them, such as ``500m`` and ``2Gi``
    - ``concurrency``: calls that one replica should get at a time
    - ``timeout``: seconds that a call may take
    - ``drain``: seconds that running calls have when a replica stops
    - ``labels``, ``annotations``: of all objects
    """

    name: str
    image: str
    namespace: str = ""
    trust_cluster: bool = False
    secret: str = ""
    credentials: str = ""
    cpu: str = "500m"
    memory: str = "2Gi"
    gpus: int = 0
    min_replicas: int = 1
    max_replicas: int = 3
    concurrency: int = 10
    timeout: int = 300
    drain: int = 25
    base_url: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
