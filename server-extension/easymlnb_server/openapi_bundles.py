"""The routes of what was published, as ``openapi_routes`` lists them."""

from typing import Any

from easymlnb_server.openapi_schemas import JSON, ref

BUNDLES: tuple[dict[str, Any], ...] = (
    {
        "method": "get",
        "path": "/bundles/{id}",
        "id": "getBundle",
        "tag": "Publish",
        "summary": "Show the publishing status",
        "answers": {200: ("The bundle, its state and its services.", {JSON: ref("Bundle")})},
        "errors": (404,),
    },
    {
        "method": "delete",
        "path": "/bundles/{id}",
        "id": "callOffBundle",
        "tag": "Publish",
        "summary": "Cancel publishing",
        "answers": {204: ("Publishing was canceled.", {})},
        "errors": (404, 409, 503),
    },
    {
        "method": "get",
        "path": "/bundles/{id}/notebook",
        "id": "getBundleNotebook",
        "tag": "Publish",
        "summary": "Download the executed notebook, which is the deployment log",
        "answers": {200: ("A notebook with its outputs.", {"application/x-ipynb+json": {}})},
        "errors": (404,),
    },
)
