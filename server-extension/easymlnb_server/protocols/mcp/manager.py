"""What the adapter keeps between requests: tools by name, running requests, stored results."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from easymlnb.contract.errors import NotLoggedIn, ServiceNotFound
from easymlnb_server.identity.access import Action, Caller
from easymlnb_server.identity.grants import Scope
from easymlnb_server.protocols.mcp.models import Id, Revision, ToolSelection
from easymlnb_server.protocols.mcp.results import StoredResults
from easymlnb_server.protocols.mcp.tools import (
    BEGIN_UPLOAD,
    JOB_CANCEL,
    JOB_STATUS,
    START,
    Definition,
    Tool,
    for_revision,
)
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.uploads.spool import Spool

MAX_TOOLS = 10_000
"""Services whose tools are kept; they can be made again."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who sends a request.

    - ``owner``: the key of the peer's calls, uploads and stored results
    - ``session``: the id that was given to a client at its ``initialize``; empty without one
    """

    caller: Caller | None
    owner: str
    session: str = ""

    def may(self, scope: Scope) -> bool:
        """Return whether the peer has a right; only API keys may lack one."""
        key = self.caller.key if self.caller is not None else None
        return key is None or scope in key.scopes

    @property
    def may_run_jobs(self) -> bool:
        """Whether the peer may submit jobs and find them again."""
        return self.caller is not None and self.may(Scope.JOBS)

    @property
    def may_upload(self) -> bool:
        """Whether the peer may send files before a call; visitors have no uploads."""
        return self.caller is not None and self.may(Scope.CALL)


class RunningRequests:
    """The requests that a later message may cancel, by owner, session and id.

    Without a session an id says nothing: two clients of one user may both have a request 3.
    """

    def __init__(self) -> None:
        self._all: dict[tuple[str, str, Id], Callable[[], None]] = {}

    def add(self, peer: Peer, id: Id, stop: Callable[[], None]) -> None:
        if peer.session:
            self._all[peer.owner, peer.session, id] = stop

    def discard(self, peer: Peer, id: Id) -> None:
        self._all.pop((peer.owner, peer.session, id), None)

    def cancel(self, peer: Peer, id: Id) -> None:
        """Stop a request, if it still runs."""
        stop = self._all.pop((peer.owner, peer.session, id), None)
        if stop is not None:
            stop()

    def __len__(self) -> int:
        return len(self._all)


class McpServer:
    """The part of the adapter that outlives its requests."""

    def __init__(self, services: ServiceRegistry, spool: Spool) -> None:
        self.results = StoredResults(spool)
        self.running = RunningRequests()
        self._services = services
        self._tools: dict[str, Tool] = {}
        self._services_of: dict[str, str] = {}

    def tools(self, peer: Peer, choice: ToolSelection) -> list[Tool]:
        """Return the tools of the services that a peer may call, sorted by name."""
        if choice.service:
            return [self._tool(choice.service, peer)]
        tools = [self._tool(name, peer) for name in self._services.names(peer.caller)]
        chosen = [tool for tool in tools if not choice.only or tool.name in choice.only]
        return sorted(chosen, key=lambda tool: tool.name)

    def definitions(
        self, peer: Peer, choice: ToolSelection, revision: Revision
    ) -> list[Definition]:
        """Return what ``tools/list`` answers: services, then what starts and follows jobs."""
        tools = self.tools(peer, choice)
        services = {tool.name for tool in tools}
        found = [tool.definition(revision) for tool in tools]
        helpers: list[Definition] = []
        starting = [tool for tool in tools if self.runs_as_job(tool, peer)]
        helpers += [tool.start_definition() for tool in starting]
        helpers += [JOB_CANCEL, JOB_STATUS] if starting else []
        if any(tool.takes_files for tool in tools) and peer.may_upload:
            helpers.append(BEGIN_UPLOAD)
        found += [for_revision(one, revision) for one in helpers if one["name"] not in services]
        return found

    def find(self, name: str, peer: Peer, choice: ToolSelection) -> Tool | None:
        """Return the tool with this name, or ``None``; raises ``NotReady``."""
        for service in self._candidates(name, peer, choice):
            try:
                tool = self._tool(service, peer)
            except (ServiceNotFound, NotLoggedIn):
                continue
            if tool.name == name:
                return tool
        return None

    def find_start(self, name: str, peer: Peer, choice: ToolSelection) -> Tool | None:
        """Return the tool that ``name`` starts as a job, or ``None``."""
        if not name.endswith(START):
            return None
        tool = self.find(name.removesuffix(START), peer, choice)
        return tool if tool is not None and self.runs_as_job(tool, peer) else None

    def runs_as_job(self, tool: Tool, peer: Peer) -> bool:
        """Return whether a peer can start a job of a service, which must be published."""
        published = self._services.is_published(tool.spec.name)
        return tool.runs_as_job and published and peer.may_run_jobs

    def _candidates(self, name: str, peer: Peer, choice: ToolSelection) -> Iterator[str]:
        """Yield the services whose tool may have this name, the most likely one first."""
        if choice.only and name not in choice.only:
            return
        if choice.service:
            yield choice.service
            return
        if (known := self._services_of.get(name)) is not None:
            yield known
        yield from self._services.names(peer.caller)

    def _tool(self, service: str, peer: Peer) -> Tool:
        spec = self._services.resolve(service, peer.caller, Action.CALL).spec
        tool = self._tools.get(service)
        if tool is None or tool.spec is not spec:
            if len(self._tools) >= MAX_TOOLS:
                self._tools.clear()
                self._services_of.clear()
            tool = self._tools[service] = Tool.of(spec)
            self._services_of[tool.name] = service
        return tool
