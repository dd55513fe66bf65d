"""Pages of models: the list, a model, a version with its curves, and a comparison."""

import asyncio
from typing import Any

from tornado import web

from easymlnb.contract.model_names import url_path
from easymlnb.contract.names import quoted
from easymlnb_server.apps.voila import plot_scripts
from easymlnb_server.http import model_charts
from easymlnb_server.http.pages import POLICY, PageHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.model_registry import responses
from easymlnb_server.model_registry.handlers import compared, described
from easymlnb_server.model_registry.version_handlers import VersionBase
from easymlnb_server.openapi.document import HTML, TEXT, Operation, ok, query_parameter

PLOTS, JSON_FILE = "plots/", ".json"
"""Folder of a version with figures of plotly, and their suffix."""

MAX_SHOWN = 50
"""Versions that the table of a model's page shows."""


class ModelPageBase(PageHandler, VersionBase):
    """Base of the pages of models."""

    def model_page(self, template: str, **values: Any) -> None:
        """Send a page that shows models."""
        self.page(
            template,
            shared=self.state.services.shared,
            path=lambda name, *more: self.root + url_path(name, *more),
            quoted=quoted,
            **values,
        )


class ModelsPageHandler(ModelPageBase):
    """``GET models/page``: the models that the caller may see."""

    @web.authenticated
    async def get(self) -> None:
        search = self.get_query_argument("search", "")
        found = await self.models.visible(self.caller)
        if search:
            word = search.lower()
            found = [one for one in found if word in f"{one.model.name} {one.model.title}".lower()]
        shown = [responses.model(one, self.address) for one in found]
        self.model_page("models.html", models=shown, search=search)


class ModelPageHandler(ModelPageBase):
    """``GET models/{name}/page``: a model with its versions, aliases and services."""

    @web.authenticated
    async def get(self, name: str) -> None:
        found = await self.found(name)
        model = await described(self, found)
        rows = await asyncio.to_thread(self.models.rows.versions, found.model.name)
        shown = rows[:MAX_SHOWN]
        names = list(dict.fromkeys(key for row in shown for key in row.metrics))
        trends = {
            key: model_charts.trend(
                key,
                [(row.number, row.metrics[key]) for row in reversed(shown) if key in row.metrics],
            )
            for key in names
        }
        self.model_page(
            "model.html",
            model=model,
            versions=[
                responses.version(row, found.aliases, self.opens(found, row), self.address)
                for row in shown
            ],
            total=len(rows),
            metrics=names,
            trends=trends,
            managed=self.models.allows(self.caller, found.model, Action.MANAGE),
        )


class ModelVersionPageHandler(ModelPageBase):
    """``GET models/{name}/versions/{version}/page``: metrics, curves, plots, lineage and files."""

    @property
    def content_security_policy(self) -> str:
        # plotly sets style attributes. Inline scripts remain forbidden.
        return POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

    async def _plot_scripts(self) -> dict[str, str]:
        """Return the addresses of plotly's scripts by name; none without app pages."""
        apps = self.state.apps
        if not apps.enabled:
            return {}
        await apps.wait_warm()
        assets = f"{self.root}app-assets/"
        names = [name for name in plot_scripts.NAMES if apps.assets.has(f"{name}.js")]
        return {name: apps.pages.script(f"{name}.js", assets) for name in names}

    @web.authenticated
    async def get(self, name: str, ref: str) -> None:
        found, row = await self.version(name, ref)
        details = await self.details(found, row)
        plots = {
            file.path.removeprefix(PLOTS).removesuffix(JSON_FILE): file.path
            for file in details.files
            if file.path.startswith(PLOTS) and file.path.endswith(JSON_FILE)
        }
        curves: dict[str, list[tuple[int, float]]] = {}
        for one in details.curves:
            curves.setdefault(one.name, []).append((one.step, one.value))
        self.model_page(
            "model_version.html",
            model=found.model,
            version=details,
            curves={key: model_charts.curve(key, points) for key, points in curves.items()},
            production=found.aliases.get("production"),
            managed=self.models.allows(self.caller, found.model, Action.MANAGE),
            owned=self.models.allows(self.caller, found.model, Action.OWN),
            job=details.job,
            plots=plots,
            plot_scripts=await self._plot_scripts() if plots else {},
        )


class ComparePageHandler(ModelPageBase):
    """``GET models/{name}/compare/page``: versions side by side."""

    @web.authenticated
    async def get(self, name: str) -> None:
        found = await self.found(name)
        comparison = await compared(self, name)
        curves = await asyncio.to_thread(
            lambda: [
                self.models.rows.metrics(found.model.name, one.version)
                for one in comparison.versions
            ]
        )
        self.model_page(
            "model_compare.html",
            model=found.model,
            comparison=comparison,
            plots=model_charts.overlays(
                [one.version for one in comparison.versions],
                [[(one.name, one.step, one.value) for one in points] for points in curves],
            ),
            colors=model_charts.COLORS,
        )


PAGES = {
    "GET /models/page": Operation(
        "getModelsPage",
        "Models, for people",
        ok("A page.", HTML),
        (503,),
        tag="Models",
        query=(query_parameter("search", "Only models with this text.", TEXT),),
    ),
    "GET /models/{name}/page": Operation(
        "getModelPage", "A model, for people", ok("A page.", HTML), (503,), tag="Models"
    ),
    "GET /models/{name}/versions/{version}/page": Operation(
        "getModelVersionPage", "A version, for people", ok("A page.", HTML), (503,), tag="Models"
    ),
    "GET /models/{name}/compare/page": Operation(
        "getModelComparisonPage",
        "A comparison, for people",
        ok("A page.", HTML),
        (503,),
        tag="Models",
        query=(
            query_parameter("versions", "Numbers or aliases, such as `3,4`.", TEXT, required=True),
        ),
    ),
}
