"""A service as the formats of catalogs describe it."""

from dataclasses import dataclass
from math import ceil

import msgspec

from easymlnb.contract.metadata import Metadata, Resources
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.services import summaries


@dataclass(frozen=True, slots=True)
class DescribedService:
    """A service to describe.

    version: a number or ``live``.
    published: ISO date, or empty.
    url: absolute URL of the service's page.
    picture: absolute URL of its thumbnail, or empty.
    """

    spec: ServiceSpec
    version: str
    published: str
    url: str
    picture: str = ""

    @property
    def about(self) -> Metadata:
        return self.spec.metadata or Metadata()

    @property
    def summary(self) -> str:
        return self.about.summary or summaries.summary(self.spec.description) or self.spec.title

    @property
    def doi(self) -> str:
        return f"https://doi.org/{self.about.doi}" if self.about.doi else ""

    @property
    def citation(self) -> str:
        """Return the URL to cite."""
        text = self.about.citation
        return text if text.startswith(("https://", "http://")) else self.doi

    @property
    def needs(self) -> Resources:
        """Return the resources that the author states, else those of its workers."""
        stated, workers = self.about.resources, self.spec.resources
        gpus = 0 if isinstance(workers.gpu, str) else ceil(workers.gpu)
        return msgspec.structs.replace(
            stated, memory=stated.memory or workers.memory, gpu=stated.gpu or gpus
        )

    @property
    def created(self) -> str:
        return self.about.date or self.published[:10]
