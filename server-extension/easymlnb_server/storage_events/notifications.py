"""Read notifications of S3 about new objects, also those that MinIO sends. Pure functions."""

import hashlib
from typing import Annotated
from urllib.parse import unquote_plus

import msgspec
from msgspec import Meta

from easymlnb.contract.errors import BadRequest

CREATED = "ObjectCreated:"
LONGEST_KEY = 1024
"""Bytes of a key, as S3 allows."""


class _Bucket(msgspec.Struct):
    name: str


class _Object(msgspec.Struct, rename={"etag": "eTag", "version": "versionId"}):
    key: str
    size: Annotated[int, Meta(ge=0, le=2**62)] = 0
    etag: str = ""
    version: str | None = ""
    sequencer: str = ""


class _S3(msgspec.Struct):
    bucket: _Bucket
    object: _Object


class _Record(msgspec.Struct, rename={"name": "eventName"}):
    s3: _S3
    name: str = ""


class _Notification(msgspec.Struct, rename={"records": "Records", "event": "Event"}):
    records: list[_Record] = []
    event: str = ""
    message: str = msgspec.field(default="", name="Message")
    """The notification itself, if it came through SNS."""


class ObjectEvent(msgspec.Struct, frozen=True):
    """A new object; ``version`` is empty in a bucket without versions."""

    key: str
    size: int
    etag: str
    version: str
    sequencer: str

    def identity(self, bucket: str) -> str:
        """Return what tells this object from all others; a repeated notification has the same."""
        parts = (bucket, self.key, self.version, self.etag, self.sequencer)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def objects_of(body: bytes | str) -> dict[str, list[ObjectEvent]]:
    """Return the new objects that a notification names, by bucket; raises ``BadRequest``."""
    try:
        found = msgspec.json.decode(body, type=_Notification)
        if found.message:
            found = msgspec.json.decode(found.message, type=_Notification)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadRequest(
            f"The body is not an S3 notification ({error}). Send JSON with Records, as S3 does."
        ) from error
    objects: dict[str, list[ObjectEvent]] = {}
    for record in found.records:
        if CREATED in record.name:
            one = record.s3.object
            key = unquote_plus(one.key)  # S3 writes blanks as plus signs
            if not 0 < len(key.encode()) <= LONGEST_KEY or "\0" in key:
                raise BadRequest(f"{key[:80]!r} is not a valid object key.")
            event = ObjectEvent(
                key,
                one.size,
                one.etag,
                one.version or "",
                one.sequencer,
            )
            objects.setdefault(record.s3.bucket.name, []).append(event)
    return objects
