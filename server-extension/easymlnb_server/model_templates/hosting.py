"""Publish a template for an author once, so that one deployment serves all models made from it."""

import asyncio
from collections import defaultdict

from easymlnb.contract.errors import DeploymentFailed, NotReady
from easymlnb_server.identity import names as naming
from easymlnb_server.model_templates.bundles import TEMPLATES, Template, bundle_id, bundle_of
from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.store.records import BundleState

PATIENCE = 300.0
"""Seconds until a template must have started."""


class TemplateHosts:
    """The published templates of all authors.

    Parameters
    ----------
    publisher
        Publishes bundles.
    shared
        Whether names start with their owners'.
    """

    def __init__(self, publisher: Publisher, *, shared: bool) -> None:
        self._publisher = publisher
        self._shared = shared
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    def full_name(self, owner: str, service: str) -> str:
        """Return the name under which an author's service is called."""
        return naming.qualified_name(owner, service) if self._shared else service

    def bundle(self, template: Template, owner: str) -> str:
        """Return the id of an author's bundle of a template."""
        own = bundle_id(template.name)
        return naming.bundle_id(owner, own) if self._shared else own

    def is_template(self, bundle: str, owner: str) -> bool:
        """Return whether a bundle of an author is one of the templates."""
        return any(self.bundle(template, owner) == bundle for template in TEMPLATES.values())

    def is_ready(self, template: Template, owner: str) -> bool:
        """Return whether an author's template is published as it is now."""
        wanted = self.bundle(template, owner)
        found = (
            self._publisher.published.get(self.full_name(owner, name)) for name in template.services
        )
        return all(one is not None and one.current.bundle == wanted for one in found)

    async def ensure(self, template: Template, owner: str) -> bool:
        """Publish a template for an author, unless it is; return when it can be called.

        The result says whether it was published now. Raises ``DeploymentFailed`` with the reason,
        or ``NotReady``.
        """
        if self.is_ready(template, owner):
            return False
        async with self._locks[template.name, owner]:
            if self.is_ready(template, owner):
                return False
            data = await asyncio.to_thread(bundle_of, template.name)
            stored = await self._publisher.publish(data, (), owner, publisher=owner, force=True)
            await self._started(template, stored.id)
            return True

    async def _started(self, template: Template, bundle: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._publisher.wait_started(bundle)
        except TimeoutError as error:
            waits = self._publisher.waits_for(bundle)
            raise NotReady(
                f"The template {template.name!r} is starting. {waits}".strip()
            ) from error
        stored = await self._publisher.bundle(bundle)
        if stored.state is not BundleState.READY:
            why = (stored.error or {}).get("message", "Publishing was canceled.")
            raise DeploymentFailed(
                f"The template {template.name!r} could not start. {why} It needs the packages of "
                "easymlnb[train] in the kernel's environment."
            )
