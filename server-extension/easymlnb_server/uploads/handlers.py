"""Upload files in parts before the call that uses them."""

import asyncio
import dataclasses
from collections.abc import Awaitable
from typing import Annotated, Any, ClassVar

import msgspec
from jupyter_server.auth.identity import IdentityProvider
from msgspec import UNSET, Meta, UnsetType
from tornado import web

from easymlnb.contract.errors import BadRequest, EasyMLNBError, StorageFull, UploadNotFound
from easymlnb.contract.json_values import decode_body
from easymlnb_server.apps.page_tokens import PageToken
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.http.connections import network_of
from easymlnb_server.http.spooled_body import read_large_chunks
from easymlnb_server.identity.access import SINGLE_USER, Action, owner_key, pass_key
from easymlnb_server.identity.api_keys.keys import owner_of_calls
from easymlnb_server.identity.grants import Scope
from easymlnb_server.identity.quotas.quotas import VISITOR_KEY
from easymlnb_server.openapi.document import (
    BYTES,
    COUNT,
    JSON,
    TEXT,
    Operation,
    done,
    ok,
    query_parameter,
)
from easymlnb_server.uploads.uploads import CHUNK, ROWS, TABLE, Upload, Uploader

MAX_ANNOUNCEMENT = 64 * 1024
MAX_NAME = 999
MAX_PART = 2 * CHUNK

HEADER = "X-Easymlnb-Uploads"
"""The header of a call that lists the ids of the uploads it uses."""


def owner_of(handler: EasyHandler) -> str:
    """Return the owner of the uploads and calls of a request."""
    caller = handler.caller
    if handler.is_visitor:
        return f"{VISITOR_KEY}{network_of((handler.request.remote_ip,))}"
    if caller is not None and caller.key is not None and caller.key.id:
        return owner_of_calls(caller.key.id)
    return owner_of_jobs(handler)


def owner_of_jobs(handler: EasyHandler) -> str:
    """Return the owner of the jobs of a request: for an API key, the user who made it."""
    caller, token = handler.caller, handler.page_token
    if handler.state.services.shared and caller is not None:
        # One owner for a user's tokens, browsers and app pages.
        return owner_key(caller.name)
    if token is not None:
        return pass_key(token.visitor)
    if type(handler.identity_provider).get_user is IdentityProvider.get_user:
        # Jupyter's own login has a single user, with a new name in each request by token.
        return SINGLE_USER
    return owner_key(handler.current_user.username)


def sender_of(handler: EasyHandler) -> Uploader:
    """Return the sender of a file."""
    token = handler.page_token
    if token is None:
        return Uploader(owner_of(handler))
    return Uploader(owner_of(handler), token.visitor, token.public)


Count = Annotated[int, Meta(ge=0)]


class UploadStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A new upload."""

    id: str
    offset: Count
    chunk: Annotated[int, Meta(ge=0, description="Bytes that a part should have.")]


class UploadProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The number of bytes that have arrived."""

    offset: Count
    size: Count | UnsetType = UNSET


class UploadsHandler(BodyHandler):
    """``POST uploads``: announce a file for a service."""

    actions: ClassVar[dict[str, str]] = {"POST": "execute"}
    key_scopes: ClassVar = {"POST": (Scope.CALL, Scope.JOBS)}

    def accepts_token(self, token: PageToken) -> bool:
        return token.service == self.get_query_argument("service", "")

    def body_limit(self) -> int:
        return MAX_ANNOUNCEMENT

    @web.authenticated
    def post(self) -> None:
        service = self.get_query_argument("service", "")
        spec = self.target(service, Action.CALL).spec
        name, media_type, size = announced(self.read_body())
        field = self.get_query_argument("field", "")
        upload = self.state.uploads.begin(sender_of(self), spec, field, name, media_type, size)
        self.set_header("Location", f"{self.base_url}easymlnb/uploads/{upload.id}")
        self.write_json(UploadStarted(id=upload.id, offset=0, chunk=CHUNK), 201)


class Announcement(msgspec.Struct, frozen=True):
    """A file to upload."""

    size: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] | None = None
    media_type: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] | None = None


def announced(body: bytes) -> tuple[str, str, int]:
    """Return name, media type and size; raises ``BadRequest``."""
    advice = 'Create an upload with a JSON body such as {"name": "x.csv", "size": 1234}'
    announcement = decode_body(body, Announcement, advice)
    media_type = (announcement.media_type or "").partition(";")[0].strip().lower()
    return announcement.name or "", media_type, announcement.size


class UploadHandler(BodyHandler):
    """``uploads/{id}``: PUT with ``?offset=N`` adds a part, GET returns the progress."""

    body_method = "PUT"
    actions: ClassVar[dict[str, str]] = {"PUT": "execute", "DELETE": "execute"}
    key_scopes: ClassVar = dict.fromkeys(("GET", "PUT", "DELETE"), (Scope.CALL, Scope.JOBS))

    def initialize(self) -> None:
        super().initialize()
        self._upload: Upload | None = None
        self._error: EasyMLNBError | None = None
        self._writing = False
        self._disconnected = False

    def accepts_token(self, token: PageToken) -> bool:
        return True  # ``_own`` checks the owner and the service

    def _own(self, id: str) -> Upload:
        """Return one of the caller's uploads; with a page token, one of the token's service."""
        upload = self.state.uploads.get(id, owner_of(self))
        if self.page_token is not None and upload.service != self.page_token.service:
            raise UploadNotFound(id)
        return upload

    def body_limit(self) -> int:
        upload = self._own(self.path_args[0])
        offset = self.get_query_argument("offset", "")
        if not (offset.isascii() and offset.isdigit() and len(offset) < 17):
            raise BadRequest("Send the byte offset of this part as ?offset=, such as ?offset=0.")
        length = int(self.request.headers.get("Content-Length", 0))
        upload.begin(int(offset), length)
        self._upload = upload
        read_large_chunks(self.request.connection)
        return min(MAX_PART, upload.size - upload.offset)

    def store_chunk(self, chunk: bytes) -> Awaitable[None] | None:
        return self._to_disk(chunk) if self._upload is not None else None

    async def _to_disk(self, chunk: bytes) -> None:
        assert self._upload is not None
        self._writing = True
        try:
            await asyncio.to_thread(self._upload.write, chunk)
            await self.state.spool.take_turn()
        except StorageFull as error:
            self._error = error
            self._refused = True
        finally:
            self._writing = False
            if self._disconnected:
                self._release()

    @web.authenticated
    def put(self, id: str) -> None:
        self.check_body()
        if self._error is not None:
            raise self._error
        upload = self._upload
        assert upload is not None
        self._release()
        self.write_json(UploadProgress(offset=upload.offset))

    @web.authenticated
    def get(self, id: str) -> None:
        upload = self._own(id)
        self.write_json(UploadProgress(offset=upload.offset, size=upload.size))

    @web.authenticated
    def delete(self, id: str) -> None:
        self.state.uploads.remove(self._own(id).id, owner_of(self))
        self.set_status(204)
        self.finish()

    def _release(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.end()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._disconnected = True
        if not self._writing:
            self._release()

    def on_finish(self) -> None:
        self._release()


def upload_ids(request: Any) -> list[str]:
    """Return the ids of the uploads that a call's headers name."""
    listed = request.headers.get(HEADER, "")
    return [id for part in listed.split(",") if (id := part.strip())]


def with_uploads(handler: EasyHandler, body: Body, name: str) -> Body:
    """Add the files to a body that the headers of a call name."""
    ids = upload_ids(handler.request)
    if not ids:
        return body
    large = body if isinstance(body, FileBody) else FileBody(data=body)
    return dataclasses.replace(large, uploads=handler.state.uploads.files(ids, name))


OPERATIONS = {
    "POST /uploads": Operation(
        "beginUpload",
        "Announce a file",
        ok("`chunk` is how many bytes a part should have.", UploadStarted, 201),
        (404, 415, 507),
        tag="Call",
        body={JSON: Announcement},
        query=(
            query_parameter("service", "The service that will use it.", TEXT, required=True),
            query_parameter(
                "field",
                f"The parameter that it is for; `{ROWS}` for a table of inputs, `{TABLE}` for that "
                "of a batch.",
                TEXT,
                required=False,
            ),
        ),
        description="Its parts follow by PUT; calls then refer to it by its id.",
    ),
    "PUT /uploads/{id}": Operation(
        "addToUpload",
        "Send a part of a file",
        ok("The number of bytes that have arrived.", UploadProgress),
        (409, 507),
        tag="Call",
        body={"application/octet-stream": BYTES},
        query=(query_parameter("offset", "The first byte of this part.", COUNT, required=True),),
    ),
    "GET /uploads/{id}": Operation(
        "getUpload",
        "Get the progress of an upload",
        ok("The number of bytes that have arrived.", UploadProgress),
        tag="Call",
    ),
    "DELETE /uploads/{id}": Operation(
        "removeUpload", "Remove an upload", done("It is removed."), tag="Call"
    ),
}
