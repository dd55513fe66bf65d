"""Services and routes as an OpenAPI 3.1 document.

The handlers describe their routes as ``Operation``; schemas of bodies come from response structs.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cache
from typing import Any

import msgspec

from easymlnb.contract.errors import BY_CODE
from easymlnb.contract.names import quoted
from easymlnb.contract.spec import VIEW, ServiceSpec
from easymlnb_server.identity import names as naming
from easymlnb_server.openapi.components import (
    components,
    for_generators,
    rewriter,
    with_plain_names,
)
from easymlnb_server.openapi.headers import CALL, HEADERS, SECURITY, STREAM
from easymlnb_server.openapi.schemas import ErrorResponse, View

Schema = dict[str, Any]
Form = Schema | type[msgspec.Struct]
Body = Form | tuple[Form, ...]
"""Schema or struct of a body, or a choice of them."""

Content = dict[str, Body]
"""What a body may be, by media type."""

JSON = "application/json"
TEXT: Schema = {"type": "string"}
HTML: Content = {"text/html": TEXT}
BYTES: Schema = {"type": "string", "format": "binary"}
COUNT: Schema = {"type": "integer", "minimum": 0}
EVENT_STREAM: Schema = {"description": "Server-sent events."}
"""Without a type, where nothing else is the answer: some tools check each event by it."""

ANYWHERE = {401, 403, 500}
"""Statuses that every route can answer with."""

CALLING = (400, 404, 406, 409, 413, 415, 422, 503, 504)
"""Further statuses of every route that calls a service."""

ANSWER_HEADERS = ("X-Easymlnb-Version", "X-Easymlnb-Model", "Server-Timing")
"""Headers of a result."""

COMPONENTS = "#/components/schemas/{name}"
ALWAYS: tuple[type[msgspec.Struct], ...] = (ErrorResponse, View)
"""The bodies that every document refers to."""


Answers = dict[int, tuple[str, Content]]
"""Status -> (sentence, content)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one path does.

    id: the ``operationId``.
    errors: statuses of errors, without ``ANYWHERE`` and those of ``all_errors``.
    body: content of the request.
    query: parameters in the query string.
    headers: parameters in headers.
    open: whether it is answered without credentials.
    error: the schema of its errors, if it is not ours, and their media type.
    """

    id: str
    summary: str
    answers: Answers
    errors: tuple[int, ...] = ()
    _: KW_ONLY
    tag: str = "Services"
    body: Content | None = None
    query: tuple[Schema, ...] = ()
    headers: tuple[Schema, ...] = ()
    description: str = ""
    open: bool = False
    error: Schema | None = None
    error_type: str = JSON

    @property
    def is_page(self) -> bool:
        """Whether the answer is a page for people."""
        return any("text/html" in content for _, content in self.answers.values())

    def all_errors(self, path: str) -> set[int]:
        """Return the statuses of errors at ``path``: a parameter or a body can be wrong."""
        statuses = {*self.errors} | (set() if self.open else ANYWHERE)
        statuses |= {400, 404} if "{" in path else set()
        statuses |= {400} if self.query or self.body else set()
        return statuses | ({413} if self.body else set())


Operations = Mapping[str, Operation]
"""Operations by method and path, such as ``GET /services/{name}``."""


def ok(sentence: str, body: Content | type[msgspec.Struct], status: int = 200) -> Answers:
    """Return the answers of an operation with one result; a struct is sent as JSON."""
    return {status: (sentence, {JSON: body} if isinstance(body, type) else body)}


def done(sentence: str) -> Answers:
    """Return the answers of an operation without a result."""
    return {204: (sentence, {})}


def list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def query_parameter(name: str, description: str, schema: Schema, **more: Any) -> Schema:
    """Return a parameter in the query string; ``more`` are further fields of it."""
    return {"name": name, "in": "query", "description": description, "schema": schema} | more


def ref(name: str) -> Schema:
    """Return a reference to the component schema ``name``."""
    return {"$ref": COMPONENTS.format(name=name)}


@cache
def _struct_schemas(structs: tuple[type[msgspec.Struct], ...]) -> dict[str, Schema]:
    """Return the component schemas of structs and of all structs in them."""
    found = msgspec.json.schema_components(structs, ref_template=COMPONENTS)[1]
    # Defaults are Python values, such as tuples.
    schemas: dict[str, Schema] = msgspec.json.decode(msgspec.json.encode(found))
    schemas = {name: for_generators(schema) for name, schema in schemas.items()}
    return with_plain_names(schemas, COMPONENTS.format(name=""))


def _structs(operations: Operations) -> tuple[type[msgspec.Struct], ...]:
    described = operations.values()
    contents = [content for one in described for _, content in one.answers.values()]
    contents += [one.body for one in described if one.body]
    bodies = [one for content in contents for body in content.values() for one in _forms(body)]
    structs = [body for body in bodies if isinstance(body, type)]
    return tuple(dict.fromkeys((*ALWAYS, *structs)))


NEVER_SENT = {"error", "definition_error", "server_unreachable", "call_cycle"}
"""Codes that only a kernel or a client raises."""
FILES = {"file", "image", "webcam", "audio", "table", "timeseries", "array"}
"""Widgets whose values are best sent as files."""
EVENTS = (
    "Server-sent events: `waiting` with `{position, seconds}` while the call is in the queue "
    "(with `state` and `reason` while there is no worker), `progress` with `{fraction, text}`, "
    "`item` for each result of a stream, then one `result` or one `error`."
)


def document(
    specs: Iterable[ServiceSpec],
    operations: Operations,
    *,
    url: str,
    version: str,
    shared: bool = False,
) -> dict[str, Any]:
    """Describe the routes and the services of ``specs``.

    ``url`` is where the routes start, as a caller sees it (``/easymlnb`` or a whole URL);
    ``version`` is that of the server; ``shared`` says that names begin with their owners'.
    """
    if shared:  # live services stay in their authors' own servers
        operations = {
            route.replace("{name}", "{owner}/{name}"): operation
            for route, operation in operations.items()
            if "/live/" not in route
        }
    about = "Notebook functions as services. Errors are JSON with a code and a message."
    specs = sorted(specs, key=lambda spec: spec.name)
    return _document("easymlnb", about, version, url, specs, operations)


def service_document(spec: ServiceSpec, *, url: str, version: str) -> dict[str, Any]:
    """Describe one service and nothing else; arguments as of ``document``."""
    return _document(spec.title, spec.description, version, url, [spec], {})


def _document(
    title: str,
    about: str,
    version: str,
    url: str,
    specs: list[ServiceSpec],
    operations: Operations,
) -> dict[str, Any]:
    schemas = dict(_struct_schemas(_structs(operations)))
    paths: dict[str, Any] = {}
    for route, operation in operations.items():
        method, path = route.split()
        paths.setdefault(path, _parameters(path))[method.lower()] = _fixed(method, path, operation)
    tags: list[dict[str, str]] = []
    for spec in specs:
        tags.append({"name": spec.name, "description": spec.description or spec.title})
        key = naming.slug(spec.name)
        schemas |= components(f"{key}.Input", spec.input)
        schemas |= components(f"{key}.Output", spec.output)
        for way in ("call", "view"):
            paths[f"/services/{quoted(spec.name)}/{way}"] = {"post": _call(spec, way)}
    names = dict.fromkeys(operation.tag for operation in operations.values())
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": about},
        "servers": [{"url": url.rstrip("/") or "/"}],
        "tags": tags + [{"name": name} for name in names],
        "security": [{"token": []}, {"bearer": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {f"Error{status}": _error(status) for status in _STATUSES}
            | {f"PageError{status}": _error(status, page=True) for status in _STATUSES},
            "headers": HEADERS,
            "securitySchemes": SECURITY,
        },
    }


# the fixed routes


def _parameters(path: str) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", path)
    if not names:
        return {}
    return {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": TEXT} for name in names
        ]
    }


def _fixed(method: str, path: str, route: Operation) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.id,
        "tags": [route.tag],
        "summary": route.summary,
        "responses": {
            str(status): _response(sentence, content, *(["Location"] if status == 202 else ()))
            for status, (sentence, content) in route.answers.items()
        }
        | _errors_of(route, path),
    }
    if route.description:
        operation["description"] = route.description
    if route.query or route.headers:
        operation["parameters"] = [*route.query, *route.headers]
    if route.body:
        operation["requestBody"] = {"required": True, "content": _content(route.body)}
    return operation | ({"security": []} if route.open else _security(method))


def _errors_of(route: Operation, path: str) -> dict[str, Any]:
    statuses = route.all_errors(path)
    if route.error is None:
        return _errors(statuses, page=route.is_page)
    body: Content = {route.error_type: route.error}
    return {str(status): _response("An error of the protocol.", body) for status in statuses}


def _response(sentence: str, content: Content, *headers: str) -> dict[str, Any]:
    names = ("X-Request-Id", *headers)
    return {
        "description": sentence,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
    } | ({"content": _content(content)} if content else {})


def _content(content: Content) -> dict[str, Any]:
    return {media: {"schema": _any_of(_forms(body))} for media, body in content.items()}


def _any_of(forms: tuple[Form, ...]) -> Schema:
    found = [
        ref(form.__name__) if isinstance(form, type) else for_generators(form) for form in forms
    ]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _forms(body: Body) -> tuple[Form, ...]:
    return body if isinstance(body, tuple) else (body,)


# errors and security


_STATUSES = sorted({kind.status for code, kind in BY_CODE.items() if code not in NEVER_SENT})


def _error(status: int, *, page: bool = False) -> dict[str, Any]:
    """Return the response for a status; errors of pages are pages, but for those of limits."""
    kinds = [k for code, k in BY_CODE.items() if k.status == status and code not in NEVER_SENT]
    # Docstrings mark code the way of reStructuredText, descriptions that of Markdown.
    lines = [f"`{k.code}`: {(k.__doc__ or '').splitlines()[0]}".replace("``", "`") for k in kinds]
    headers = ("Retry-After",) if status == 503 else ()
    content: Content = {JSON: ErrorResponse} | (HTML if page else {})
    return _response("\n".join(lines), content, *headers)


def _errors(statuses: Iterable[int], *, page: bool = False) -> dict[str, Any]:
    kind = "PageError" if page else "Error"
    return {
        str(status): {"$ref": f"#/components/responses/{kind}{status}"}
        for status in sorted(statuses)
    }


def _security(method: str) -> dict[str, Any]:
    # A browser's cookie alone must not change anything: other methods also need the XSRF header.
    if method == "GET":
        return {}
    return {"security": [{"token": []}, {"bearer": []}, {"cookie": [], "xsrf": []}]}


# one service


def _call(spec: ServiceSpec, way: str) -> dict[str, Any]:
    view = way == "view"
    output = ref("View") if view else ref(f"{naming.slug(spec.name)}.Output")
    answers: Content = {VIEW if view else JSON: output}
    if not view:
        answers |= {media: BYTES for media in spec.produces if media != JSON}
    answers["text/event-stream"] = {"type": "string", "description": EVENTS}
    sentence = "The result in parts for display." if view else "The result."
    if spec.stream:
        sentence = "The results: one `item` event each, or one list as JSON."
        if not view:
            answers[JSON] = {"type": "array", "items": output}
        answers["application/jsonl"] = {"type": "string", "description": "One result per line."}
    return {
        "operationId": f"{way}_{naming.slug(spec.name)}",
        "tags": [spec.name],
        "summary": f"{spec.title}, for display" if view else spec.title,
        "description": spec.description,
        "parameters": list(STREAM if spec.stream else CALL),
        "requestBody": {"required": bool(spec.input.get("required")), "content": _bodies(spec)},
        "responses": {
            "200": _response(sentence, answers, *ANSWER_HEADERS),
        }
        | _errors({*CALLING, *ANYWHERE}),
    } | _security("POST")


def _bodies(spec: ServiceSpec) -> dict[str, Any]:
    plain: dict[str, Any] = {"schema": ref(f"{naming.slug(spec.name)}.Input")}
    if spec.examples:
        plain["examples"] = {
            f"example{number}": {"value": value} for number, value in enumerate(spec.examples, 1)
        }
    bodies = {JSON: plain, "multipart/form-data": _form(spec)}
    for media in spec.accepts:
        bodies.setdefault(media, {"schema": BYTES})
    return bodies


def _form(spec: ServiceSpec) -> dict[str, Any]:
    """Describe the input as multipart: files as they are, all else as text or JSON."""
    form = rewriter(f"{naming.slug(spec.name)}.Input")(spec.input)
    form.pop("$defs", None)
    encoding: dict[str, Any] = {}
    for name, field in form.get("properties", {}).items():
        hints = field.get("x-easymlnb") or {}
        if hints.get("widget") in FILES:
            kept = {key: field[key] for key in ("title", "description") if key in field}
            form["properties"][name] = BYTES | kept
            types = [media for media in hints.get("accept", ()) if "/" in media]
            encoding[name] = {"contentType": ", ".join(types) or "application/octet-stream"}
    return {"schema": form} | ({"encoding": encoding} if encoding else {})
