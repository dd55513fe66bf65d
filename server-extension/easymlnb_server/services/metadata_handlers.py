"""A service's metadata, also for other catalogs, and its picture."""

import base64
from typing import Any, ClassVar

import msgspec
from tornado import web

from easymlnb.contract.errors import BadRequest, RouteNotFound
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.grants import Scope
from easymlnb_server.openapi.document import BYTES, JSON, TEXT, Operation, ok, query_parameter
from easymlnb_server.services import catalog, metadata_formats, mldcat_ap
from easymlnb_server.services.described_service import DescribedService
from easymlnb_server.services.responses import MetadataForms

PICTURES = ("image/webp", "image/png", "image/jpeg")
"""Media types of a service's picture."""
LINKED = ("mldcat-ap", "schema.org")
"""Formats that are JSON-LD."""


class _DescribingHandler(EasyHandler):
    """Base: describes services, and writes documents."""

    def described(self, name: str) -> DescribedService:
        """Return what metadata describe of a service; raises ``ServiceNotFound``."""
        services, log = self.state.services, self.state.call_log
        return catalog.described(services, log.last, name, self.caller, self.address)

    def write_document(self, document: Any, format: str) -> None:
        """Write a document of another catalog under its media type."""
        self.set_header("Content-Type", mldcat_ap.MEDIA if format in LINKED else JSON)
        self.finish(msgspec.json.encode(document))


class MetadataHandler(_DescribingHandler):
    """``GET services/{name}/metadata``: also in the formats of other catalogs."""

    key_scopes: ClassVar = {"GET": (Scope.READ,)}

    @web.authenticated
    def get(self, name: str) -> None:
        subject = self.described(name)
        wanted = self.get_query_argument("format", "")
        if not wanted:
            self.write_json(MetadataForms(**metadata_formats.document(subject)))
            return
        self.write_document(metadata_formats.FORMATS[_format(wanted)](subject), wanted)


class CatalogMetadataHandler(_DescribingHandler):
    """``GET metadata``: all services for another catalog."""

    key_scopes: ClassVar = {"GET": (Scope.READ,)}

    @web.authenticated
    def get(self) -> None:
        wanted = _format(self.get_query_argument("format", "") or "mldcat-ap")
        services = self.state.services
        subjects = [self.described(name) for name in services.names(self.caller)]
        if wanted == "mldcat-ap":
            owner = self.caller.name if self.caller is not None else ""
            found: Any = mldcat_ap.catalog(
                subjects,
                url=self.address,
                title="easymlnb",
                publisher=owner or "easymlnb",
            )
        else:
            found = [metadata_formats.FORMATS[wanted](one) for one in subjects]
        self.write_document(found, wanted)


def _format(name: str) -> str:
    if name not in metadata_formats.FORMATS:
        known = ", ".join(metadata_formats.FORMATS)
        raise BadRequest(f"There is no metadata format {name[:40]!r}. Choose one of {known}.")
    return name


def read_picture(thumbnail: str) -> tuple[str, bytes] | None:
    """Return the media type and the bytes of a thumbnail, a data URI.

    A live kernel can send anything; a browser gets only pictures without scripts.
    """
    media, separator, text = thumbnail.partition(";base64,")
    media = media.removeprefix("data:")
    if not separator or media not in PICTURES:
        return None
    try:
        return media, base64.b64decode(text, validate=True)
    except ValueError:
        return None


class ThumbnailHandler(EasyHandler):
    """``GET services/{name}/thumbnail``: the picture of a service's card."""

    key_scopes: ClassVar = {"GET": (Scope.READ,)}

    @web.authenticated
    def get(self, name: str) -> None:
        about = self.target(name, Action.SEE).spec.metadata
        picture = read_picture(about.thumbnail if about else "")
        if picture is None:
            raise RouteNotFound("This service has no thumbnail.")
        media, data = picture
        self.set_header("Content-Type", media)
        tagged = self.get_query_argument("v", "")
        self.set_header("Cache-Control", "private, max-age=31536000" if tagged else "no-cache")
        self.finish(data)


_FORMAT = query_parameter(
    "format",
    "One format only; for all services `mldcat-ap` is the default.",
    {**TEXT, "enum": list(metadata_formats.FORMATS)},
)

OPERATIONS = {
    "GET /services/{name}/metadata": Operation(
        "getMetadata",
        "Read a service's metadata",
        ok(
            "In the formats of several catalogs; with `format` as one file.",
            {JSON: (MetadataForms, {"type": "object"}), mldcat_ap.MEDIA: {}},
        ),
        query=(_FORMAT,),
    ),
    "GET /metadata": Operation(
        "exportCatalog",
        "Export the metadata of all services",
        ok("A file for another catalog.", {mldcat_ap.MEDIA: {}, JSON: {}}),
        query=(_FORMAT,),
    ),
    "GET /services/{name}/thumbnail": Operation(
        "getThumbnail",
        "Fetch a service's picture",
        ok("A small picture.", dict.fromkeys(PICTURES, BYTES)),
    ),
}
