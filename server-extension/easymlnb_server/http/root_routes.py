"""Our routes at the root of a server that has no others."""

from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import AnyMatches, Router, Rule
from tornado.web import Application


def serve_at_root(application: Application, base_url: str, prefix: str) -> None:
    """Answer ``{base_url}x`` like ``{base_url}{prefix}/x``.

    All paths below ``base_url`` become ours, so Jupyter's own routes can no longer be reached.
    """
    rule = Rule(AnyMatches(), _RootRoutes(base_url, f"{base_url}{prefix}/"))
    application.default_router.rules.insert(0, rule)


class _RootRoutes(Router):
    """Changes the path of a request, and leaves it to the rules that follow."""

    def __init__(self, base_url: str, prefix: str) -> None:
        self._base_url = base_url
        self._prefix = prefix

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> None:
        path = request.path
        if path.startswith(self._prefix):
            return
        # Nothing of ours has a name with two slashes: what is elsewhere is not found.
        below = path.removeprefix(self._base_url) if path.startswith(self._base_url) else f"/{path}"
        request.path = self._prefix + below
        request.uri = f"{request.path}?{request.query}" if request.query else request.path
