"""The routes of the fast path."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from easymlnb_server.http.fastpath.call import FastCall
from easymlnb_server.http.fastpath.eligibility import NAME, SHARED_NAME
from easymlnb_server.http.fastpath.inference import FastInference
from easymlnb_server.http.fastpath.invocations import FastInvocations
from easymlnb_server.http.fastpath.predict import FastPredict
from easymlnb_server.http.fastpath.process import FastProcess
from easymlnb_server.http.fastpath.tool_call import FastToolCall, FastToolCallOfAny

MODEL = r"[A-Za-z0-9_.~-]+"
"""The name of a DEEPaaS model in a path, if it needs no quoting."""


@dataclass(frozen=True, slots=True)
class FastRoute:
    """A route: the pattern of its path, with one group for a name, and its calls."""

    path: str
    call: type[FastCall] = FastCall


def fast_routes(*prefixes: str, shared: bool) -> tuple[FastRoute, ...]:
    """Return all routes below each of ``prefixes``, which are the text of paths."""
    name = SHARED_NAME if shared else NAME
    start = f"(?:{'|'.join(map(re.escape, prefixes))})"
    return (
        FastRoute(rf"{start}services/{name}/call"),
        FastRoute(rf"{start}v2/models/{name}/infer", FastInference),
        FastRoute(rf"{start}services/{name}/process", FastProcess),
        FastRoute(rf"{start}services/{name}/invocations", FastInvocations),
        FastRoute(rf"{start}services/{name}/deepaas/v2/models/{MODEL}/predict/", FastPredict),
        FastRoute(rf"{start}services/{name}/mcp", FastToolCall),
        FastRoute(rf"{start}mcp()", FastToolCallOfAny),
    )


def combined(routes: Sequence[FastRoute]) -> "re.Pattern[bytes]":
    """Return the pattern of all routes, in which the number of a group is that of its route."""
    paths = "|".join(f"(?:{route.path})" for route in routes)
    return re.compile(paths.encode())
