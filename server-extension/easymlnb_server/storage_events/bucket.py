"""A bucket as a source: notifications name new objects; results become objects too.

Notifications come from a queue of SQS, or from a webhook. A message of the queue is deleted when
its objects are in the database.
"""

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import Any

import msgspec

from easymlnb.contract.errors import BadRequest, NotReady
from easymlnb_server.jobs.models import new_id
from easymlnb_server.storage_events import rules
from easymlnb_server.storage_events.models import FileOutcome, Found, Source, TakenFile
from easymlnb_server.storage_events.notifications import ObjectEvent, objects_of
from easymlnb_server.storage_events.place import Gone
from easymlnb_server.storage_events.rules import ERROR

PAUSE = 2.0
CHUNK = 2**20
IN_MEMORY = 8 * 2**20
"""Bytes of a result that is not written to disk before it is sent."""

BATCH = 10
"""Messages that SQS returns at most."""

MISSING_PACKAGE = "A bucket needs the package boto3: pip install 'easymlnb[storage]'."
CHANGED = ("404", "412", "NoSuchKey", "NoSuchVersion", "PreconditionFailed")

log = logging.getLogger("easymlnb.storage_events")


class BucketPlace:
    """The objects of one bucket below a prefix.

    The result of an object replaces that of a former object with the same key.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._s3: Any = None
        self._sqs: Any = None
        self._receipts: dict[str, set[str]] = {}
        """The ids of the objects that are not stored yet, by the receipt of their message."""

    @property
    def pause(self) -> float:
        """Seconds until the next check."""
        return PAUSE

    def open(self) -> None:
        """Connect; raises ``NotReady``. Credentials are those that boto3 finds."""
        if self._s3 is not None:
            return
        try:
            import boto3
        except ImportError as error:
            raise NotReady(MISSING_PACKAGE) from error
        options = {"endpoint_url": self._source.endpoint or None}
        options["region_name"] = self._source.region or None
        with _translated():
            session = boto3.session.Session()
            s3 = session.client("s3", **options)
            self._sqs = session.client("sqs", **options) if self._source.queue else None
            s3.head_bucket(Bucket=self._source.bucket)
        self._s3 = s3

    def close(self) -> None:
        """Disconnect."""
        self._s3 = self._sqs = None
        self._receipts.clear()

    async def watch(self, notify: Callable[[], None]) -> None:
        """Return: the queue is asked at intervals, and webhooks do not ask."""

    def wanted(self, objects: Iterable[ObjectEvent]) -> list[Found]:
        """Return the objects that match the pattern and prefix."""
        source = self._source
        return [
            Found(
                new_id(),
                one.identity(source.bucket),
                one.key,
                msgspec.json.encode([one.version, one.etag]).decode(),
                one.size,
            )
            for one in objects
            if one.key.startswith(source.prefix)
            and rules.is_wanted(PurePosixPath(one.key).name, source.pattern)
            and not (source.results and one.key.startswith(source.results))
        ]

    def find(self, most: int) -> list[Found]:
        """Return the objects that messages of the queue name."""
        found: list[Found] = []
        while self._sqs is not None and len(found) < most:
            with _translated():
                answer = self._sqs.receive_message(
                    QueueUrl=self._source.queue, MaxNumberOfMessages=BATCH
                )
            messages = answer.get("Messages", [])
            for message in messages:
                found += self._read(message)
            if not messages:
                break
        return found

    def _read(self, message: dict[str, Any]) -> list[Found]:
        try:
            objects = objects_of(message["Body"]).get(self._source.bucket, [])
        except BadRequest as error:  # the queue's own rules decide what becomes of it
            log.warning("A message of %s was skipped. %s", self._source.queue, error)
            return []
        found = self.wanted(objects)
        receipt = str(message["ReceiptHandle"])
        if found:
            self._receipts[receipt] = {one.id for one in found}
        else:
            self._delete(receipt)
        return found

    def confirm(self, found: list[Found]) -> None:
        """Delete the messages all of whose objects are in the database."""
        ids = {one.id for one in found}
        for receipt, waiting in tuple(self._receipts.items()):
            waiting -= ids
            if not waiting:
                self._delete(receipt)
                del self._receipts[receipt]

    def _delete(self, receipt: str) -> None:
        with _translated():
            self._sqs.delete_message(QueueUrl=self._source.queue, ReceiptHandle=receipt)

    def read(self, item: TakenFile) -> Iterator[bytes]:
        """Yield the content of the version that the notification named; raises ``Gone``."""
        version, etag = msgspec.json.decode(item.place)
        chosen = {"VersionId": version} if version else {"IfMatch": etag} if etag else {}
        with _translated(gone=CHANGED):
            answer = self._s3.get_object(Bucket=self._source.bucket, Key=item.path, **chosen)
            yield from answer["Body"].iter_chunks(CHUNK)

    def target(self, item: TakenFile) -> str:
        """Return the key to which the result's ending is added."""
        source = self._source
        return source.results + item.path[len(source.prefix) :] if source.results else item.path

    def finish(self, item: TakenFile, outcome: FileOutcome, content: Iterator[bytes]) -> None:
        """Put the result, or the error; the other one, of a former object, is removed."""
        target = item.target or item.path
        if outcome.error is not None:
            body = msgspec.json.encode(outcome.error)
            self._put(f"{target}{ERROR}", rules.JSON, iter([body]))
            return
        name = rules.result_name(target, outcome.media_type, outcome.filename)
        self._put(name, outcome.media_type, content)
        with suppress(NotReady), _translated():
            self._s3.delete_object(Bucket=self._source.bucket, Key=f"{target}{ERROR}")

    def _put(self, key: str, media_type: str, content: Iterator[bytes]) -> None:
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
            file.writelines(content)
            file.seek(0)
            with _translated():
                self._s3.upload_fileobj(
                    file, self._source.bucket, key, ExtraArgs={"ContentType": media_type}
                )


@contextmanager
def _translated(gone: tuple[str, ...] = ()) -> Iterator[None]:
    """Raise the errors of boto3 as ``NotReady``, and those with a code in ``gone`` as ``Gone``."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in gone:
            raise Gone from error
        raise NotReady(f"The storage refused a request ({error}).") from error
    except (BotoCoreError, Boto3Error) as error:
        raise NotReady(f"The storage cannot be used ({error}).") from error
