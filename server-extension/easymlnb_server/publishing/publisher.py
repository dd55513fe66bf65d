"""Publishing: from a bundle that came in to versions that serve, and back after a restart.

The order makes it safe to be killed anywhere: the zip is on disk before the row, the row before
the answer, and a version exists only once a worker has passed its health check.
"""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

import nbformat

from easymlnb.contract.bundle import Bundle, open_bundle
from easymlnb.contract.errors import EasyMLNBError, InternalError, NotReady, ServiceNotFound
from easymlnb.contract.replacing import AUTO
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity import names as naming
from easymlnb_server.identity.access import Access
from easymlnb_server.placement.base import OrphanedWorker
from easymlnb_server.publishing.deployments import DeploymentSet
from easymlnb_server.publishing.gate import GateSettings, QualityGate
from easymlnb_server.publishing.pending import PendingStarts
from easymlnb_server.publishing.replacement import Replacement, formers_of
from easymlnb_server.publishing.spec_validation import check_lock, describe_specs
from easymlnb_server.services.models import Deploy
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.store.lease import LeaseLost
from easymlnb_server.store.provenance import ACCEPTED, PUBLISHER
from easymlnb_server.store.records import Added, BundleState, ServiceRecord, StoredBundle, Version
from easymlnb_server.store.store import Store
from easymlnb_server.workers.accounts import WorkerAccounts
from easymlnb_server.workers.deployment import Deployment

REPLACE = "replace"
STAGE = "stage"
FORCE = "force"
GATE = "gate"
"""Keys in a stored manifest: the options of ``Publisher.publish``."""

STOPPING = NotReady("The server is stopping. Try again in a moment.")

T = TypeVar("T")

log = logging.getLogger("easymlnb.publications")


class Publisher:
    """Publishes bundles, and runs the deployments behind the published services.

    Parameters
    ----------
    published
        The table of published services, which only this class writes.
    deploy
        Makes the deployment of a bundle.
    shared
        Whether names start with their owners'.
    require_locked
        Whether only bundles with a locked environment are accepted.
    accounts
        As which users workers run.
    gate
        The administrator's settings of the quality gate.
    """

    def __init__(
        self,
        published: PublishedServices,
        deploy: Deploy,
        *,
        shared: bool = False,
        require_locked: bool = False,
        accounts: WorkerAccounts | None = None,
        gate: GateSettings | None = None,
    ) -> None:
        self.published = published
        self.gate = QualityGate(gate or GateSettings(), published.quality, lambda: self.store)
        self._store: Store | None = None
        self.deployments = DeploymentSet(published, deploy)
        self.routing = asyncio.Lock()  # held while a change of versions or traffic is made
        self._shared = shared
        self._require_locked = require_locked
        self.accounts = accounts or WorkerAccounts()
        self._starting = PendingStarts()
        self._replacements: dict[str, Replacement] = {}
        self._how: dict[str, str] = {}
        self.lock = asyncio.Lock()
        """Held while bundles, services or their owners change."""

    @property
    def store(self) -> Store:
        """The open store; raises why it is not open."""
        if self._store is None:
            self.published.check()
        assert self._store is not None
        return self._store

    async def restore(
        self,
        store: Store,
        survivors: Iterable[OrphanedWorker] = (),
        *guard: Callable[[], None],
    ) -> None:
        """Take up what was published before; returns before the workers are ready.

        ``survivors`` are workers of a former server; those that no longer serve anything are ended.
        ``guard`` raises ``NotReady`` while another server process may serve.
        """
        there: dict[str, list[OrphanedWorker]] = {}
        for survivor in survivors:
            there.setdefault(survivor.bundle, []).append(survivor)
        records = await _thread(store.services.records)
        serving = await _thread(store.services.serving)
        unfinished = await _thread(store.bundles.unfinished)
        self.published.moved = await _thread(store.people.moved)
        self.accounts.load(await _thread(store.people.accounts))
        # From here on it says that it is ready, so all that is published has to be known at once.
        await self.gate.open(store)
        self._store = store
        self.published.open(*guard)
        self.deployments.serve_all(records, serving, self.deployment, there)
        for bundle in unfinished:
            self._start(bundle)
        for survivor in (one for left in there.values() for one in left):
            await survivor.kernel.stop()

    async def publish(
        self,
        data: bytes,
        names: tuple[str, ...],
        owner: str,
        replace: str = AUTO,
        *,
        stage: bool = False,
        force: bool = False,
        publisher: str = "",
        gate: Mapping[str, str] | None = None,
    ) -> StoredBundle:
        """Accept a bundle; when this returns it is on disk and its start is under way.

        ``replace`` says what becomes of the former version meanwhile, see ``contract.replacing``.
        ``publisher`` is the user who publishes; default: ``owner``. With ``stage`` the new version
        gets no traffic, with ``force`` it does although it would break callers. ``gate`` asks for
        the quality gate, with the author's severities.
        A bundle that is published already comes back as it is; a failed one is tried again.
        Raises ``BundleRejected``, ``TooLarge`` or ``QualityGateFailed``.
        """
        self.published.check()
        bundle = await _thread(lambda: open_bundle(data))
        if self._require_locked:
            check_lock(bundle.manifest)
        checked = None
        options: dict[str, Any] = {
            REPLACE: replace,
            STAGE: stage,
            FORCE: force,
            PUBLISHER: publisher or owner,
            ACCEPTED: time.time(),
        }
        if self.gate.applies(gate):
            options[GATE] = dict(gate or {})
            checked = await self.gate.check_bundle(data, options[GATE])
        async with self.lock:
            added = await self._add(bundle, data, names, owner, options)
            stored = added.bundle
            if stored.state is BundleState.STARTING:
                self._how[stored.id] = replace
            if checked is not None:
                await (self.gate.keep if added.is_new else self.gate.recheck)(stored.id, checked)
            if added.is_new:
                self.accounts.note(stored.id, options[PUBLISHER])
                self._start(stored)
        return self._as_seen(stored)

    async def _add(
        self,
        bundle: Bundle,
        data: bytes,
        names: tuple[str, ...],
        owner: str,
        options: dict[str, Any],
    ) -> Added:
        """Store a bundle with the options of its publishing, unless it is stored already."""
        file = await _thread(lambda: self.store.files.put(data))
        return await _thread(
            lambda: self.store.bundles.add(
                naming.bundle_id(owner, bundle.id) if self._shared else bundle.id,
                owner=owner,
                names=self._full(owner, names or bundle.manifest.services),
                manifest=bundle.manifest.to_dict() | options,
                file=file,
                stage=options[STAGE],
            )
        )

    async def bundle(self, bundle_id: str) -> StoredBundle:
        """Return a bundle's record; raises ``BundleNotFound``."""
        return self._as_seen(await _thread(lambda: self.store.bundles.get(bundle_id)))

    def _as_seen(self, stored: StoredBundle) -> StoredBundle:
        """Return a bundle that is ready only once its services answer, not once it is stored."""
        if stored.state is BundleState.READY and stored.id in self.deployments.starting:
            return dataclasses.replace(stored, state=BundleState.STARTING)
        return stored

    async def call_off(self, bundle_id: str) -> None:
        """End the start of a bundle; raises ``BundleInUse`` or ``BundleNotFound``."""
        await _thread(lambda: self.store.bundles.cancel(bundle_id))
        self._starting.call_off(bundle_id)

    async def wait_started(self, bundle_id: str) -> None:
        """Return when the start of a bundle has ended, in either way."""
        await self._starting.wait(bundle_id)

    def waits_for(self, bundle_id: str) -> str:
        """Return in a sentence what the start of a bundle waits for; ``""`` when it does not."""
        found = self._replacements.get(bundle_id)
        return found.waits_for if found is not None else ""

    async def provided(self, bundle_id: str) -> list[Version]:
        """Return the versions that a bundle made and that are still there."""
        return await _thread(lambda: self.store.services.for_bundle(bundle_id))

    async def log_of(self, stored: StoredBundle) -> bytes:
        """Return a bundle's executed notebook, as JSON."""
        return await _thread(lambda: self.store.files.get(stored.log or ""))

    async def versions(self, name: str) -> list[Version]:
        """Return a service's versions, oldest first; raises ``ServiceNotFound``."""
        return await _thread(lambda: self.store.services.versions(name))

    async def set_access(self, name: str, access: Access) -> None:
        """Set who may call a service, from now on; raises ``ServiceNotFound``."""
        if name not in self.published:
            raise ServiceNotFound(name)
        await _thread(lambda: self.store.services.set_access(name, access))
        self.published.set_access(name, access)

    async def remove(self, name: str) -> None:
        """Unpublish a service: it answers no more, its workers end."""
        if name not in self.published:
            raise ServiceNotFound(name)
        await _thread(lambda: self.store.services.delete(name))
        self.published.remove(name)
        self.deployments.settle()

    def account_of(self, bundle: str, owner: str) -> str:
        """Return the user as whom workers of a bundle run."""
        return self.accounts.of(bundle, owner)

    async def refresh_access(self) -> None:
        """Read access rules and transfers again, which another process may have changed."""
        if not self.published.ready:
            return
        for name, access in (await _thread(self.store.services.access)).items():
            self.published.set_access(name, access)
        await self.read_moved()

    async def read_moved(self) -> None:
        """Read under which names services are served that changed hands."""
        self.published.moved = await _thread(self.store.people.moved)

    async def stop(
        self,
        *,
        reason: EasyMLNBError = STOPPING,
        drain: float,
        hand_over: bool = False,
    ) -> None:
        """Stop serving; calls get ``drain`` seconds to finish. What is published stays published.

        Workers end, unless ``hand_over`` leaves them to the next server process. Requests that
        come later are refused for this ``reason``.
        """
        for task in (tasks := self._starting.tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.deployments.stop(drain=drain, hand_over=hand_over)
        self.published.clear()
        self.published.close(reason)
        self._store = None

    async def load(self, bundle_id: str) -> Bundle:
        """Read a bundle, also one that serves no longer; raises ``BundleNotFound``."""
        stored = await self.bundle(bundle_id)
        return await _thread(lambda: open_bundle(self.store.files.get(stored.file), verify=False))

    def deployment(self, bundle_id: str, owner: str) -> Deployment:
        """Return a new deployment of a stored bundle."""
        return self.deployments.make(bundle_id, owner, lambda: self.load(bundle_id))

    def _full(self, owner: str, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(naming.qualified_name(owner, name) if self._shared else name for name in names)

    def _replacement(self, stored: StoredBundle, deployment: Deployment) -> Replacement:
        names = stored.names or self._full(stored.owner, stored.manifest.get("defines", ()))
        if stored.manifest.get(STAGE):
            names = tuple(name for name in names if name not in self.published)
        deployments = self.deployments
        formers = formers_of(stored.id, names, self.published.services, deployments.running)

        def how() -> str:
            return self._how.get(stored.id) or str(stored.manifest.get(REPLACE, AUTO))

        return Replacement(
            deployment, formers, lambda: deployments.competitors(deployment, formers), how
        )

    def _start(self, stored: StoredBundle) -> None:
        self._starting.begin(stored.id, partial(self._bring_up, stored))

    async def _bring_up(self, stored: StoredBundle) -> None:
        """Start a bundle's first worker, and make versions of it if it passes."""
        deployment: Deployment | None = None
        replacement: Replacement | None = None
        try:
            deployment = self.deployments.starting[stored.id] = self.deployment(
                stored.id, stored.owner
            )
            replacement = self._replacements[stored.id] = self._replacement(stored, deployment)
            worker, specs = await replacement.launch(tuple(map(naming.short_name, stored.names)))
            async with self.routing:
                records, versions = await self._store_versions(stored, deployment, specs)
                self.deployments.go_live(stored.id, deployment, worker, records, versions)
        except (asyncio.CancelledError, LeaseLost) as error:
            if deployment is not None:
                await deployment.stop()
            if replacement is not None:
                replacement.give_back()
            if isinstance(error, LeaseLost):
                return  # the active process starts it again
            raise
        except Exception as error:
            await self._fail(stored, deployment, error, replacement)
            return
        finally:
            self.deployments.starting.pop(stored.id, None)
            self._replacements.pop(stored.id, None)
            self._how.pop(stored.id, None)
        replacement.end(self.deployments.serving())
        self.deployments.settle()

    async def _store_versions(
        self, stored: StoredBundle, deployment: Deployment, specs: tuple[ServiceSpec, ...]
    ) -> tuple[list[ServiceRecord], list[Version]]:
        """Make versions of a bundle's services; return the services as stored, and these."""
        check = partial(describe_specs, specs, stored.manifest, deployment.starter.executed)
        checked = await _thread(check)
        if GATE in stored.manifest:
            author = stored.manifest[GATE]
            await self.gate.check_executed(stored.id, checked, deployment.starter.executed, author)
        if self._shared:
            checked = naming.with_qualified_names(checked, stored.owner)
        notebook = await self._keep_log(deployment)
        publish = partial(
            self.store.services.publish,
            stored.id,
            checked,
            owner=stored.owner,
            log=notebook,
            stage=bool(stored.manifest.get(STAGE)),
            force=bool(stored.manifest.get(FORCE)),
        )
        versions = await _thread(publish)
        names = [version.service for version in versions]
        return await _thread(lambda: self.store.services.records(names)), versions

    async def _fail(
        self,
        stored: StoredBundle,
        deployment: Deployment | None,
        error: Exception,
        replacement: Replacement | None,
    ) -> None:
        if not isinstance(error, EasyMLNBError):
            log.error("Bundle %s failed to start.", stored.id[:12], exc_info=error)
            error = InternalError()
        notebook = await self._keep_log(deployment) if deployment is not None else None
        if deployment is not None:
            await deployment.stop()
        details = error.details if isinstance(error.details, dict) else {}
        message = error.message
        if replacement is not None and replacement.give_back():
            message += " The previous version starts again."
        told = {"code": error.code, "message": message, **details}
        with contextlib.suppress(LeaseLost):  # the active process starts it again
            await _thread(lambda: self.store.bundles.set_failed(stored.id, told, log=notebook))

    async def _keep_log(self, deployment: Deployment) -> str:
        text = nbformat.writes(deployment.starter.executed)
        return await _thread(lambda: self.store.files.put(text.encode()))


def _thread(work: Callable[[], T]) -> Coroutine[Any, Any, T]:
    return asyncio.to_thread(work)
