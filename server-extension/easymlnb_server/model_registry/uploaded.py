"""Read the zip of a new version: its description, and its files into the storage."""

import time
import uuid
from pathlib import Path

from easymlnb.contract.archive import Archive, ArchiveLimits
from easymlnb.contract.errors import BadRequest, BundleRejected
from easymlnb.contract.json_values import decode_body
from easymlnb_server.model_registry import rules
from easymlnb_server.model_registry.models import VersionDocument
from easymlnb_server.store.files import Files
from easymlnb_server.store.model_records import ModelFile, NewVersion

DOCUMENT, FOLDER = "model.json", "files/"
"""In the zip: the description, and the folder with the files."""

MAX_ZIP = 2**32 - 2**20
"""Bytes; the zip's directory has room for less than 4 GB."""

ADVICE = "Send the description of the version as JSON in 'model.json'"


def read_version(body: bytes | Path, files: Files, author: str, *, trusted: bool) -> NewVersion:
    """Store the files of a zip, and return the version that it describes; blocks.

    Raises ``BadRequest``, ``TooLarge`` or ``StorageFull``; stored files are swept later.
    """
    try:
        with Archive(body, ArchiveLimits(MAX_ZIP, MAX_ZIP, "model")) as archive:
            document = _document(archive)
            return _version(archive, document, files, author, trusted)
    except BundleRejected as error:
        raise BadRequest(error.message.replace(" in the bundle", " in the zip")) from error


def _document(archive: Archive) -> VersionDocument:
    if DOCUMENT not in archive.sizes:
        raise BadRequest(f"The zip has no {DOCUMENT!r}, which describes the version.")
    data = archive.read(DOCUMENT, rules.MAX_DOCUMENT)
    return decode_body(data, VersionDocument, ADVICE, unique=False)


def _version(
    archive: Archive, document: VersionDocument, files: Files, author: str, trusted: bool
) -> NewVersion:
    paths = [path for path in archive.sizes if path.startswith(FOLDER)]
    declared = rules.check_files(
        ModelFile(path.removeprefix(FOLDER), "", archive.sizes[path]) for path in paths
    )
    rules.check_document(document, declared)
    stored = []
    for path in paths:
        name, size = files.put_chunks(archive.chunks(path))
        stored.append(ModelFile(path.removeprefix(FOLDER), name, size))
    return NewVersion(
        key=uuid.uuid4().hex,
        author=author,
        origin=document.origin,
        format=document.format,
        flavor=document.flavor,
        files=tuple(stored),
        signature=document.signature,
        metrics=document.metrics,
        params=document.params,
        tags=document.tags,
        lineage=document.lineage,
        note=document.note,
        trusted=trusted,
        curves=rules.points(document, time.time()),
    )
