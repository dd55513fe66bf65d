"""Read what versions were made from: their records, bundles, differences and crates."""

import asyncio
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from msgspec import UNSET, UnsetType

from easymlnb.contract.bundle import Bundle, open_bundle
from easymlnb.contract.environment_record import Drift
from easymlnb.contract.errors import VersionNotFound
from easymlnb_server.publishing import provenance, ro_crate
from easymlnb_server.publishing.notebook_diff import NotebookComparer
from easymlnb_server.publishing.provenance import VersionDiff, VersionProvenance
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.store.provenance import ProvenanceRecord
from easymlnb_server.store.store import Store


class VersionArchive:
    """The published versions of all services, as they were made.

    Parameters
    ----------
    published
        The services of this process.
    store
        Returns the open store, or raises why it is not open.
    """

    def __init__(self, published: PublishedServices, store: Callable[[], Store]) -> None:
        self._published = published
        self._store = store
        self._comparer = NotebookComparer()

    def number(self, name: str, asked: str) -> int:
        """Return the number of a version by its number or alias; raises ``VersionNotFound``."""
        self._published.check()
        service = self._published.get(name)
        if service is None:  # it is only live
            raise VersionNotFound(asked)
        return service.find(asked)

    async def describe(self, name: str, asked: str, executed: str) -> VersionProvenance:
        """Return what a version was made from; ``executed`` is the URL of its notebook."""
        record = await self.record(name, asked)
        before = self._before(name, record.number)
        previous = None if before is None else await self._get(name, before)
        return provenance.describe(record, executed, previous, self.drift(name, record.number))

    async def compare(self, name: str, asked: str, other: str) -> VersionDiff:
        """Return the difference from one version to another.

        Without ``other`` it is that from the previous version to this one.
        """
        number = self.number(name, asked)
        if other:
            first, second = number, self.number(name, other)
        else:
            first, second = self._before(name, number) or number, number
        before, after = await self._get(name, first), await self._get(name, second)
        bundles = [await asyncio.to_thread(self._open, one) for one in (before, after)]
        key = (before.file, after.file)
        notebook = await self._comparer.compare(key, *(one.notebook for one in bundles))
        found = provenance.differences(before, after)
        return VersionDiff(
            service=name,
            before=first,
            after=second,
            cells=notebook.cells,
            text=provenance.readable(first, second, found, notebook),
            files=found.files,
            inputs=found.inputs,
            packages=found.packages,
            settings=found.settings,
        )

    async def record(self, name: str, asked: str) -> ProvenanceRecord:
        """Return the record of a version; raises ``VersionNotFound``."""
        return await self._get(name, self.number(name, asked))

    async def open_file(self, file: str) -> BinaryIO:
        """Open a file of a version for reading."""
        return await asyncio.to_thread(self._store().files.open, file)

    async def crate(self, name: str, asked: str, url: str) -> BinaryIO:
        """Return a version as an RO-Crate, an open temporary file."""
        record = await self.record(name, asked)
        return await asyncio.to_thread(self._crate, record, url)

    def drift(self, name: str, number: int) -> Drift | UnsetType:
        """Return what changed in the environment of a version's workers; ``UNSET`` if unknown."""
        service = self._published.get(name)
        entry = service.versions.get(number) if service is not None else None
        found = None if entry is None else entry.deployment.starter.drift
        return UNSET if found is None else found

    def _crate(self, record: ProvenanceRecord, url: str) -> BinaryIO:
        executed = self._store().files.get(record.log) if record.log else None
        target: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        with tempfile.TemporaryDirectory() as folder:
            ro_crate.write(target, record, self._open(record), executed, Path(folder), url)
        target.seek(0)
        return target

    def _open(self, record: ProvenanceRecord) -> Bundle:
        return open_bundle(self._store().files.get(record.file), verify=False)

    def _before(self, name: str, number: int) -> int | None:
        """Return the number of the version before one; ``None`` for the first."""
        service = self._published.get(name)
        known = service.numbers if service is not None else ()
        return max((one for one in known if one < number), default=None)

    async def _get(self, name: str, number: int) -> ProvenanceRecord:
        return await asyncio.to_thread(partial(self._store().provenance.get, name, number))
