"""The clients' operations without I/O: generators that yield requests and receive responses.

The sync and the async client run the same operations, so every rule exists once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.message import Message
from typing import Any

import msgspec

from easymlnb.client import decoding, uploads
from easymlnb.client.encoding import encode_arguments
from easymlnb.client.messages import Operation, Request, Response, call_body, raise_for_error
from easymlnb.client.signatures import parameters
from easymlnb.client.sse import OnProgress
from easymlnb.contract import names
from easymlnb.contract.errors import InvalidInput, ServerUnreachable, ServiceNotFound
from easymlnb.contract.jsonschema import Schema
from easymlnb.contract.options import named_options
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.units import parse_duration

EVENT_STREAM = "text/event-stream"

SPEC_SECONDS = 30.0
"""How long a service's spec is cached; an author may change a live service at any time."""
EXTRA_SECONDS = 15.0
"""How long to wait for a response beyond the service's own timeout, for queue and network."""
POLL = 20.0
"""Seconds that one request waits for the end of a job."""


@named_options
@dataclass(frozen=True, slots=True)
class CallOptions:
    """How a call is made.

    ``timeout``: seconds the call may take, or a text such as ``"2m"`` (default and maximum: the
    service's own timeout). Raises ``ValueError`` for anything else.
    ``progress``: a function that receives ``(fraction, text)`` during the call.
    ``accept``: the media type of the result.
    ``live``: call the author's kernel although a version is published.
    ``priority``: ``"batch"`` lets interactive calls go first.
    ``idempotency_key``: the same call under the same key runs once, so it can be repeated.
    ``lane``, ``attempts``: of ``submit``, the kernels that run the job, and how often its function
    may raise before the job fails. Its ``timeout`` is that of one attempt.
    ``version``: the number or alias of the published version that must answer.
    ``webhook``: of ``submit``, a URL that is called, or ``"mailto:..."``, when the job ends;
    ``webhook_events`` are its events, by default all ends, and ``webhook_secret`` signs, by default
    a new one (``Job.webhook_secret``).
    """

    timeout: float | None = None
    progress: OnProgress | None = None
    accept: str = ""
    live: bool = False
    priority: str = ""
    idempotency_key: str = ""
    lane: str = ""
    attempts: int = 1
    version: int | str = ""
    webhook: str = ""
    webhook_events: Sequence[str] = ()
    webhook_secret: str = ""

    def __post_init__(self) -> None:
        if self.timeout is not None:
            object.__setattr__(self, "timeout", parse_duration(self.timeout))


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A response as it arrived."""

    body: bytes
    content_type: str
    filename: str = ""
    version: str = ""
    request_id: str = ""


class SpecCache:
    """The specs that this client has fetched, each for ``SPEC_SECONDS``.

    On a ``shared`` service a short name is one of the caller's own; ``me`` is the caller's name.
    """

    def __init__(self, clock: Callable[[], float], shared: bool = False) -> None:
        self._clock = clock
        self._cached: dict[str, tuple[float, ServiceSpec]] = {}
        self.shared = shared
        self.me = ""

    def get(self, name: str) -> ServiceSpec | None:
        """Return a spec that has not expired."""
        since, spec = self._cached.get(name, (0.0, None))
        return spec if spec is not None and self._clock() - since < SPEC_SECONDS else None

    def add(self, name: str, spec: ServiceSpec) -> ServiceSpec:
        """Cache the spec that was found under a name, and return it."""
        self._cached[name] = self._cached[spec.name] = (self._clock(), spec)
        return spec

    def drop(self, name: str) -> None:
        """Drop a spec under all names that it was found by."""
        self._cached = {
            key: cached for key, cached in self._cached.items() if name not in (key, cached[1].name)
        }


# reading


def get(path: str, key: str = "") -> Operation[Any]:
    """Get a JSON document, or the value under ``key`` of it."""
    document = raise_for_error((yield Request("GET", path))).json()
    return document[key] if key else document


def get_listed(path: str, params: Mapping[str, Any], key: str) -> Operation[list[dict[str, Any]]]:
    """Get the list under ``key`` of a JSON document; empty parameters are left out."""
    given = {name: value for name, value in params.items() if value}
    return list(raise_for_error((yield Request("GET", path, params=given))).json()[key])


def services(query: Mapping[str, Any]) -> Operation[list[dict[str, Any]]]:
    """Get all pages of the list of services; empty parameters are left out."""
    found: list[dict[str, Any]] = []
    given = {name: value for name, value in query.items() if value}
    params: dict[str, Any] = dict(given)
    while True:
        page = raise_for_error((yield Request("GET", "services", params=params))).json()
        found += page["services"]
        if not page.get("next") or page["next"] == params.get("after"):
            return found
        params = {**given, "after": page["next"]}


def service_path(name: str, *more: str) -> str:
    """Return the path of a service's route; raises ``ServiceNotFound`` for an invalid name."""
    return "/".join(["services", names.url_path(name), *more])


def full_name(specs: SpecCache, name: str) -> Operation[str]:
    """Return a name with its owner on a shared service; a short name is the caller's own."""
    owner, short_name = names.split(name)
    if owner or not specs.shared:
        return name
    if not specs.me:
        me = yield from get("me")
        specs.shared, specs.me = bool(me["shared"]), str(me["name"])
    return f"{specs.me}/{short_name}" if specs.shared else name


def get_of_service(specs: SpecCache, name: str, *more: str, key: str = "") -> Operation[Any]:
    """Get a JSON document about a service, or the value under ``key`` of it."""
    full = yield from full_name(specs, name)
    return (yield from get(service_path(full, *more), key))


def spec(specs: SpecCache, name: str) -> Operation[ServiceSpec]:
    """Get a service's spec, cached or from the server."""
    cached = specs.get(name)
    if cached is not None:
        return cached
    document = yield from get_of_service(specs, name)
    try:
        return specs.add(name, ServiceSpec.from_dict({**document, "name": listed_name(document)}))
    except msgspec.ValidationError as error:
        raise ServerUnreachable(
            "The server's description of this service has an unknown format. Install the same "
            "version of easymlnb on both sides."
        ) from error


def listed_name(service: Mapping[str, Any]) -> str:
    """Return the name under which a described service is called."""
    return str(service.get("full_name") or service["name"])


# calling


def bind_arguments(
    spec: ServiceSpec, given: tuple[Any, ...], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all arguments by name; raises ``TypeError`` like the function itself."""
    known = parameters(spec)
    if len(given) > len(known):
        raise TypeError(f"{spec.name}() takes {len(known)} values but {len(given)} were given")
    positional = dict(zip(known, given, strict=False))
    twice = sorted(set(positional) & set(values))
    if twice:
        raise TypeError(f"{spec.name}() got more than one value for {twice[0]!r}")
    return {**positional, **values}


def call_request(
    spec: ServiceSpec,
    values: Mapping[str, Any],
    options: CallOptions,
    uploaded: Mapping[str, dict[str, str]] | None = None,
) -> Request:
    """Return the request of one call; raises ``TypeError`` naming a value that cannot be sent."""
    body = call_body(encode_arguments({**values, **(uploaded or {})}, spec.input))
    wanted = options.accept or decoding.accept(spec.output, spec.produces)
    if spec.stream or options.progress is not None:
        wanted = EVENT_STREAM
    headers = body.pop("headers", {}) | ({"Accept": wanted} if wanted else {})
    if uploaded:
        headers[uploads.HEADER] = ",".join(file["upload"] for file in uploaded.values())
    if options.priority:
        headers["X-Priority"] = options.priority
    if options.idempotency_key:
        headers["Idempotency-Key"] = options.idempotency_key
    seconds = spec.timeout
    if options.version:
        headers["X-Easymlnb-Version"] = str(options.version)
    if options.timeout is not None:
        seconds = options.timeout
        headers["X-Timeout"] = f"{seconds:g}"
    route = ("live", "call") if options.live else ("call",)
    return Request(
        "POST", service_path(spec.name, *route), seconds + EXTRA_SECONDS, headers, **body
    )


def call(specs: SpecCache, spec: ServiceSpec, request: Request) -> Operation[Any]:
    """Make a call whose response is one body."""
    raw = yield from fetch(specs, spec, request)
    return decoding.decode(raw.content_type, raw.body, spec.output, raw.filename)


def fetch(specs: SpecCache, spec: ServiceSpec, request: Request) -> Operation[RawResponse]:
    """Make a call and return its response as it arrived; wait if the call became a job."""
    response = yield request
    if response.status == 202:
        response = yield from _result_of_job(response.json())
    try:
        raise_for_error(response)
    except (InvalidInput, ServiceNotFound):
        specs.drop(spec.name)  # the author may have changed it
        raise
    return RawResponse(
        response.body,
        response.content_type,
        filename(response.headers.get("content-disposition", "")),
        response.headers.get("x-easymlnb-version", ""),
        response.headers.get("x-request-id", ""),
    )


def decode_result(response: Response, output: Schema) -> Any:
    """Return the value in a response with a result."""
    name = filename(response.headers.get("content-disposition", ""))
    return decoding.decode(response.content_type, response.body, output, name)


def _result_of_job(job: Mapping[str, Any]) -> Operation[Response]:
    """Wait for the end of a job, and return the response with its result."""
    path = f"jobs/{job['id']}"
    while job["state"] in ("queued", "running"):
        request = Request("GET", path, POLL + EXTRA_SECONDS, params={"wait": f"{POLL:g}"})
        job = raise_for_error((yield request)).json()
    return (yield Request("GET", f"{path}/result", 300.0))


def as_raw(options: CallOptions) -> CallOptions:
    """Return the options for a raw response: any media type unless one is set."""
    return replace(options, accept=options.accept or "*/*")


def raw_json(value: Any) -> RawResponse:
    """Return a result that came as an event, which is always JSON."""
    return RawResponse(json.dumps(value, ensure_ascii=False).encode(), "application/json")


def filename(disposition: str) -> str:
    """Return the file name in a ``Content-Disposition``, or ``""``."""
    if not disposition:
        return ""
    message = Message()
    message["Content-Disposition"] = disposition
    return message.get_filename("") or ""
