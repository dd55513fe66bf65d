"""Every route of a shared service, walked by everybody for every service: nobody gets more than
the rules say, and who may not cannot tell a service that they may not see from one that is not.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from easymlnb.contract.names import url_path
from easymlnb_server.http.model_routes import API_KEY, MODEL_ALIAS, MODEL_REF
from easymlnb_server.http.routes import (
    ASSET,
    BUNDLE,
    CREDENTIAL,
    FILE,
    FULL_NAME,
    JOB,
    KERNEL,
    KEY,
    REQUEST,
    SESSION,
    SHARED_ROUTES,
    SOURCE,
    STORED_ID,
    UPLOAD,
    USER,
    VERSION,
)
from easymlnb_server.protocols.deepaas.handlers import MODEL as DEEPAAS_MODEL
from easymlnb_server.protocols.deepaas.handlers import UUID
from support.page_channel import open_page, pass_of
from support.route_probes import METHODS, REFUSED, methods, upgrade
from support.server import free_port
from support.shared_server import (
    BOB,
    FILES,
    NOT_SHARED,
    OPTIONS,
    PEOPLE,
    SERVICE,
    SharedServer,
    opened,
)

VISITOR = "nobody"
ASKERS = (*PEOPLE, VISITOR)
EVERYBODY = frozenset(PEOPLE)

ACCESS: dict[str, tuple[dict[str, Any], frozenset[str]]] = {
    "alice/kept": ({}, frozenset(["alice"])),
    "alice/told": ({"users": [BOB]}, frozenset(["alice", BOB])),
    "alice/grouped": ({"groups": ["ml"]}, frozenset(["alice", "dave"])),
    "alice/opened": ({"everyone": True}, EVERYBODY),
    "alice/posted": ({"public": True}, EVERYBODY | {VISITOR}),
    f"{BOB}/kept": ({}, frozenset([BOB])),
    f"{BOB}/lent": ({"users": ["carol"], "groups": ["ops"]}, frozenset([BOB, "carol"])),
}
"""Name -> its access rules, and who may then use it in addition to administrators."""

NOWHERE = "nosuch/nosuch"

PAGED = "alice/sizes"
"""A public service that takes files, so that its page shows a pass."""


def secret(name: str, level: str) -> str:
    """Return what only those find who may ``see``, ``call`` or ``manage`` a service."""
    return f"{level}-{name.replace('@', '-').replace('/', '-').replace('+', '-')}-secret"


def users(name: str) -> frozenset[str]:
    return ACCESS[name][1] | {"root"}


def managers(name: str) -> frozenset[str]:
    return frozenset([name.partition("/")[0], "root"])


def may(asker: str, name: str, level: str) -> bool:
    return asker in (managers(name) if level == "manage" else users(name))


def check_secrets(asker: str, answer: httpx.Response) -> None:
    """Find nothing in an answer that is not for this asker."""
    said = answer.text + str(answer.headers)
    for name in ACCESS:
        for level in ("see", "call", "manage"):
            if secret(name, level) in said:
                assert may(asker, name, level), f"{asker} got {secret(name, level)}: {answer.url}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServer]:
    server = SharedServer(tmp_path_factory.mktemp("shared"), free_port(), options=OPTIONS)
    server.start()
    try:
        for owner in ("alice", BOB):
            mine = [name for name in ACCESS if name.startswith(f"{owner}/")]
            cells = [
                SERVICE.format(
                    name=name.partition("/")[2],
                    **{level: secret(name, level) for level in ("see", "call", "manage")},
                )
                for name in mine
            ]
            printed = [f"print({secret(name, 'manage')!r})" for name in mine]
            server.bring(owner, *cells, *printed, FILES)
        server.bring("dave", FILES)
        for name, (access, _) in ACCESS.items():
            server.share(name, **access)
        server.share(PAGED, public=True)
        for name in ACCESS:
            called = server.people[name.partition("/")[0]].post(f"services/{url_path(name)}/call")
            assert called.json() == secret(name, "call")
        visitor = httpx.Client(base_url=f"{server.url}easymlnb/", timeout=60)
        server.people[VISITOR] = visitor
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Probe:
    """One method of a route that names a service. ``level`` is what it takes to be let in.

    ``harms`` says that it changes something, so that only those who may not try it here.
    """

    method: str
    level: str
    status: int = 200
    send: dict[str, Any] = field(default_factory=dict)
    harms: bool = False


OWN, MODEL = "services/NAME", "v2/models/NAME"
NO_ROWS: dict[str, Any] = {"dataframe_records": []}
LIST_TOOLS = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ID = "0" * 32
OF_DEEPAAS: dict[str, tuple[Probe, ...]] = {
    **dict.fromkeys(("/", "/swagger\\.json", "/v2/", "/v2/models/"), (Probe("get", "call", 404),)),
    **dict.fromkeys(("", "/v2", "/v2/models"), (Probe("get", "call", 308),)),
    "/v2/models/DEEP/": (Probe("get", "call", 404),),
    "/v2/models/DEEP": (Probe("get", "call", 308),),
    "/v2/models/DEEP/predict/": (Probe("post", "call", 404),),
    "/v2/models/DEEP/predict": (Probe("post", "call", 308),),
    "/v2/models/DEEP/train/": (Probe("get", "call", 404), Probe("post", "call", 404)),
    "/v2/models/DEEP/train": (Probe("get", "call", 308), Probe("post", "call", 308)),
    "/v2/models/DEEP/train/UUID": (Probe("get", "call", 404), Probe("delete", "call", 404)),
}
"""The routes of a service that is of no DEEPaaS module."""

OF_SERVICES: dict[str, tuple[Probe, ...]] = {
    OWN: (Probe("get", "see"), Probe("delete", "manage", harms=True)),
    f"{OWN}/access": (
        Probe("get", "manage"),
        Probe("put", "manage", send={"json": {"everyone": True}}, harms=True),
    ),
    f"{OWN}/maintainers": (
        Probe("get", "manage"),
        Probe("put", "manage", send={"json": {"users": ["carol"]}}, harms=True),
    ),
    f"{OWN}/transfer": (Probe("post", "manage", send={"json": {"to": "group:ml"}}, harms=True),),
    f"{OWN}/credentials": (Probe("get", "manage"),),
    f"{OWN}/credentials/CREDENTIAL": (
        Probe("get", "manage", 404),
        Probe("put", "manage", send={"json": {"value": "x"}}, harms=True),
        Probe("delete", "manage", 404),
    ),
    f"{OWN}/call": (Probe("post", "call", send={"json": {}}),),
    f"{OWN}/view": (Probe("post", "call", send={"json": {}}),),
    f"{OWN}/jobs": (Probe("post", "call", 202, send={"json": {}}),),
    f"{OWN}/batches": (Probe("post", "call", 202, send={"content": b"x\n1\n"}),),
    f"{OWN}/batches/page": (Probe("get", "call"),),
    f"{OWN}/sweeps": (Probe("post", "call", 400, send={"json": {}}),),
    f"{OWN}/versions": (Probe("get", "see"),),
    f"{OWN}/log": (Probe("get", "manage"),),
    f"{OWN}/limits": (
        Probe("get", "manage"),
        Probe("put", "manage", send={"json": {"all": {"concurrent": 9}}}, harms=True),
    ),
    f"{OWN}/versions/1/provenance": (Probe("get", "manage"),),
    f"{OWN}/versions/1/quality": (Probe("get", "manage", 404),),  # the gate did not run
    f"{OWN}/versions/1/diff": (Probe("get", "manage"),),
    f"{OWN}/versions/1/bundle": (Probe("get", "manage"),),
    f"{OWN}/versions/1/notebook": (Probe("get", "manage"),),
    f"{OWN}/versions/1/crate": (Probe("get", "manage"),),
    f"{OWN}/versions/1/page": (Probe("get", "manage"),),
    f"{OWN}/openapi\\.json": (Probe("get", "see"),),
    f"{OWN}/page": (Probe("get", "see"),),
    f"{OWN}/metadata": (Probe("get", "see"),),
    f"{OWN}/thumbnail": (Probe("get", "see", 404),),  # none of them has a picture
    f"{OWN}/traffic": (
        Probe("get", "manage"),
        Probe("put", "manage", send={"json": {"weights": {"1": 100}}}),
    ),
    f"{OWN}/rollback": (Probe("post", "manage", 409),),
    f"{OWN}/promotions": (
        Probe("get", "manage"),
        Probe("post", "manage", 409, send={"json": {"version": 1}}),
    ),
    f"{OWN}/promotions/{ID}": (Probe("get", "manage", 404), Probe("delete", "manage", 404)),
    f"{OWN}/promotions/{ID}/pause": (Probe("post", "manage", 404),),
    f"{OWN}/promotions/{ID}/resume": (Probe("post", "manage", 404),),
    f"{OWN}/versions/1": (Probe("delete", "manage", 409),),
    f"{OWN}/versions/1/call": (Probe("post", "call", send={"json": {}}),),
    f"{OWN}/versions/1/view": (Probe("post", "call", send={"json": {}}),),
    f"{OWN}/flag": (Probe("post", "call", 400),),
    f"{OWN}/records": (Probe("get", "manage"), Probe("delete", "manage", 400)),
    f"{OWN}/records/page": (Probe("get", "manage"),),
    f"{OWN}/records/dataset": (Probe("get", "manage"),),
    f"{OWN}/records/{ID}": (Probe("get", "manage", 404), Probe("delete", "manage", 404)),
    f"{OWN}/records/{ID}/code": (Probe("get", "manage", 404),),
    f"{OWN}/comparisons/shadow": (Probe("get", "manage"),),
    f"{OWN}/comparisons/shadow/page": (Probe("get", "manage"),),
    f"{OWN}/comparisons": (Probe("get", "manage"), Probe("post", "manage", 400)),
    f"{OWN}/mcp": (Probe("post", "call", send={"json": LIST_TOOLS}),),
    f"{OWN}/invocations": (Probe("post", "call", send={"json": NO_ROWS}),),
    f"{OWN}/ping": (Probe("get", "call"),),
    f"{OWN}/health": (Probe("get", "call"),),
    f"{OWN}/version": (Probe("get", "call"),),
    f"{OWN}/process": (Probe("post", "call", send={"json": {}}),),
    f"{OWN}/assistant": (Probe("get", "call"),),
    **{f"{OWN}/deepaas{at}": probes for at, probes in OF_DEEPAAS.items()},
    f"{OWN}/events": (Probe("post", "call", 400),),
    MODEL: (Probe("get", "see"),),
    f"{MODEL}/ready": (Probe("get", "see"),),
    f"{MODEL}/config": (Probe("get", "see"),),
    f"{MODEL}/stats": (Probe("get", "manage"),),
    f"{MODEL}/infer": (Probe("post", "call", send={"json": {"inputs": []}}),),
    f"{MODEL}/infer_stream": (Probe("post", "call", send={"json": {"inputs": []}}),),
    f"{MODEL}/generate": (Probe("post", "call", send={"json": {}}),),
    f"{MODEL}/generate_stream": (Probe("post", "call", send={"json": {}}),),
    f"{MODEL}/versions/1": (Probe("get", "see"),),
    f"{MODEL}/versions/1/ready": (Probe("get", "see"),),
    f"{MODEL}/versions/1/config": (Probe("get", "see"),),
    f"{MODEL}/versions/1/stats": (Probe("get", "manage"),),
    f"{MODEL}/versions/1/infer": (Probe("post", "call", send={"json": {"inputs": []}}),),
    f"{MODEL}/versions/1/infer_stream": (Probe("post", "call", send={"json": {"inputs": []}}),),
    f"{MODEL}/versions/1/generate": (Probe("post", "call", send={"json": {}}),),
    f"{MODEL}/versions/1/generate_stream": (Probe("post", "call", send={"json": {}}),),
    "v2/repository/models/NAME/load": (Probe("post", "manage"),),
    "v2/repository/models/NAME/unload": (Probe("post", "manage", harms=True),),
    "apps/NAME": (Probe("get", "call"), Probe("head", "call")),
    "public/NAME": (Probe("get", "public"), Probe("head", "public")),
}
OPEN_TO_VISITORS = {
    (OWN, "get"),
    (f"{OWN}/call", "post"),
    (f"{OWN}/view", "post"),
    (f"{OWN}/mcp", "post"),
    (f"{OWN}/invocations", "post"),
    (f"{OWN}/ping", "get"),
    (f"{OWN}/health", "get"),
    (f"{OWN}/version", "get"),
    (MODEL, "get"),
    (f"{MODEL}/ready", "get"),
    (f"{MODEL}/config", "get"),
    *((f"{MODEL}/{way}", "post") for way in ("infer", "infer_stream", "generate")),
    (f"{MODEL}/generate_stream", "post"),
    (f"{OWN}/process", "post"),
}
"""Route and method of what visitors may do with a public service."""

PLACES = (
    ("get", "{at}/NAME/api/kernels/PLACE"),
    ("get", "{at}/NAME/api/kernels/PLACE/channels"),
    ("post", "{at}/NAME/leave/PLACE"),
)
"""What the page of an app finds below itself; walked with a place of alice's."""

OF_NONE: dict[str, dict[str, int]] = {
    "/?": {"get": 200},
    "mcp": {"post": 415},
    "v2": {"get": 200},
    "v2/models": {"get": 200},
    "v2/models/stats": {"get": 200},
    "v2/repository/index": {"post": 200},
    "assistants": {"get": 200},
    "docs": {"get": 200},
    "metadata": {"get": 200},
    "me": {"get": 200},
    "keys": {"get": 200, "post": 400},
    "keys/page": {"get": 200},
    "keys/KEY": {"get": 404, "delete": 404},
    "usage": {"get": 200},
    "usage/page": {"get": 200},
    "audit": {"get": 200},
    "hub": {"get": 403},  # for administrators, where there is a Hub
    "metrics": {"get": 403},
    "hub/ownerless": {"get": 403},
    "hub/ownerless/page": {"get": 403},
    "hub/users/USER": {"delete": 403},
    "hub/users/USER/transfer": {"post": 403},
    "openapi\\.json": {"get": 200},
    "services": {"get": 200, "post": 415},
    "uploads": {"post": 404},
    "uploads/UPLOAD": {"get": 404, "put": 404, "delete": 404},
    "calls/REQUEST": {"delete": 404},
    "calls/REQUEST/job": {"post": 404},
    "bundles/BUNDLE": {"get": 404, "delete": 404},
    "bundles/BUNDLE/notebook": {"get": 404},
    f"comparisons/{ID}": {"get": 404, "delete": 404},
    f"comparisons/{ID}/page": {"get": 404},
    "placements": {"get": 200},
    "jobs": {"get": 200},
    "jobs/page": {"get": 200},
    "jobs/JOB/page": {"get": 404},
    "jobs/JOB": {"get": 404, "delete": 404},
    "jobs/JOB/result": {"get": 404},
    "jobs/JOB/log": {"get": 404},
    "jobs/JOB/events": {"get": 404},
    "jobs/JOB/files/(.+)": {"get": 404},
    "jobs/JOB/cancel": {"post": 404},
    "jobs/JOB/retry": {"post": 404},
    "jobs/JOB/trials": {"get": 404},
    "jobs/JOB/use": {"post": 404},
    "schedules": {"get": 200, "post": 400},
    "schedules/page": {"get": 200},
    "schedules/JOB": {"get": 404, "patch": 400, "delete": 404},
    "schedules/JOB/pause": {"post": 404},
    "schedules/JOB/resume": {"post": 404},
    "schedules/JOB/run": {"post": 404},
    "webhooks": {"get": 200, "post": 400},
    "webhooks/page": {"get": 200},
    "webhooks/JOB": {"get": 404, "patch": 400, "delete": 404},
    "webhooks/JOB/rotate": {"post": 404},
    "webhooks/JOB/test": {"post": 404},
    "deliveries": {"get": 200},
    "deliveries/JOB": {"get": 404},
    "deliveries/JOB/retry": {"post": 404},
    "bridges": {"get": 200},
    "bridges/SOURCE": {"get": 404},
    "storage-events": {"get": 200},
    "storage-events/SOURCE": {"get": 404},
    "models": {"get": 200, "post": 400},
    "models/page": {"get": 200},
    "models/NAME": {"get": 404, "patch": 400, "delete": 404},
    "models/NAME/page": {"get": 404},
    "models/NAME/aliases/REF": {"put": 400, "delete": 404},
    "models/NAME/compare": {"get": 404},
    "models/NAME/compare/page": {"get": 404},
    "models/NAME/versions": {"get": 404, "post": 415},
    "models/NAME/versions/REF": {"get": 404, "patch": 400, "delete": 404},
    "models/NAME/versions/REF/page": {"get": 404},
    "models/NAME/versions/REF/files/(.+)": {"get": 404},
    "models/NAME/versions/REF/export": {"get": 404},
    "models/NAME/template": {"get": 404},
    "models/NAME/predict": {"post": 400},
    "templates": {"get": 200},
    "templates/page": {"get": 200},
    "templates/look": {"post": 400},
    "k/SECRET/NAME/train": {"post": 401},
    "k/SECRET/NAME/status": {"get": 401},
    "k/SECRET/NAME/predict": {"post": 401},
    "mlflow/api/2\\.0/mlflow/([a-z-]+)/([a-z-]+)": {"get": 404, "post": 403},
    "mlflow/api/2\\.0/mlflow-artifacts/artifacts": {"get": 404},
    "mlflow/api/2\\.0/mlflow-artifacts/artifacts/(.+)": {"get": 404},
    ".*": dict.fromkeys(("get", "post", "put", "patch", "delete"), 404),
}
"""Routes without a service in their path: method -> what somebody with a login gets."""

OPEN = {"static/([a-z]+\\.[a-z]+)", "health/live", "health/ready", "link"}
OPEN |= {"v2/health/live", "v2/health/ready"}
OPEN |= {f"mlaas/{FULL_NAME}/{path}" for path in ("train", "status", "predict")}
"""Routes that tell everybody the same, which is nothing of anybody's."""

STANDS_FOR = {
    FULL_NAME: "NAME",
    BUNDLE: "BUNDLE",
    SOURCE: "SOURCE",
    UPLOAD: "UPLOAD",
    REQUEST: "REQUEST",
    JOB: "JOB",
    SESSION: "PLACE",
    USER: "USER",
    API_KEY: "SECRET",
    KEY: "KEY",
    CREDENTIAL: "CREDENTIAL",
    DEEPAAS_MODEL: "DEEP",
    UUID: "UUID",
    VERSION: "1",
    KERNEL: ID,
    STORED_ID: ID,
    MODEL_ALIAS: "REF",
    MODEL_REF: "REF",
}


def plain(pattern: str) -> str:
    for group, word in STANDS_FOR.items():
        pattern = pattern.replace(group, word)
    return pattern


def test_the_log_says_who_changed_what_and_who_called(shared: SharedServer) -> None:
    # First of all: after the walks over all routes, the log omits lines.
    name = url_path("alice/kept")
    at = f"services/{name}"
    told = {"X-Request-Id": "audited-request"}
    assert shared.people["root"].get(f"{at}/log", headers=told).status_code == 200
    assert shared.people["carol"].delete(at, headers=told).status_code == 404
    access = shared.people["alice"].put(f"{at}/access", json=ACCESS["alice/kept"][0], headers=told)
    assert access.status_code == 200
    assert shared.people["alice"].post(f"{at}/call", headers=told).status_code == 200
    said = "request_id=audited-request caller="

    def lines() -> list[str]:
        log = shared.log.splitlines()
        return ["caller=" + line.partition(said)[2] for line in log if said in line]

    # The line of a call follows its response.
    shared.wait_for(lambda: len(lines()) > 3, "the log does not have the call")
    found = lines()
    root = f"path=/easymlnb/{at}"
    assert found[:3] == [
        f"caller=root method=GET {root}/log status=200",
        f"caller=carol method=DELETE {root} status=404",
        f"caller=alice method=PUT {root}/access status=200",
    ]
    assert [line for line in found if line.startswith("caller=alice service=alice/kept")]


def test_every_method_of_every_route_is_walked() -> None:
    walked = {at: {probe.method for probe in probes} for at, probes in OF_SERVICES.items()}
    walked |= {at: set(found) for at, found in OF_NONE.items()}
    for at in ("apps", "public"):
        walked |= {route.format(at=at): {method} for method, route in PLACES}
    for pattern, handler, *_ in SHARED_ROUTES:
        if pattern not in OPEN and not pattern.startswith("app-assets/"):
            defined = {method.lower() for method in methods(handler)}
            assert walked.get(plain(pattern)) == defined, pattern


def ask(server: SharedServer, asker: str, method: str, at: str, **send: Any) -> httpx.Response:
    headers = {"X-Request-Id": "walk-with-one-id"} | send.pop("headers", {})
    return server.people[asker].request(method, at, headers=headers, **send)


def same(answer: httpx.Response, name: str) -> tuple[int, str, frozenset[str]]:
    """Return what is to be the same for a service that one may not see and for none at all."""
    body = answer.text.replace(url_path(name), "NAME").replace(name, "NAME")
    body = re.sub(r'data-xsrf="[^"]+"', "", body)
    # The first page that a client sees brings a cookie, whichever it is.
    return answer.status_code, body, frozenset(answer.headers) - {"set-cookie"}


@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize("route", OF_SERVICES)
def test_services_are_there_for_those_who_may_only(
    shared: SharedServer, route: str, asker: str
) -> None:
    for probe in OF_SERVICES[route]:
        where = route.replace("\\", "")
        nothing = ask(shared, asker, probe.method, where.replace("NAME", NOWHERE), **probe.send)
        for name in ACCESS:
            at = where.replace("NAME", url_path(name))
            if probe.level == "public":
                allowed = name == "alice/posted"
            else:
                # Without a login there are public pages, and public services to call.
                open_to_all = (route, probe.method) in OPEN_TO_VISITORS
                allowed = may(asker, name, probe.level) and (asker != VISITOR or open_to_all)
            if allowed and probe.harms:
                continue
            answer = ask(shared, asker, probe.method, at, **probe.send)
            check_secrets(asker, answer)
            if allowed:
                assert answer.status_code == probe.status, answer.text
                assert answer.status_code < 400 or "service_not_found" not in answer.text
            else:
                assert same(answer, name) == same(nothing, NOWHERE)
                assert answer.status_code in ((302, 401, 404) if asker == VISITOR else (404,))
    for name in ACCESS:
        alive = shared.people["root"].get(f"services/{url_path(name)}")
        assert alive.json()["shared"] == NOT_SHARED | ACCESS[name][0]


@pytest.mark.parametrize("asker", ASKERS)
def test_what_is_for_all_shows_each_their_own(shared: SharedServer, asker: str) -> None:
    for route, found in OF_NONE.items():
        at = (
            route.replace("\\", "")
            .replace("/?", "")
            .replace(".*", "no/such/route")
            .replace("UPLOAD", "u" * 43)
            .replace("REQUEST", "nobodys-request")
            .replace("BUNDLE", "b" * 64)
            .replace("JOB", "0" * 26)
            .replace("(.+)", "model.bin")
            .replace("([a-z-]+)/([a-z-]+)", "registered-models/none")
            .replace("NAME", NOWHERE)
            .replace("KEY", f"key_{'0' * 16}")
            .replace("SOURCE", "absent")
        )
        for method, status in found.items():
            answer = ask(shared, asker, method, at)
            check_secrets(asker, answer)
            if asker == VISITOR:
                assert answer.status_code in (302, 401), answer.url
            elif asker == "root" and at.startswith("hub"):
                assert answer.status_code == (200 if at.startswith("hub/ownerless") else 404)
            elif (asker, at) == ("root", "metrics"):
                assert answer.status_code == 200
            else:
                assert answer.status_code == status, (method, at, answer.text)


def test_models_are_there_for_those_who_may_only(shared: SharedServer) -> None:
    """Alice has a model for Bob and one for herself; Bob may load his, and change neither."""
    for name, access in (("told", {"users": [BOB]}), ("kept", {})):
        zipped = model_zip(f"alice-{name}-model")
        made = shared.people["alice"].post(
            f"models/~/{name}/versions", content=zipped, headers={"Content-Type": "application/zip"}
        )
        assert made.json()["model"] == f"alice/{name}", made.text
        changed = shared.people["alice"].patch(f"models/alice/{name}", json={"access": access})
        assert changed.json()["access"]["users"] == list(access.get("users", []))
    readers = {"told": {"alice", BOB, "root"}, "kept": {"alice", "root"}}
    reads = ("", "/page", "/versions", "/versions/1", "/versions/latest/page")
    reads += ("/versions/1/files/x.txt", "/versions/1/export?as=crate", "/compare?versions=1,1")
    changes: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("put", "/aliases/x", {"json": {"version": 1}}),
        ("delete", "/aliases/x", {}),
        ("patch", "", {"json": {"title": "x"}}),
        ("patch", "", {"json": {"access": {"everyone": True}}}),
        ("patch", "/versions/1", {"json": {"trusted": True}}),
        ("post", "/versions", {"content": b"", "headers": {"Content-Type": "application/zip"}}),
        ("delete", "/versions/1", {}),
        ("delete", "", {}),
    )
    for asker in ASKERS:
        for name, found in readers.items():
            for path in reads:
                answer = ask(shared, asker, "get", f"models/alice/{name}{path}")
                allowed = 200 if asker in found else (302, 401) if asker == VISITOR else 404
                assert answer.status_code in (allowed if isinstance(allowed, tuple) else (allowed,))
            if asker in ("alice", "root"):
                continue
            for method, path, send in changes:
                answer = ask(shared, asker, method, f"models/alice/{name}{path}", **send)
                assert answer.status_code == (401 if asker == VISITOR else 404), answer.text
        if asker == VISITOR:
            continue
        listed = {one["name"] for one in ask(shared, asker, "get", "models").json()["models"]}
        assert listed == {f"alice/{name}" for name, found in readers.items() if asker in found}
        search = "mlflow/api/2.0/mlflow/registered-models/search"
        seen = ask(shared, asker, "get", search).json()["registered_models"]
        assert {one["name"].replace(".", "/") for one in seen} == listed
    other = shared.people[BOB].post("models", json={"name": "alice/mine"})
    assert other.status_code == 403, other.text


def model_zip(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model.json", json.dumps({"format": "files", "flavor": {}}))
        archive.writestr("files/x.txt", text)
    return out.getvalue()


@pytest.mark.parametrize("asker", PEOPLE)
def test_the_catalog_and_openapi_list_what_one_may_use(shared: SharedServer, asker: str) -> None:
    client = shared.people[asker]
    listed = {one["full_name"]: one for one in client.get("services").json()["services"]}
    assert listed.keys() & ACCESS.keys() == {name for name in ACCESS if may(asker, name, "see")}
    for name in listed.keys() & ACCESS.keys():
        own = may(asker, name, "manage")
        assert ("shared" in listed[name], listed[name]["called"] is not None) == (own, own)
        assert ("bundle" in listed[name]) is own
        assert f"{url_path(name)}/" in client.get(listed[name]["url"] + "/openapi.json").text
    paths = client.get("openapi.json").json()["paths"]
    described = {name for name in ACCESS if f"/services/{url_path(name)}/call" in paths}
    assert described == {name for name in ACCESS if may(asker, name, "see")}
    page = client.get("").text
    for name in ACCESS:
        assert (f"services/{url_path(name)}/page" in page) is may(asker, name, "see")


def test_bundles_are_their_owners(shared: SharedServer) -> None:
    for owner in ("alice", BOB):
        bundle = shared.people[owner].get(f"services/{url_path(f'{owner}/kept')}").json()["bundle"]
        for at in (f"bundles/{bundle}", f"bundles/{bundle}/notebook"):
            for asker in ASKERS:
                answer = ask(shared, asker, "get", at)
                check_secrets(asker, answer)
                expected = 200 if asker in (owner, "root") else 401 if asker == VISITOR else 404
                assert answer.status_code == expected
                if expected == 404:
                    nothing = ask(shared, asker, "get", at.replace(bundle, "b" * 64))
                    assert answer.text.replace(bundle, "b" * 64) == nothing.text
        for asker in ASKERS:
            answer = ask(shared, asker, "delete", f"bundles/{bundle}")
            check_secrets(asker, answer)
            expected = 409 if asker in (owner, "root") else 401 if asker == VISITOR else 404
            assert answer.status_code == expected, answer.text
            if expected == 409:
                assert answer.json()["error"]["code"] == "bundle_in_use"


def test_the_same_notebook_of_two_is_run_apart(shared: SharedServer) -> None:
    own = {
        owner: shared.people[owner].get(f"services/{owner}/sizes").json()["bundle"]
        for owner in ("alice", "dave")
    }
    again = shared.bring("dave", FILES)
    assert again["bundle"] == own["dave"]
    assert own["alice"] != own["dave"]
    assert shared.people["dave"].get(f"bundles/{own['alice']}").status_code == 404


def test_places_are_their_visitors(shared: SharedServer) -> None:
    place = opened(shared, shared.people["alice"], "apps/alice/kept").rpartition("/")[2]
    assert shared.people["alice"].get(f"apps/alice/kept/api/kernels/{place}").status_code == 200
    for asker in set(ASKERS) - {"alice"}:
        for at in ("apps", "public"):
            for method, route in PLACES:
                where = route.format(at=at).replace("PLACE", place)
                for name in ("alice/kept", "alice/posted"):
                    answer = ask(shared, asker, method, where.replace("NAME", name))
                    # A visitor's POST lacks the token against forgery, wherever it goes.
                    expected = (404, 302, 401, 403) if asker == VISITOR else (404,)
                    assert answer.status_code in expected, (asker, where)
    assert shared.people["alice"].get(f"apps/alice/kept/api/kernels/{place}").status_code == 200


def example(pattern: str, name: str) -> str:
    """Return the path of a route for a service."""
    examples = {
        "/?": "",
        ".*": "no/such/route",
        ASSET: "easymlnb.css",
        FILE: "0" * 12 + "/none.js",
        FULL_NAME: url_path(name),
        BUNDLE: "b" * 64,
        UPLOAD: "u" * 43,
        REQUEST: "nobodys-request",
        KEY: f"key_{'0' * 16}",
        STORED_ID: ID,
        CREDENTIAL: "NONE",
        SESSION: "0" * 36,
    }
    for group, one in examples.items():
        pattern = pattern.replace(group, one)
    return pattern.replace("\\.", ".")


ROUTES = {plain(pattern): (pattern, methods(handler)) for pattern, handler, *_ in SHARED_ROUTES}


@pytest.mark.parametrize("route", ROUTES)
def test_methods_that_a_route_lacks_are_refused(shared: SharedServer, route: str) -> None:
    pattern, defined = ROUTES[route]
    for asker in ASKERS:
        for method in set(METHODS) - defined:
            answer = ask(shared, asker, method, example(pattern, "alice/kept"))
            allowed = REFUSED if asker == VISITOR else (403, 404, 405)
            assert answer.status_code in allowed, (asker, method)


OPENED = {
    ("POST", f"{OWN}/call"): 422,  # it wants a file
    ("POST", f"{OWN}/view"): 422,
    ("POST", f"{OWN}/flag"): 400,  # it wants a reason
    ("POST", "uploads"): 201,
    ("GET", "uploads/UPLOAD"): 404,
    ("PUT", "uploads/UPLOAD"): 404,
    ("DELETE", "uploads/UPLOAD"): 404,
    ("DELETE", "calls/REQUEST"): 404,
    ("POST", "calls/REQUEST/job"): 404,
}
"""All that a pass opens, for its own service."""

OPENED_TO_USERS = {
    ("POST", f"{OWN}/batches"): 400,  # it wants a table
    ("POST", f"{OWN}/sweeps"): 400,  # it wants a grid
}
"""What the pass of a user opens besides."""


@pytest.fixture(scope="module")
def passes(shared: SharedServer) -> Iterator[dict[str, httpx.Client]]:
    """Programs that have nothing but the pass of a page: a visitor's, and carol's."""
    made = {}
    for asker, at in ((VISITOR, "public"), ("carol", "apps")):
        shown = pass_of(open_page(shared, shared.people[asker], f"{at}/{PAGED}"))
        made[asker] = httpx.Client(
            base_url=f"{shared.url}easymlnb/", headers={"Authorization": shown}, timeout=60
        )
    yield made
    for client in made.values():
        client.close()


@pytest.mark.parametrize("route", ROUTES)
def test_a_pass_opens_calls_of_its_service_only(
    shared: SharedServer, passes: dict[str, httpx.Client], route: str
) -> None:
    for asker, client in passes.items():
        # The others are public, too, or carol may call them by her login.
        for name in (PAGED, "alice/posted", "alice/opened"):
            at = example(ROUTES[route][0], name)
            for method in METHODS:
                send = {}
                if (method, route) == ("POST", "uploads"):
                    announced = {"name": "x", "size": 1}
                    send = {"params": {"service": name}, "json": announced}
                answer = client.request(method, at, **send)
                check_secrets(VISITOR, answer)
                told = (asker, name, method, answer.text[:300])
                own = name == PAGED or ("NAME" not in route and route != "uploads")
                opened = OPENED if asker == VISITOR else OPENED | OPENED_TO_USERS
                if own and (method, route) in opened:
                    assert answer.status_code == opened[method, route], told
                else:
                    assert answer.status_code in REFUSED, told
            assert upgrade(client, at) in REFUSED


@pytest.mark.parametrize("route", ROUTES)
def test_no_route_becomes_a_websocket_without_its_place(shared: SharedServer, route: str) -> None:
    for asker in ASKERS:
        assert upgrade(shared.people[asker], example(ROUTES[route][0], "alice/kept")) != 101
