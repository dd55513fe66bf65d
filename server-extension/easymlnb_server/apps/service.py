"""The objects behind app pages: kernel pool, sessions, tokens and the front end."""

import asyncio
from pathlib import Path

from easymlnb.contract.formulas import to_mathml
from easymlnb_server.apps.form_kernel import start
from easymlnb_server.apps.kernel_pool import KernelPool
from easymlnb_server.apps.page_tokens import PageTokens
from easymlnb_server.apps.sessions import PageSessions, SessionLimits
from easymlnb_server.apps.settings import AppSettings
from easymlnb_server.apps.voila.assets import Assets
from easymlnb_server.apps.voila.page import Pages
from easymlnb_server.apps.voila.widget_packages import WidgetPackages
from easymlnb_server.supervisor import Supervisor

TICK = 2.0
"""Seconds between two checks for expired sessions."""


class AppPages:
    """App pages, as handlers use them.

    kernels: form kernels that are always ready; 0 turns app pages off.
    per_kernel: maximum number of pages in one form kernel.
    memory: memory limit of a form kernel in bytes.
    message_limit: maximum size of a page's message in bytes.
    """

    def __init__(
        self,
        *,
        kernels: int,
        per_kernel: int,
        memory: int,
        limits: SessionLimits,
        message_limit: int,
    ) -> None:
        self.tokens = PageTokens()
        self.sessions = PageSessions(self.tokens, limits)
        self.assets = Assets()
        self.pages = Pages(self.assets)
        self.packages = WidgetPackages()
        self.message_limit = message_limit
        self.enabled = kernels > 0
        self.url = ""
        """Where form kernels reach our routes."""
        self._kernels = kernels
        self._per_kernel = per_kernel
        self._memory = memory
        self._max_pages = limits.pages
        self._supervisor = Supervisor()
        self._warm = asyncio.Event()

    def open(self, url: str, cafile: str, folder: Path | None = None) -> None:
        """Start the pool.

        ``url`` is where form kernels reach our routes; ``folder`` is for their files.
        """
        self.url = url
        if not self.enabled:
            return
        pool = self.sessions.pool = KernelPool(
            lambda: start(
                self.sessions.on_message, memory=self._memory, cafile=cafile, parent=folder
            ),
            self.sessions.on_kernel_lost,
            warm=self._kernels,
            per_kernel=self._per_kernel,
            pages=self._max_pages,
            memory=self._memory,
        )
        self._supervisor.run("form kernels", pool.run)
        self._supervisor.every("page sessions", TICK, self.sessions.close_expired)
        self._supervisor.run("app assets", self._load_assets)

    async def _load_assets(self) -> None:
        try:
            await asyncio.to_thread(self._warm_up)
        finally:
            self._warm.set()

    async def wait_warm(self) -> None:
        """Return when the files are compressed, which takes a second after the start."""
        if self.sessions.pool is not None:
            await self._warm.wait()

    def _warm_up(self) -> None:
        """Do once what the first visitor would wait for: read files, import parsers."""
        self.pages.prepare()
        to_mathml("x")

    async def close(self) -> None:
        """End all sessions and kernels."""
        self.sessions.close_all()
        await self._supervisor.close()
        if self.sessions.pool is not None:
            await self.sessions.pool.close()


def app_pages(settings: AppSettings) -> AppPages:
    """Return app pages with the limits of the settings."""
    limits = SessionLimits(
        pages=settings.app_pages,
        public=settings.app_public_pages,
        app=settings.app_pages_per_service,
        visitor=settings.app_pages_per_visitor,
        open_timeout=settings.app_open_timeout,
        reconnect_timeout=settings.app_reconnect_timeout,
        idle_timeout=settings.app_idle_timeout,
    )
    return AppPages(
        kernels=settings.app_kernels,
        per_kernel=max(1, settings.app_pages_per_kernel),
        memory=settings.app_kernel_memory,
        limits=limits,
        message_limit=settings.app_message_limit,
    )
