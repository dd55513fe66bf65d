"""The routes of who may call a service as data, as ``openapi_routes`` has the others."""

from typing import Any

from easymlnb_server.openapi_schemas import JSON, ref

_SHARED = "Only on a Hub's shared service; a single-user server responds with `not_shared`."

ACCESS: tuple[dict[str, Any], ...] = (
    {
        "method": "get",
        "path": "/me",
        "id": "getMe",
        "tag": "Services",
        "summary": "Show the current user",
        "answers": {200: ("Your name, groups and rights.", {JSON: ref("Me")})},
    },
    {
        "method": "get",
        "path": "/services/{name}/access",
        "id": "getAccess",
        "tag": "Services",
        "summary": "Show the access to one of your services",
        "answers": {
            200: (
                "Users and groups with access, besides you and administrators.",
                {JSON: ref("Access")},
            )
        },
        "errors": (404, 409),
        "description": _SHARED,
    },
    {
        "method": "put",
        "path": "/services/{name}/access",
        "id": "setAccess",
        "tag": "Services",
        "summary": "Set the access to one of your services",
        "answers": {200: ("The new access rules.", {JSON: ref("Access")})},
        "errors": (400, 404, 409, 413, 503),
        "body": {JSON: ref("Access")},
        "description": _SHARED,
    },
)
