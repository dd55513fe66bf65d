"""Every route, method and WebSocket, walked by everybody who may come: with nothing, with the pass
of an app page, with a login. Also from another site, and under a base URL.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jupyter_server.serverapp import ServerWebApplication
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from easymlnb.contract.errors import CallerError, Draining, EasyMLNBError, Forbidden, NotReady
from easymlnb_server.http.base import retry_after
from easymlnb_server.http.model_routes import (
    API_KEY,
    MLFLOW_CALL,
    MODEL_ALIAS,
    MODEL_REF,
    OWN_MODEL,
)
from easymlnb_server.http.routes import (
    ASSET,
    BUNDLE,
    CREDENTIAL,
    FILE,
    JOB,
    KERNEL,
    KEY,
    NAME,
    REQUEST,
    ROUTES,
    SESSION,
    SHARED_ROUTES,
    SOURCE,
    STORED_ID,
    UPLOAD,
    VERSION,
)
from easymlnb_server.protocols.deepaas.handlers import MODEL as DEEPAAS_MODEL
from easymlnb_server.protocols.deepaas.handlers import UUID
from support.kernels import NotebookKernel
from support.notebooks import make_notebook
from support.page_channel import open_page, pass_of
from support.route_probes import METHODS, REFUSED, Probe, example, methods, upgrade
from support.server import RunningServer, running_server

pytestmark = pytest.mark.slow

SERVICE = """
import easymlnb as ml

@ml.service(public=True)
def {name}(file: ml.File | None = None) -> str:
    return "{said}"
"""

NOBODY, WRONG = "nobody", "a wrong token"
PASS, OTHER, OWN = "a visitor's pass", "a pass of another service", "a user's pass"
USER = "user"
"""Users of a personal server own and administer everything on it."""

HOLDER, FOREIGN = "the holder of an API key", "the holder of a key of another service"
REVOKED, EXPIRED = "the holder of a revoked key", "the holder of an expired key"

CALLERS = (NOBODY, WRONG, PASS, OTHER, OWN, USER, HOLDER, FOREIGN, REVOKED, EXPIRED)
LOGIN = (USER,)
READERS = (USER, HOLDER)
KEYS = (USER, HOLDER, FOREIGN)
"""Keys have the scopes ``call`` and ``read``."""
PASSES = (PASS, OTHER, OWN)
HERE = (PASS, OWN, USER)
"""Who may call the service that the walk is about."""
BROWSERS = (NOBODY, WRONG, USER)
"""Those who may look at public pages; a pass opens nothing but calls and their uploads."""

CALLS = (*HERE, NOBODY, WRONG, HOLDER)
"""The service is public, so it needs no login. A key is never less than what it says."""

ANNOUNCED = {"json": {"name": "x.csv", "size": 1}}
NO_ROWS = {"json": {"dataframe_records": []}}
LIST_TOOLS = {"json": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}}
NO_INPUTS = {"json": {"inputs": []}}
NO_ARGUMENTS: dict[str, Any] = {"json": {}}
MODEL_CALLERS = (NOBODY, WRONG, USER, HOLDER)
"""Callers of a public service by another protocol, which takes no pass of a page."""
EVERY = ("GET", "POST", "PUT", "PATCH", "DELETE")

OF_PLACES = {
    "{at}": {"GET": Probe(LOGIN), "HEAD": Probe(LOGIN)},
    "{at}/api/kernels/PLACE": {"GET": Probe(LOGIN, 404)},
    "{at}/api/kernels/PLACE/channels": {"GET": Probe(LOGIN, 404)},
    "{at}/leave/PLACE": {"POST": Probe(LOGIN, 404)},
}
"""The page of an app and what it finds below itself, for somebody whose place it is not."""

OF_DEEPAAS = {
    **{at: {"GET": Probe(READERS, 404)} for at in ("/", "/swagger.json", "/v2/", "/v2/models/")},
    **{at: {"GET": Probe(READERS, 308)} for at in ("", "/v2", "/v2/models")},
    "/v2/models/DEEP/": {"GET": Probe(READERS, 404)},
    "/v2/models/DEEP": {"GET": Probe(READERS, 308)},
    "/v2/models/DEEP/predict/": {"POST": Probe(READERS, 404)},
    "/v2/models/DEEP/predict": {"POST": Probe(READERS, 308)},
    "/v2/models/DEEP/train/": {"GET": Probe(LOGIN, 404), "POST": Probe(LOGIN, 404)},
    "/v2/models/DEEP/train": {"GET": Probe(LOGIN, 308), "POST": Probe(LOGIN, 308)},
    "/v2/models/DEEP/train/UUID": {"GET": Probe(LOGIN, 404), "DELETE": Probe(LOGIN, 404)},
}
"""The routes of a service that is of no DEEPaaS module."""

EXPECTED: dict[str, dict[str, Probe]] = {
    "/?": {"GET": Probe(LOGIN)},
    "docs": {"GET": Probe(LOGIN)},
    "openapi.json": {"GET": Probe(KEYS)},
    "static/ASSET": {"GET": Probe(BROWSERS)},
    "services": {"GET": Probe(KEYS), "POST": Probe(LOGIN, 415)},
    "services/NAME": {"GET": Probe((*BROWSERS, HOLDER)), "DELETE": Probe(LOGIN, harms=True)},
    "services/NAME/access": {"GET": Probe(LOGIN, 409), "PUT": Probe(LOGIN, 409)},
    "services/NAME/call": {"POST": Probe(CALLS)},
    "services/NAME/view": {"POST": Probe(CALLS)},
    "services/NAME/maintainers": {"GET": Probe(LOGIN, 409), "PUT": Probe(LOGIN, 409)},
    "services/NAME/credentials": {"GET": Probe(LOGIN)},
    "services/NAME/credentials/CREDENTIAL": {
        "GET": Probe(LOGIN, 404),
        "PUT": Probe(LOGIN, harms=True),
        "DELETE": Probe(LOGIN, 404),
    },
    "services/NAME/live/call": {"POST": Probe(LOGIN)},
    "services/NAME/live/view": {"POST": Probe(LOGIN)},
    "services/NAME/versions": {"GET": Probe(READERS)},
    "services/NAME/versions/VERSION/provenance": {"GET": Probe(LOGIN)},
    "services/NAME/versions/VERSION/quality": {"GET": Probe(LOGIN, 404)},
    "services/NAME/versions/VERSION/diff": {"GET": Probe(LOGIN)},
    "services/NAME/versions/VERSION/bundle": {"GET": Probe(LOGIN)},
    "services/NAME/versions/VERSION/notebook": {"GET": Probe(LOGIN)},
    "services/NAME/versions/VERSION/crate": {"GET": Probe(LOGIN)},
    "services/NAME/versions/VERSION/page": {"GET": Probe(LOGIN)},
    "services/NAME/log": {"GET": Probe(LOGIN)},
    "services/NAME/openapi.json": {"GET": Probe(READERS)},
    "services/NAME/page": {"GET": Probe(LOGIN)},
    "services/NAME/metadata": {"GET": Probe(READERS)},
    "metadata": {"GET": Probe(KEYS)},
    "services/NAME/thumbnail": {"GET": Probe(READERS, 404)},
    "uploads": {"POST": Probe((*HERE, HOLDER), 201, ANNOUNCED, "?service=walked")},
    # A session of the visitor: only their page's token may know of it.
    "uploads/UPLOAD": {
        "GET": Probe((PASS,)),
        "PUT": Probe((PASS,), harms=True),
        "DELETE": Probe((PASS,), harms=True),
    },
    "calls/REQUEST": {"DELETE": Probe((*PASSES, *KEYS), 404)},
    "calls/REQUEST/job": {"POST": Probe((*PASSES, USER), 404)},
    "bundles/BUNDLE": {"GET": Probe(LOGIN, 404), "DELETE": Probe(LOGIN, 404)},
    "bundles/BUNDLE/notebook": {"GET": Probe(LOGIN, 404)},
    **{at.format(at="apps/NAME"): found for at, found in OF_PLACES.items()},
    **{at.format(at="public/NAME"): found for at, found in OF_PLACES.items()},
    "public/NAME": {"GET": Probe(BROWSERS), "HEAD": Probe(BROWSERS)},
    "app-assets/FILE": {"GET": Probe(BROWSERS, 404)},
    "health/live": {"GET": Probe(BROWSERS)},
    "health/ready": {"GET": Probe(BROWSERS)},
    "link": {"GET": Probe(())},
    "placements": {"GET": Probe(LOGIN)},
    "me": {"GET": Probe(KEYS)},
    "keys": {"GET": Probe(LOGIN), "POST": Probe(LOGIN, 400)},
    "keys/page": {"GET": Probe(LOGIN)},
    "keys/KEY": {"GET": Probe(LOGIN, 404), "DELETE": Probe(LOGIN, 404)},
    "services/NAME/limits": {"GET": Probe(LOGIN), "PUT": Probe(LOGIN, 400)},
    "usage": {"GET": Probe(KEYS)},
    "usage/page": {"GET": Probe(LOGIN)},
    "audit": {"GET": Probe(LOGIN)},
    "services/NAME/flag": {"POST": Probe(HERE, 400)},
    "services/NAME/records": {"GET": Probe(LOGIN), "DELETE": Probe(LOGIN, 400)},
    "services/NAME/records/page": {"GET": Probe(LOGIN)},
    "services/NAME/records/dataset": {"GET": Probe(LOGIN)},
    "services/NAME/records/STORED": {"GET": Probe(LOGIN, 404), "DELETE": Probe(LOGIN, 404)},
    "services/NAME/records/STORED/code": {"GET": Probe(LOGIN, 404)},
    "services/NAME/comparisons": {"GET": Probe(LOGIN), "POST": Probe(LOGIN, 400)},
    "services/NAME/comparisons/shadow": {"GET": Probe(LOGIN)},
    "services/NAME/comparisons/shadow/page": {"GET": Probe(LOGIN)},
    "comparisons/STORED": {"GET": Probe(LOGIN, 404), "DELETE": Probe(LOGIN, 404)},
    "comparisons/STORED/page": {"GET": Probe(LOGIN, 404)},
    "services/NAME/jobs": {"POST": Probe(LOGIN, 202)},
    "jobs": {"GET": Probe(LOGIN)},
    "jobs/page": {"GET": Probe(LOGIN)},
    "jobs/JOB": {"GET": Probe(LOGIN, 404), "DELETE": Probe(LOGIN, 404)},
    "jobs/JOB/page": {"GET": Probe(LOGIN, 404)},
    "jobs/JOB/result": {"GET": Probe(LOGIN, 404)},
    "jobs/JOB/log": {"GET": Probe(LOGIN, 404)},
    "jobs/JOB/events": {"GET": Probe(LOGIN, 404)},
    "jobs/JOB/files/(.+)": {"GET": Probe(LOGIN, 404)},
    "jobs/JOB/cancel": {"POST": Probe(LOGIN, 404)},
    "jobs/JOB/retry": {"POST": Probe(LOGIN, 404)},
    "jobs/JOB/trials": {"GET": Probe(LOGIN, 404)},
    "jobs/JOB/use": {"POST": Probe(LOGIN, 404)},
    "services/NAME/batches": {"POST": Probe((OWN, USER), 400)},
    "services/NAME/batches/page": {"GET": Probe(LOGIN)},
    "services/NAME/sweeps": {"POST": Probe((OWN, USER), 400)},
    "schedules": {"GET": Probe(LOGIN), "POST": Probe(LOGIN, 400)},
    "schedules/page": {"GET": Probe(LOGIN)},
    "schedules/JOB": {
        "GET": Probe(LOGIN, 404),
        "PATCH": Probe(LOGIN, 400),
        "DELETE": Probe(LOGIN, 404),
    },
    "schedules/JOB/pause": {"POST": Probe(LOGIN, 404)},
    "schedules/JOB/resume": {"POST": Probe(LOGIN, 404)},
    "schedules/JOB/run": {"POST": Probe(LOGIN, 404)},
    "webhooks": {"GET": Probe(LOGIN), "POST": Probe(LOGIN, 400)},
    "webhooks/page": {"GET": Probe(LOGIN)},
    "webhooks/JOB": {
        "GET": Probe(LOGIN, 404),
        "PATCH": Probe(LOGIN, 400),
        "DELETE": Probe(LOGIN, 404),
    },
    "webhooks/JOB/rotate": {"POST": Probe(LOGIN, 404)},
    "webhooks/JOB/test": {"POST": Probe(LOGIN, 404)},
    "deliveries": {"GET": Probe(LOGIN)},
    "deliveries/JOB": {"GET": Probe(LOGIN, 404)},
    "deliveries/JOB/retry": {"POST": Probe(LOGIN, 404)},
    "bridges": {"GET": Probe(LOGIN)},
    "bridges/SOURCE": {"GET": Probe(LOGIN, 404)},
    "storage-events": {"GET": Probe(LOGIN)},
    "storage-events/SOURCE": {"GET": Probe(LOGIN, 404)},
    "services/NAME/events": {"POST": Probe(LOGIN, 400)},
    "node": {"GET": Probe(LOGIN)},
    "node/kernels": {"POST": Probe(LOGIN, 400)},
    "node/kernels/KERNEL": {
        "GET": Probe(LOGIN, 404),
        "PATCH": Probe(LOGIN, 404),
        "DELETE": Probe(LOGIN, 404),
    },
    "node/kernels/KERNEL/channels": {"GET": Probe(LOGIN, 404)},
    "services/NAME/traffic": {"GET": Probe(LOGIN), "PUT": Probe(LOGIN, 400)},
    "services/NAME/rollback": {"POST": Probe(LOGIN, 409)},
    "services/NAME/promotions": {"GET": Probe(LOGIN), "POST": Probe(LOGIN, 400)},
    "services/NAME/promotions/STORED": {"GET": Probe(LOGIN, 404), "DELETE": Probe(LOGIN, 404)},
    "services/NAME/promotions/STORED/pause": {"POST": Probe(LOGIN, 404)},
    "services/NAME/promotions/STORED/resume": {"POST": Probe(LOGIN, 404)},
    "services/NAME/versions/VERSION": {"DELETE": Probe(LOGIN, 409)},
    "services/NAME/versions/VERSION/call": {"POST": Probe(READERS)},
    "services/NAME/versions/VERSION/view": {"POST": Probe(READERS)},
    "mcp": {"POST": Probe(KEYS, send=LIST_TOOLS)},
    "services/NAME/mcp": {"POST": Probe((NOBODY, WRONG, USER, HOLDER), send=LIST_TOOLS)},
    **{f"services/NAME/deepaas{at}": found for at, found in OF_DEEPAAS.items()},
    "services/NAME/invocations": {"POST": Probe((NOBODY, WRONG, USER, HOLDER), send=NO_ROWS)},
    "services/NAME/ping": {"GET": Probe((NOBODY, WRONG, USER, HOLDER))},
    "services/NAME/health": {"GET": Probe((NOBODY, WRONG, USER, HOLDER))},
    "services/NAME/version": {"GET": Probe((NOBODY, WRONG, USER, HOLDER))},
    "v2": {"GET": Probe(KEYS)},
    "v2/health/live": {"GET": Probe((NOBODY, WRONG, *KEYS))},
    "v2/health/ready": {"GET": Probe((NOBODY, WRONG, *KEYS))},
    "v2/models": {"GET": Probe(KEYS)},
    "v2/models/stats": {"GET": Probe(LOGIN)},
    "v2/models/NAME": {"GET": Probe(MODEL_CALLERS)},
    "v2/models/NAME/ready": {"GET": Probe(MODEL_CALLERS)},
    "v2/models/NAME/config": {"GET": Probe(MODEL_CALLERS)},
    "v2/models/NAME/stats": {"GET": Probe(LOGIN)},
    "v2/models/NAME/infer": {"POST": Probe(MODEL_CALLERS, send=NO_INPUTS)},
    "v2/models/NAME/infer_stream": {"POST": Probe(MODEL_CALLERS, send=NO_INPUTS)},
    "v2/models/NAME/generate": {"POST": Probe(MODEL_CALLERS, send=NO_ARGUMENTS)},
    "v2/models/NAME/generate_stream": {"POST": Probe(MODEL_CALLERS, send=NO_ARGUMENTS)},
    "v2/models/NAME/versions/VERSION": {"GET": Probe(READERS)},
    "v2/models/NAME/versions/VERSION/ready": {"GET": Probe(READERS)},
    "v2/models/NAME/versions/VERSION/config": {"GET": Probe(READERS)},
    "v2/models/NAME/versions/VERSION/stats": {"GET": Probe(LOGIN)},
    "v2/models/NAME/versions/VERSION/infer": {"POST": Probe(READERS, send=NO_INPUTS)},
    "v2/models/NAME/versions/VERSION/infer_stream": {"POST": Probe(READERS, send=NO_INPUTS)},
    "v2/models/NAME/versions/VERSION/generate": {"POST": Probe(READERS, send=NO_ARGUMENTS)},
    "v2/models/NAME/versions/VERSION/generate_stream": {"POST": Probe(READERS, send=NO_ARGUMENTS)},
    "v2/repository/index": {"POST": Probe(KEYS)},
    "v2/repository/models/NAME/load": {"POST": Probe(LOGIN, harms=True)},
    "v2/repository/models/NAME/unload": {"POST": Probe(LOGIN, harms=True)},
    "services/NAME/process": {"POST": Probe((NOBODY, WRONG, USER, HOLDER))},
    "assistants": {"GET": Probe(LOGIN)},
    "services/NAME/assistant": {"GET": Probe(LOGIN)},
    "models": {"GET": Probe(LOGIN), "POST": Probe(LOGIN, 400)},
    "models/page": {"GET": Probe(LOGIN)},
    "models/MODEL": {
        "GET": Probe(LOGIN, 404),
        "PATCH": Probe(LOGIN, 400),
        "DELETE": Probe(LOGIN, 404),
    },
    "models/MODEL/page": {"GET": Probe(LOGIN, 404)},
    "models/MODEL/aliases/ALIAS": {"PUT": Probe(LOGIN, 400), "DELETE": Probe(LOGIN, 404)},
    "models/MODEL/template": {"GET": Probe(LOGIN, 404)},
    "models/MODEL/predict": {"POST": Probe(KEYS, 400)},
    "templates": {"GET": Probe(LOGIN)},
    "templates/page": {"GET": Probe(LOGIN)},
    "templates/look": {"POST": Probe(LOGIN, 400)},
    # Open to those who know a key, or for models that are public for training.
    "mlaas/NAME/train": {"POST": Probe(())},
    "mlaas/NAME/status": {"GET": Probe(())},
    "mlaas/NAME/predict": {"POST": Probe(())},
    "k/SECRET/NAME/train": {"POST": Probe(())},
    "k/SECRET/NAME/status": {"GET": Probe(())},
    "k/SECRET/NAME/predict": {"POST": Probe(())},
    "models/MODEL/compare": {"GET": Probe(LOGIN, 404)},
    "models/MODEL/compare/page": {"GET": Probe(LOGIN, 404)},
    "models/MODEL/versions": {"GET": Probe(LOGIN, 404), "POST": Probe(LOGIN, 415)},
    "models/MODEL/versions/REF": {
        "GET": Probe(LOGIN, 404),
        "PATCH": Probe(LOGIN, 400),
        "DELETE": Probe(LOGIN, 404),
    },
    "models/MODEL/versions/REF/page": {"GET": Probe(LOGIN, 404)},
    "models/MODEL/versions/REF/files/(.+)": {"GET": Probe(LOGIN, 404)},
    "models/MODEL/versions/REF/export": {"GET": Probe(LOGIN, 404)},
    "mlflow/api/2.0/mlflow/CALL": {"GET": Probe(LOGIN, 404), "POST": Probe(LOGIN, 403)},
    "mlflow/api/2.0/mlflow-artifacts/artifacts": {"GET": Probe(LOGIN, 404)},
    "mlflow/api/2.0/mlflow-artifacts/artifacts/(.+)": {"GET": Probe(LOGIN, 404)},
    ".*": dict.fromkeys(EVERY, Probe(LOGIN, 404)),
}
"""Route -> method -> who is let in. A route or method that is missing here fails the walk."""

STANDS_FOR = {
    OWN_MODEL: "MODEL",
    MODEL_ALIAS: "ALIAS",
    MODEL_REF: "REF",
    MLFLOW_CALL: "CALL",
    NAME: "NAME",
    BUNDLE: "BUNDLE",
    KERNEL: "KERNEL",
    STORED_ID: "STORED",
    JOB: "JOB",
    API_KEY: "SECRET",
    KEY: "KEY",
    ASSET: "ASSET",
    SOURCE: "SOURCE",
    UPLOAD: "UPLOAD",
    SESSION: "PLACE",
    FILE: "FILE",
    REQUEST: "REQUEST",
    VERSION: "VERSION",
    CREDENTIAL: "CREDENTIAL",
    DEEPAAS_MODEL: "DEEP",
    UUID: "UUID",
}
EXAMPLES = {
    "/?": "",
    ".*": "anything/else",
    "BUNDLE": "0" * 64,
    "KERNEL": "0" * 32,
    "STORED": "0" * 32,
    "JOB": "0" * 26,
    "(.+)": "model.bin",
    "keys/KEY": f"keys/key_{'0' * 16}",
    "ASSET": "easymlnb.css",
    "PLACE": "0" * 36,
    "FILE": "0" * 12 + "/none.js",
    "REQUEST": "some-request",
    "VERSION": "1",
    "CREDENTIAL": "NONE",
    "UUID": "0" * 32,
    "SOURCE": "absent",
    "MODEL": "absent",
    "ALIAS": "production",
    "REF": "1",
    "CALL": "registered-models/none",
}


def named(pattern: str) -> str:
    for expression, word in STANDS_FOR.items():
        pattern = pattern.replace(expression, word)
    return pattern.replace("\\.", ".")


@pytest.fixture(scope="module")
def callers(session_server: RunningServer) -> Iterator[dict[str, httpx.Client]]:
    """The callers of a public service that is published, and whose notebook has another draft."""
    server = session_server
    services = [SERVICE.format(name=name, said="published") for name in ("walked", "neighbour")]
    assert server.publish(make_notebook(*services), "walked.ipynb")["state"] == "ready"
    kernel = NotebookKernel(server.http, "draft.ipynb")
    address = f"{server.url}easymlnb/"
    visitor, person = httpx.Client(timeout=60), httpx.Client(timeout=60)
    made = {name: httpx.Client(base_url=address, timeout=60) for name in CALLERS}
    try:
        for name in ("walked", "unpublished"):
            kernel.run(SERVICE.format(name=name, said="unfinished cell"))
        person.get(address, params={"token": server.token})
        shown = {
            WRONG: "token test-token-of-the-suit",
            # The same visitor's twice: only the service is another one.
            PASS: pass_of(open_page(server, visitor, "public/walked")),
            OTHER: pass_of(open_page(server, visitor, "public/neighbour")),
            OWN: pass_of(open_page(server, person, "apps/walked")),
            USER: f"token {server.token}",
        }
        shown |= {name: f"Bearer {key}" for name, key in keys_of(server).items()}
        for name, said in shown.items():
            made[name].headers["Authorization"] = said
        yield made
    finally:
        for client in (visitor, person, *made.values()):
            client.close()
        kernel.close()
        for name in ("walked", "neighbour"):
            server.http.delete(f"services/{name}")


def keys_of(server: RunningServer) -> dict[str, str]:
    """Return an API key of each kind."""
    keys = {}
    for name, service in ((HOLDER, "walked"), (FOREIGN, "neighbour"), (REVOKED, "walked")):
        body = {"services": [service], "scopes": ["call", "read"]}
        made = server.http.post("keys", json=body).json()
        keys[name] = made["key"]
    server.http.delete(f"keys/{made['id']}")
    body = {"services": ["walked"], "scopes": ["call", "read"], "expires": "0.001s"}
    keys[EXPIRED] = server.http.post("keys", json=body).json()["key"]
    return keys


@pytest.mark.parametrize("routes", [ROUTES, SHARED_ROUTES])
def test_jupyter_warns_of_no_route_at_the_start(routes: tuple[tuple[Any, ...], ...]) -> None:
    check = ServerWebApplication._check_handler_auth
    assert [said for path, handler, *_ in routes for said in check(Any, path, handler)] == []


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (NotReady("Away."), "2"),
        (Draining(), "5"),
        (Forbidden("No."), None),
        (CallerError("No.", details={"retry_after": 0.5}), "0.5"),
        (CallerError("No.", details={"retry_after": "1\r\nSet-Cookie: a=b"}), None),
        (CallerError("No.", details={"retry_after": float("nan")}), None),
    ],
)
def test_who_may_try_again_is_told_when(error: EasyMLNBError, seconds: str | None) -> None:
    assert retry_after(error) == seconds


@pytest.fixture(scope="module")
def upload(callers: dict[str, httpx.Client]) -> str:
    answer = callers[PASS].post("uploads?service=walked", **ANNOUNCED)
    return str(answer.json()["id"])


def test_every_route_and_method_has_its_expectation() -> None:
    walked = {at: set(found) for at, found in EXPECTED.items()}
    assert walked == {named(pattern): methods(handler) for pattern, handler, *_ in ROUTES}


@pytest.mark.parametrize("route", EXPECTED)
def test_callers_get_what_is_theirs(
    callers: dict[str, httpx.Client], upload: str, route: str
) -> None:
    path = example(route, {**EXAMPLES, "NAME": "walked", "UPLOAD": upload})
    for caller, client in callers.items():
        for method in METHODS:
            probe = EXPECTED[route].get(method, Probe(()))
            if caller in probe.callers and probe.harms:
                continue
            answer = client.request(method, path + probe.query, **probe.send)
            if answer.status_code == 429:  # the limit of one address: the routes call quickly
                time.sleep(float(answer.headers["Retry-After"]))
                answer = client.request(method, path + probe.query, **probe.send)
            context = (caller, method, route, answer.text[:300])
            if caller in probe.callers:
                assert answer.status_code == probe.status, context
            else:
                assert answer.status_code in REFUSED, context
            if answer.status_code == 302:
                assert "/login" in answer.headers["Location"], context
            # A method that is not there is refused also to those who may do everything.
            if caller == USER and method not in EXPECTED[route]:
                # Where the key is in the address, a wrong one is refused first.
                assert answer.status_code in (401 if route.startswith("k/") else 403, 405), context
            assert caller == USER or "unfinished cell" not in answer.text, context


def spellings(path: str) -> list[str]:
    """Return other ways to write a path, which may lead to the same route or to none."""
    head, name, tail = path.partition("walked")
    encoded = f"{head}%77alked{tail}"
    return [f"{path}/", f"/{path}", f"./{path}", encoded, f"{encoded}/", path.replace("/", "//", 1),
            path.upper(), f"{path}%00", f"{path};x=1", f"{head}neighbour/../{name}{tail}",
            f"{head}neighbour%2F..%2F{name}{tail}"]  # fmt: skip


@pytest.mark.parametrize("route", [route for route in EXPECTED if "NAME" in route])
def test_other_spellings_of_a_path_are_no_way_in(
    callers: dict[str, httpx.Client], route: str
) -> None:
    path = example(route, {**EXAMPLES, "NAME": "walked"})
    client = callers[FOREIGN]
    for spelling in spellings(path):
        for method, probe in EXPECTED[route].items():
            if FOREIGN in probe.callers:
                continue
            # As it is: a client would write the path in its own way.
            url = httpx.URL(client.base_url, raw_path=f"/easymlnb/{spelling}".encode())
            answer = client.request(method, url, **probe.send)
            assert answer.status_code in (*REFUSED, 400), (method, spelling)


@pytest.mark.parametrize("route", [route for route in EXPECTED if route not in (".*", "link")])
def test_options_name_the_methods_and_nothing_else(
    callers: dict[str, httpx.Client], route: str
) -> None:
    path = example(route, {**EXAMPLES, "NAME": "walked", "UPLOAD": "0" * 43})
    answer = callers[NOBODY].options(path)
    assert (answer.status_code, answer.text) == (204, "")
    assert {*answer.headers["Allow"].split(", ")} == {*EXPECTED[route], "OPTIONS"}


def test_a_draft_has_no_public_page(callers: dict[str, httpx.Client]) -> None:
    assert callers[USER].get("apps/unpublished").status_code == 200
    for client in (callers[NOBODY], callers[USER]):
        assert client.get("public/unpublished").status_code == 404


@pytest.mark.parametrize("route", EXPECTED)
def test_no_route_becomes_a_websocket_of_somebody_elses(
    callers: dict[str, httpx.Client], upload: str, route: str
) -> None:
    path = example(route, {**EXAMPLES, "NAME": "walked", "UPLOAD": upload})
    for caller, client in callers.items():
        probe = EXPECTED[route].get("GET", Probe(()))
        allowed = (probe.status,) if caller in probe.callers else REFUSED
        assert upgrade(client, path) in allowed, (caller, route)


@pytest.mark.parametrize("secret", ["", "easymlnb ", "easymlnb wrong", "token {token}"])
def test_link_wants_its_own_secret(session_server: RunningServer, secret: str) -> None:
    url = f"{session_server.url}easymlnb/link".replace("http", "ws", 1)
    headers = {"Authorization": secret.format(token=session_server.token)}
    with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
        pass
    assert refused.value.response.status_code == 401


@pytest.fixture
def browser(session_server: RunningServer) -> Iterator[httpx.Client]:
    """A browser's client: a cookie from logging in, and no token."""
    with httpx.Client(base_url=session_server.url, timeout=60) as client:
        client.get("easymlnb/", params={"token": session_server.token})
        assert client.cookies
        yield client


def test_cookie_opens_what_it_should(browser: httpx.Client) -> None:
    assert browser.get("easymlnb/services").status_code == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_cookie_alone_changes_nothing(browser: httpx.Client, method: str) -> None:
    answer = browser.request(method, "easymlnb/services/some_service/call")
    # POST has the route, DELETE not; neither gets that far.
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"


def test_cookie_with_its_xsrf_token_calls(browser: httpx.Client) -> None:
    answer = browser.post(
        "easymlnb/services/some_service/call",
        headers={"X-XSRFToken": browser.cookies["_xsrf"]},
        json={},
    )
    assert answer.json()["error"]["code"] == "service_not_found"


def test_everything_works_under_a_base_url(tmp_path: Path) -> None:
    with running_server(tmp_path, base="/user/ann/") as server:
        assert server.http.get("services").json()["services"] == []
        page = server.http.get("").text
        assets = re.findall(r'(?:src|href)="([^"#]+)"', page)
        assert assets
        for asset in assets:
            assert asset.startswith("/user/ann/easymlnb/"), asset
            assert (
                httpx.get(
                    f"http://127.0.0.1:{server.port}{asset}",
                    headers={"Authorization": f"token {server.token}"},
                    timeout=60,
                ).status_code
                == 200
            )
