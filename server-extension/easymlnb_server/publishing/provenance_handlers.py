"""What a version was made from: provenance, differences, downloads."""

from functools import partial
from typing import BinaryIO

from tornado import web

from easymlnb.contract.environment_record import Drift
from easymlnb.contract.errors import BundleNotFound
from easymlnb.contract.names import quoted
from easymlnb.contract.quality import QualityReport
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.downloads import send_chunks
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.names import short_name
from easymlnb_server.openapi.document import BYTES, HTML, TEXT, Operation, ok, query_parameter
from easymlnb_server.publishing.provenance import VersionDiff, VersionProvenance
from easymlnb_server.publishing.version_archive import VersionArchive

CHUNK = 2**18
ZIP = "application/zip"
NOTEBOOK = "application/x-ipynb+json"


class _ProvenanceHandler(EasyHandler):
    """Base: for those who manage the service."""

    audited_reads = True

    @property
    def archive(self) -> VersionArchive:
        return self.state.version_archive

    def check_manages(self, name: str) -> None:
        """Raise ``ServiceNotFound`` for callers who may not manage the service."""
        self.target(name, Action.MANAGE)

    async def send(self, file: BinaryIO, media: str, filename: str) -> None:
        """Send a file in chunks, and close it."""
        self.set_header("Content-Type", media)
        self.set_header("Content-Disposition", f'attachment; filename="{filename}"')
        with file:
            await send_chunks(self, partial(file.read, CHUNK))


class ProvenanceHandler(_ProvenanceHandler):
    """``GET services/{name}/versions/{version}/provenance``."""

    @web.authenticated
    async def get(self, name: str, version: str) -> None:
        self.check_manages(name)
        executed = f"services/{quoted(name)}/versions/{version}/notebook"
        self.write_json(await self.archive.describe(name, version, executed))


class VersionDiffHandler(_ProvenanceHandler):
    """``GET services/{name}/versions/{version}/diff``."""

    @web.authenticated
    async def get(self, name: str, version: str) -> None:
        self.check_manages(name)
        other = self.get_query_argument("to", "")
        self.write_json(await self.archive.compare(name, version, other))


class VersionQualityHandler(_ProvenanceHandler):
    """``GET services/{name}/versions/{version}/quality``: what the quality gate found."""

    @web.authenticated
    async def get(self, name: str, version: str) -> None:
        self.check_manages(name)
        record = await self.archive.record(name, version)
        found = await self.state.publisher.gate.report(record.bundle)
        if found is None:
            raise BundleNotFound(record.bundle, "quality report of the bundle")
        self.write_json(found)


class VersionBundleHandler(_ProvenanceHandler):
    """``GET services/{name}/versions/{version}/bundle``."""

    @web.authenticated
    async def get(self, name: str, version: str) -> None:
        self.check_manages(name)
        record = await self.archive.record(name, version)
        file = await self.archive.open_file(record.file)
        await self.send(file, ZIP, f"{short_name(name)}-{record.number}.zip")


class VersionNotebookHandler(_ProvenanceHandler):
    """``GET services/{name}/versions/{version}/notebook``: as a worker executed it."""

    @web.authenticated
    async def get(self, name: str, version: str) -> None:
        self.check_manages(name)
        record = await self.archive.record(name, version)
        if record.log is None:
            raise BundleNotFound(record.bundle, "executed notebook of the bundle")
        file = await self.archive.open_file(record.log)
        await self.send(file, NOTEBOOK, f"{short_name(name)}-{record.number}.ipynb")


class VersionCrateHandler(_ProvenanceHandler):
    """``GET services/{name}/versions/{version}/crate``: as an RO-Crate."""

    @web.authenticated
    async def get(self, name: str, version: str) -> None:
        self.check_manages(name)
        url = f"{self.address}services/{quoted(name)}"
        file = await self.archive.crate(name, version, url)
        await self.send(file, ZIP, f"{short_name(name)}-{version}.crate.zip")


class VersionPageHandler(PageHandler):
    """``GET services/{name}/versions/{version}/page``: all of it as a page."""

    audited_reads = True

    @web.authenticated
    async def get(self, name: str, version: str) -> None:
        self.target(name, Action.MANAGE)
        archive = self.state.version_archive
        executed = f"services/{quoted(name)}/versions/{version}/notebook"
        made = await archive.describe(name, version, executed)
        diff = None if made.previous is None else await archive.compare(name, version, "")
        self.page(
            "version.html",
            made=made,
            diff=diff,
            quality=await self.state.publisher.gate.report(made.bundle),
            drifted=_rows(made.drift or Drift()),
            inputs=[
                (path, file.size, file.sha256 or "not read") for path, file in made.inputs.items()
            ],
        )


def _rows(drift: Drift) -> list[tuple[str, str, str]]:
    changed = [(name, old, new) for name, (old, new) in drift.changed.items()]
    return changed + [(name, old, "not installed") for name, old in drift.missing.items()]


_TO = query_parameter(
    "to", "The other version; default: the difference from the previous version to this one.", TEXT
)

OPERATIONS = {
    "GET /services/{name}/versions/{version}/provenance": Operation(
        "getProvenance",
        "Read what a version was made from",
        ok("Who, when, files, packages, commit.", VersionProvenance),
        tag="Publish",
    ),
    "GET /services/{name}/versions/{version}/quality": Operation(
        "getQuality",
        "Read what the quality gate found",
        ok("Findings with cell, line and severity.", QualityReport),
        tag="Publish",
    ),
    "GET /services/{name}/versions/{version}/diff": Operation(
        "getVersionDiff",
        "Compare two versions",
        ok("Cells, files and packages that differ, and all of it as text.", VersionDiff),
        tag="Publish",
        query=(_TO,),
    ),
    "GET /services/{name}/versions/{version}/bundle": Operation(
        "getVersionBundle",
        "Download a version's bundle",
        ok("The bundle as it was published.", {ZIP: BYTES}),
        tag="Publish",
    ),
    "GET /services/{name}/versions/{version}/notebook": Operation(
        "getVersionNotebook",
        "Download a version's executed notebook",
        ok("The notebook with the outputs of a worker.", {NOTEBOOK: {}}),
        tag="Publish",
    ),
    "GET /services/{name}/versions/{version}/crate": Operation(
        "getVersionCrate",
        "Download a version as an RO-Crate",
        ok("A Process Run Crate: notebook, files, environment, metadata.", {ZIP: BYTES}),
        tag="Publish",
    ),
    "GET /services/{name}/versions/{version}/page": Operation(
        "getVersionPage",
        "Open a version's page",
        ok("A page for people: provenance and changes.", HTML),
        tag="Documents",
    ),
}
