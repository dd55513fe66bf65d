"""Call the services of templates in the name of the author whose models they serve."""

import asyncio
import time
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.identity.access import Caller, owner_key
from easymlnb_server.model_templates.models import DataFile
from easymlnb_server.store.files import Files
from easymlnb_server.uploads.spool import Spool, SpooledFile

JSON = "application/json"
UPLOAD = "data"
"""The id under which a call has its data."""


def body_of(arguments: Mapping[str, Any], file: SpooledFile | None = None, name: str = "") -> Body:
    """Return the body of a call, with its data if there is any."""
    if file is None:
        return msgspec.json.encode(arguments)
    data = {"upload": UPLOAD, "name": name[-200:]}
    return FileBody(
        data=msgspec.json.encode({**arguments, "data": data}), uploads=((UPLOAD, file),)
    )


def author(invoker: Invoker, owner: str) -> Caller:
    """Return the author as a caller."""
    services = invoker.services
    return Caller(owner) if services.shared else services.user


async def call(invoker: Invoker, service: str, owner: str, body: Body) -> Any:
    """Call a service for its author and return its JSON result; raises the call's error."""
    now = time.monotonic()
    request = CallRequest(
        service=service,
        body=body,
        content_type=JSON,
        caller=author(invoker, owner),
        owner=owner_key(owner),
        request_id=f"template-{uuid.uuid4().hex}",
        received=now,
        began=now,
        published_only=True,
        keep=False,
    )
    result = await invoker.invoke(request)
    if result.error is not None:
        raise result.error
    return await asyncio.to_thread(_decoded, result.body)


def _decoded(body: bytes | SpooledFile) -> Any:
    if isinstance(body, bytes):
        return msgspec.json.decode(body)
    try:
        return msgspec.json.decode(body.read())
    finally:
        body.close()


def keep(files: Files, file: SpooledFile, name: str) -> DataFile:
    """Store the data of a model; blocks."""
    stored, size = files.put_chunks(file.chunks())
    return DataFile(file=stored, name=name, size=size)


def spooled(files: Files, spool: Spool, data: DataFile) -> SpooledFile:
    """Return the stored data of a model for a call; blocks."""
    file = spool.create_on_disk(data.size)
    for chunk in files.chunks(data.file):
        file.write(chunk)
    file.make_read_only()
    file.close_descriptor()
    return file
