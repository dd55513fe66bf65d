"""The clients' operations without I/O: generators that yield requests and receive responses.

The sync and the async client drive the same flows, so no rule exists twice.
"""

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from email.message import Message
from typing import Any, TypeVar

import msgspec

from easymlnb.client import decoding
from easymlnb.client.encoding import prepare
from easymlnb.client.messages import Request, Response, call_body, checked
from easymlnb.client.signatures import parameters
from easymlnb.client.sse import OnProgress
from easymlnb.contract import names
from easymlnb.contract.errors import InvalidInput, NotShared, ServerUnreachable, ServiceNotFound
from easymlnb.contract.options import named_options
from easymlnb.contract.spec import ServiceSpec

T = TypeVar("T")
Operation = Generator[Request, Response, T]
EVENT_STREAM = "text/event-stream"

SPEC_SECONDS = 30.0
"""How long a service's spec is trusted; an author may change a live service at any time."""
PATIENCE = 15.0
"""Seconds to wait for an answer beyond the service's own deadline, for queue and network."""


@named_options
@dataclass(frozen=True, slots=True)
class CallOptions:
    """How a call is made.

    ``timeout``: seconds the call may take (default and most: the service's own deadline).
    ``progress``: told ``(fraction, text)`` on the way. ``accept``: the media type wanted.
    ``live``: ask the author's kernel although a version is published.
    ``priority``: ``"batch"`` lets interactive calls go first.
    ``idempotency_key``: the same call under the same key runs once, so it can be repeated.
    """

    timeout: float | None = None
    progress: OnProgress | None = None
    accept: str = ""
    live: bool = False
    priority: str = ""
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class RawResponse:
    """An answer as it came: for saving it, or for looking at its headers."""

    body: bytes
    content_type: str
    filename: str = ""
    version: str = ""
    request_id: str = ""


class SpecCache:
    """The specs this client has seen, each for ``SPEC_SECONDS``; ``clock`` gives seconds.

    On a ``shared`` service a plain name is one of the caller's own: ``me`` is whose.
    """

    def __init__(self, clock: Callable[[], float], shared: bool = False) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, ServiceSpec]] = {}
        self.shared = shared
        self.me = ""

    def known(self, name: str) -> ServiceSpec | None:
        """Return a spec that is still fresh."""
        since, spec = self._kept.get(name, (0.0, None))
        return spec if spec is not None and self._clock() - since < SPEC_SECONDS else None

    def keep(self, name: str, spec: ServiceSpec) -> ServiceSpec:
        """Keep the spec that was found under a name."""
        self._kept[name] = self._kept[spec.name] = (self._clock(), spec)
        return spec

    def drop(self, name: str) -> None:
        """Forget a spec under all names that it was found by."""
        self._kept = {
            key: kept for key, kept in self._kept.items() if name not in (key, kept[1].name)
        }


# reading and removing


def get(path: str, key: str = "") -> Operation[Any]:
    """Get one JSON document, or the value under ``key`` of it."""
    answer = checked((yield Request("GET", path)))
    found = answer.json()
    return found[key] if key else found


def services() -> Operation[list[dict[str, Any]]]:
    """Get all pages of the list of services."""
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {}
    while True:
        page = checked((yield Request("GET", "services", params=params))).json()
        found += page["services"]
        if not page.get("next") or page["next"] == params.get("after"):
            return found
        params = {"after": page["next"]}


def health() -> Operation[dict[str, Any]]:
    """Ask whether the server takes calls: ``{"status": "ok"}``, or what is not ready."""
    answer = yield Request("GET", "health/ready")
    if answer.status == 503 and answer.content_type.startswith("application/json"):
        found = answer.json()
        if isinstance(found, dict) and "status" in found:
            return found
    return dict(checked(answer).json())


def service_path(name: str, *more: str) -> str:
    """Return the path of a service's route; raises ``ServiceNotFound`` for what is no name."""
    return "/".join(["services", names.url_path(name), *more])


def full_name(specs: SpecCache, name: str) -> Operation[str]:
    """Return a name as the server knows it: of the caller's own services when it says no owner."""
    owner, plain = names.split(name)
    if owner or not specs.shared:
        return name
    if not specs.me:
        found = yield from get("me")
        specs.shared, specs.me = bool(found["shared"]), str(found["name"])
    return f"{specs.me}/{plain}" if specs.shared else name


def of_service(specs: SpecCache, name: str, *more: str, key: str = "") -> Operation[Any]:
    """Get a JSON document about a service, or the value under ``key`` of it."""
    full = yield from full_name(specs, name)
    return (yield from get(service_path(full, *more), key))


def spec(specs: SpecCache, name: str) -> Operation[ServiceSpec]:
    """Get a service's spec, from memory while it is fresh."""
    known = specs.known(name)
    if known is not None:
        return known
    found = yield from of_service(specs, name)
    try:
        # Under which name to call it, the service itself says.
        whole = found.get("full_name", found["name"])
        return specs.keep(name, ServiceSpec.from_dict({**found, "name": whole}))
    except msgspec.ValidationError as error:
        raise ServerUnreachable(
            "The server's description of this service has an unknown format. Install the same "
            "version of easymlnb on both sides."
        ) from error


def remove(specs: SpecCache, name: str) -> Operation[None]:
    """Remove a published service."""
    full = yield from full_name(specs, name)
    specs.drop(full)
    checked((yield Request("DELETE", service_path(full))))


def access(
    specs: SpecCache, name: str, wanted: Mapping[str, Any] | None = None
) -> Operation[dict[str, Any]]:
    """Say who may call a service, after setting that to ``wanted`` if it is given."""
    path = service_path((yield from full_name(specs, name)), "access")
    if not specs.shared:
        raise NotShared
    if wanted is None:
        return dict((yield from get(path)))
    body = json.dumps(dict(wanted)).encode()
    headers = {"Content-Type": "application/json"}
    return dict(checked((yield Request("PUT", path, headers=headers, content=body))).json())


def listed_name(line: Mapping[str, Any]) -> str:
    """Return the name under which a line of the list of services is called."""
    return str(line.get("full_name") or line["name"])


# calling


def named(spec: ServiceSpec, given: tuple[Any, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments by name; raises ``TypeError`` like the function itself."""
    known = parameters(spec)
    if len(given) > len(known):
        raise TypeError(f"{spec.name}() takes {len(known)} values but {len(given)} were given")
    found = dict(zip(known, given, strict=False))
    twice = sorted(set(found) & set(values))
    if twice:
        raise TypeError(f"{spec.name}() got more than one value for {twice[0]!r}")
    return {**found, **values}


def call_request(spec: ServiceSpec, values: Mapping[str, Any], options: CallOptions) -> Request:
    """Return the request of one call; raises ``TypeError`` naming a value that cannot be sent."""
    body = call_body(prepare(values, spec.input))
    wanted = options.accept or decoding.accept(spec.output, spec.produces)
    if spec.stream or options.progress is not None:
        wanted = EVENT_STREAM
    headers = body.pop("headers", {}) | ({"Accept": wanted} if wanted else {})
    if options.priority:
        headers["X-Priority"] = options.priority
    if options.idempotency_key:
        headers["Idempotency-Key"] = options.idempotency_key
    seconds = spec.timeout
    if options.timeout is not None:
        seconds = options.timeout
        headers["X-Timeout"] = f"{seconds:g}"
    way = ("live", "call") if options.live else ("call",)
    return Request("POST", service_path(spec.name, *way), seconds + PATIENCE, headers, **body)


def call(specs: SpecCache, name: str, request: Request, output: ServiceSpec) -> Operation[Any]:
    """Make a call whose answer is one body."""
    raw = yield from fetch(specs, name, request)
    return decoding.decode(raw.content_type, raw.body, output.output, raw.filename)


def fetch(specs: SpecCache, name: str, request: Request) -> Operation[RawResponse]:
    """Make a call and return its answer as it came."""
    answer = yield request
    try:
        checked(answer)
    except (InvalidInput, ServiceNotFound):
        specs.drop(name)  # perhaps the author changed it since it was described
        raise
    return RawResponse(
        answer.body,
        answer.content_type,
        _filename(answer.headers.get("content-disposition", "")),
        answer.headers.get("x-easymlnb-version", ""),
        answer.headers.get("x-request-id", ""),
    )


def as_raw(options: CallOptions) -> CallOptions:
    """Return the options for an answer as it comes: JSON unless told otherwise."""
    return replace(options, accept=options.accept or "*/*")


def raw_json(value: Any) -> RawResponse:
    """Return a result that came as an event, which is always JSON."""
    return RawResponse(json.dumps(value, ensure_ascii=False).encode(), "application/json")


def _filename(disposition: str) -> str:
    if not disposition:
        return ""
    message = Message()
    message["Content-Disposition"] = disposition
    return message.get_filename("") or ""
