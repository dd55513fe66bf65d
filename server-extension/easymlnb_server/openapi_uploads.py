"""The routes of uploads as data, as ``openapi_routes`` has the others."""

from typing import Any

from easymlnb_server.openapi_schemas import BYTES, COUNT, JSON, TEXT, Schema, object_of

_PROGRESS = object_of({"offset": COUNT, "size": COUNT}, optional=("size",))
_STARTED = object_of({"id": TEXT, "offset": COUNT, "chunk": COUNT})
_FILE = object_of(
    {"name": TEXT, "media_type": TEXT, "size": COUNT}, optional=("name", "media_type")
)


def _query(name: str, said: str, schema: Schema, *, required: bool) -> Schema:
    return {"name": name, "in": "query", "description": said, "required": required} | {
        "schema": schema
    }


UPLOADS: tuple[dict[str, Any], ...] = (
    {
        "method": "post",
        "path": "/uploads",
        "id": "beginUpload",
        "tag": "Call",
        "summary": "Create an upload",
        "description": "Send the parts with PUT; calls then refer to the upload by its id.",
        "answers": {
            201: ("`chunk` is the recommended part size in bytes.", {JSON: _STARTED}),
        },
        "errors": (400, 404, 413, 415, 507),
        "body": {JSON: _FILE},
        "query": (
            _query("service", "The service that uses the upload.", TEXT, required=True),
            _query("field", "The parameter that receives the file.", TEXT, required=False),
        ),
    },
    {
        "method": "put",
        "path": "/uploads/{id}",
        "id": "addToUpload",
        "tag": "Call",
        "summary": "Send a part of an upload",
        "answers": {200: ("Bytes received so far.", {JSON: _PROGRESS})},
        "errors": (400, 404, 409, 413, 507),
        "body": {"application/octet-stream": BYTES},
        "query": (_query("offset", "Byte offset of this part.", COUNT, required=True),),
    },
    {
        "method": "get",
        "path": "/uploads/{id}",
        "id": "getUpload",
        "tag": "Call",
        "summary": "Show the progress of an upload",
        "answers": {200: ("Bytes received so far.", {JSON: _PROGRESS})},
        "errors": (404,),
    },
    {
        "method": "delete",
        "path": "/uploads/{id}",
        "id": "removeUpload",
        "tag": "Call",
        "summary": "Delete an upload",
        "answers": {204: ("The upload was deleted.", {})},
        "errors": (404,),
    },
)
