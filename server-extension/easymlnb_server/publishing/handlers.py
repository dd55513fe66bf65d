"""List and publish services; report the state of bundles."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from tornado import web

from easymlnb.contract.archive import MAX_ZIP
from easymlnb.contract.errors import (
    BadRequest,
    BundleNotFound,
    Forbidden,
    NotShared,
    UnsupportedMediaType,
)
from easymlnb.contract.quality import QualityReport, check_severities
from easymlnb.contract.replacing import AUTO, CHOICES, check
from easymlnb.contract.spec import NAME
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.identity.access import PRIVATE, Action, is_allowed, transfer_advice
from easymlnb_server.identity.grants import Scope
from easymlnb_server.identity.names import GROUP, group_of, qualified_name, short_name
from easymlnb_server.openapi.document import (
    BYTES,
    JSON,
    TEXT,
    Operation,
    done,
    list_of,
    ok,
    query_parameter,
)
from easymlnb_server.services.catalog import entries, search
from easymlnb_server.services.catalog_handlers import LISTING, query, query_string
from easymlnb_server.services.responses import FullName, Public, ServiceList, timestamp
from easymlnb_server.store.records import BundleState, StoredBundle, Version
from easymlnb_server.traffic.compatibility import differences
from easymlnb_server.traffic.handlers import FORCE
from easymlnb_server.traffic.rules import rollback_target

ZIP = "application/zip"
TRUE = ("true", "1")


BundleStatus = Literal["starting", "ready", "failed"]


class BundleService(msgspec.Struct, frozen=True, kw_only=True):
    """A service of a bundle."""

    name: str
    full_name: FullName
    version: int
    public: Public
    weight: Annotated[float, Meta(description="Percentage of the calls that it answers.")]
    breaks: Annotated[
        list[str] | UnsetType,
        Meta(
            description="How it breaks callers of the version that answers now, or that answered "
            "before if it has traffic."
        ),
    ] = UNSET


class BundleSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A published bundle, its state and its services."""

    bundle: str
    state: BundleStatus
    created: str
    files: list[str]
    requirements: list[str]
    environment: dict[str, Any]
    unchanged: Annotated[
        bool | UnsetType, Meta(description="Whether this content was published before.")
    ] = UNSET
    error: Annotated[
        dict[str, Any] | UnsetType,
        Meta(description="Why it failed: code, message, and the cell with its traceback."),
    ] = UNSET
    notebook: Annotated[str | UnsetType, Meta(description="The URL of the executed notebook.")] = (
        UNSET
    )
    reason: Annotated[
        str | UnsetType, Meta(description="What the start of its worker waits for.")
    ] = UNSET
    quality: Annotated[
        QualityReport | UnsetType, Meta(description="What the quality gate found, if it ran.")
    ] = UNSET
    services: list[BundleService]


class ServicesHandler(BodyHandler):
    """``GET services`` lists them; ``POST services`` publishes the bundle that is its body."""

    actions: ClassVar[dict[str, str]] = {"POST": "write"}
    key_scopes: ClassVar = {"GET": (Scope.READ,)}

    def body_limit(self) -> int:
        sent = self.request.headers.get("Content-Type", "")
        if sent.partition(";")[0].strip() != ZIP:
            raise UnsupportedMediaType(sent, (ZIP,))
        return MAX_ZIP

    @web.authenticated
    def get(self) -> None:
        asked = query(self)
        found = search(entries(self.state.services, self.state.call_log.last, self.caller), asked)
        more = None if found.next is None else f"services?{query_string(asked, found.next)}"
        self.write_json(ServiceList(services=found.entries, total=found.total, next=more))

    @web.authenticated
    async def post(self) -> None:
        names = tuple(self.get_query_arguments("name"))
        for name in names:
            if not NAME.match(name):
                raise BadRequest(f"Invalid service name {name[:80]!r}.")
        # Whose it is comes from who is logged in, never from what a request says.
        assert self.caller is not None
        if not self.caller.owns(self.caller.name):
            raise Forbidden(
                f"The services of {self.caller.name!r} belong to a former user of the Hub with "
                f"the same name. {transfer_advice(self.caller.name)}"
            )
        owner = self._owner(self.get_query_argument("owner", ""), names)
        replace = check(self.get_query_argument("replace", AUTO))
        publish = self.state.publisher.publish
        stage, force = (self.get_query_argument(key, "") in TRUE for key in ("stage", "force"))
        stored = await publish(
            self.read_body(),
            names,
            owner,
            replace,
            publisher=self.caller.name,
            stage=stage,
            force=force,
            gate=self._gate(),
        )
        about = {"bundle": stored.id, "replace": replace}
        # Which services a notebook has may be known only after it ran.
        for name in stored.names or stored.manifest.get("defines") or (stored.id,):
            shared = self.state.services.shared and "/" not in name and name != stored.id
            full = qualified_name(stored.owner, name) if shared else name
            await self.record("service.publish", full, owner=stored.owner, details=about)
        self.set_header("Location", f"{self.base_url}easymlnb/bundles/{stored.id}")
        ready = stored.state is BundleState.READY
        self.write_json(await describe(self, stored, unchanged=ready), 200 if ready else 202)

    def _gate(self) -> dict[str, str] | None:
        """Return the author's severities if the request asks for the quality gate."""
        given = self.get_query_arguments("severity")
        if self.get_query_argument("gate", "") not in TRUE:
            return None
        pairs = (text.rpartition("=") for text in given)
        try:
            return check_severities({rule: level for rule, _, level in pairs}, "severity")
        except ValueError as error:
            raise BadRequest(str(error)) from error

    def _owner(self, wanted: str, names: tuple[str, ...]) -> str:
        """Return for whom the caller publishes: themselves, a group, or a user who allows it."""
        caller, services = self.caller, self.state.services
        assert caller is not None
        if group_of(caller.name) is not None:
            raise Forbidden(f"Users whose names begin with {GROUP!r} cannot publish.")
        if wanted in ("", caller.name):
            return caller.name
        if not services.shared:
            raise NotShared
        group = group_of(wanted) or wanted
        if group in caller.groups:
            return GROUP + group
        full = [qualified_name(wanted, name) for name in names]
        if full and all(
            services.allows(caller, name, Action.MANAGE)
            and self.state.published.services[name].owner == wanted
            for name in full
        ):
            return wanted
        raise Forbidden(
            f"You cannot publish for {wanted!r}: you are not a member of a group of this name, and "
            "not a maintainer of these services. A maintainer names the services: name=segment."
        )


class _BundleHandler(EasyHandler):
    """Base: finds a bundle that is the caller's to manage."""

    async def find(self, id: str) -> StoredBundle:
        """Return a bundle; raises ``BundleNotFound``, for that of somebody else too."""
        stored = await self.state.publisher.bundle(id)
        services, caller = self.state.services, self.caller
        if not services.shared or is_allowed(caller, stored.owner, PRIVATE, Action.MANAGE):
            return stored
        # Its maintainers too: those of all its services, or the one who is publishing them.
        concerned = {*stored.names, *stored.provides}
        if concerned and all(services.allows(caller, name, Action.MANAGE) for name in concerned):
            return stored
        raise BundleNotFound(id)


class BundleHandler(_BundleHandler):
    """``GET bundles/{id}``, and ``DELETE``, which cancels publishing."""

    @web.authenticated
    async def get(self, bundle: str) -> None:
        self.write_json(await describe(self, await self.find(bundle)))

    @web.authenticated
    async def delete(self, bundle: str) -> None:
        stored = await self.find(bundle)
        await self.state.publisher.call_off(bundle)
        about = {"services": list(stored.names)}
        await self.record("service.cancel", bundle, owner=stored.owner, details=about)
        self.set_status(204)
        self.finish()


class BundleNotebookHandler(_BundleHandler):
    """``GET bundles/{id}/notebook``: the executed notebook, the log of the deployment."""

    audited_reads = True

    @web.authenticated
    async def get(self, bundle: str) -> None:
        stored = await self.find(bundle)
        if stored.log is None:
            raise BundleNotFound(bundle, "executed notebook of the bundle")
        data = await self.state.publisher.log_of(stored)
        self.set_header("Content-Type", "application/x-ipynb+json")
        name = f"executed-{stored.id[:10]}.ipynb"
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(data)


async def describe(
    handler: EasyHandler, stored: StoredBundle, unchanged: bool = False
) -> BundleSummary:
    """Return a bundle for a response: its state, its services, why it failed."""
    publications, services = handler.state.publisher, handler.state.services
    failed = stored.error is not None and stored.state is BundleState.FAILED
    return BundleSummary(
        bundle=stored.id,
        state=stored.state.value,
        created=timestamp(stored.created),
        files=sorted(stored.manifest["files"]),
        requirements=list(stored.manifest["requirements"]),
        environment=stored.manifest["environment"],
        unchanged=unchanged or UNSET,
        error=(stored.error or UNSET) if failed else UNSET,
        notebook=f"bundles/{stored.id}/notebook" if stored.log is not None else UNSET,
        reason=publications.waits_for(stored.id) or UNSET,
        quality=await publications.gate.report(stored.id) or UNSET,
        services=[
            BundleService(
                name=short_name(one.service),
                full_name=one.service,
                version=one.number,
                public=services.public(one.service),
                weight=one.weight,
                breaks=await _breaks(handler, one) or UNSET,
            )
            for one in await publications.provided(stored.id)
        ],
    )


async def _breaks(handler: EasyHandler, version: Version) -> list[str]:
    """Return how a version breaks callers of the one that answers, or of the one before it."""
    service = handler.state.published.get(version.service)
    if service is None:
        return []
    if not version.weight:
        return differences(service.current.spec, version.spec)
    before = rollback_target(service.traffic.traffic, service.numbers)
    for other in await handler.state.publisher.versions(version.service):
        if other.number == before:
            return differences(other.spec, version.spec)
    return []


_NAMES = query_parameter(
    "name",
    "Publish only this service of the notebook; may be repeated.",
    list_of(TEXT),
    explode=True,
)
_OWNER = query_parameter(
    "owner",
    "On a shared service: a group of yours, or a user whose services you maintain; default: you.",
    TEXT,
)
_REPLACE = query_parameter(
    "replace",
    "What becomes of the former version while this one starts: `auto` ends its workers only where "
    "they occupy the only space there is, `in_place` in any case; `wait` waits for other space. If "
    "this one fails, the former one starts again.",
    {**TEXT, "enum": list(CHOICES), "default": AUTO},
)

_STAGE = query_parameter(
    "stage", "Give the new version no traffic.", {"type": "boolean", "default": False}
)

_GATE = query_parameter(
    "gate",
    "Pass the quality gate first; always, if the administrator requires it.",
    {"type": "boolean", "default": False},
)

_SEVERITY = query_parameter(
    "severity",
    "With `gate`: the severity of a check or rule, such as `ruff:F401=ignore`; may be repeated.",
    list_of(TEXT),
    explode=True,
)

OPERATIONS = {
    "GET /services": Operation(
        "listServices",
        "List the services",
        ok("All services that you may call.", ServiceList),
        query=LISTING,
    ),
    "POST /services": Operation(
        "publishBundle",
        "Publish a notebook",
        {
            200: ("This content is published already.", {JSON: BundleSummary}),
            202: ("Accepted; `Location` is where to ask for its state.", {JSON: BundleSummary}),
        },
        (415, 422, 503, 507),
        tag="Publish",
        body={ZIP: BYTES},
        query=(_NAMES, _OWNER, _REPLACE, _STAGE, FORCE, _GATE, _SEVERITY),
    ),
    "GET /bundles/{id}": Operation(
        "getBundle",
        "Get the state of a bundle",
        ok("The bundle, its state and its services.", BundleSummary),
        tag="Publish",
    ),
    "DELETE /bundles/{id}": Operation(
        "callOffBundle",
        "Cancel publishing",
        done("Its start is canceled."),
        (409, 503),
        tag="Publish",
    ),
    "GET /bundles/{id}/notebook": Operation(
        "getBundleNotebook",
        "Fetch the executed notebook, the deployment log",
        ok("A notebook with its outputs.", {"application/x-ipynb+json": {}}),
        tag="Publish",
    ),
}
