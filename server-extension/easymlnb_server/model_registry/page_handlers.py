"""Pages of models: the list, a model, a version with its curves, and a comparison."""

import asyncio
from typing import Any

from tornado import web

from easymlnb.contract.model_names import url_path
from easymlnb.contract.names import quoted
from easymlnb_server.http import model_charts
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.model_registry import responses
from easymlnb_server.model_registry.handlers import compared, described
from easymlnb_server.model_registry.version_handlers import VersionBase
from easymlnb_server.openapi.document import HTML, TEXT, Operation, ok, query_parameter

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
    """``GET models/{name}/versions/{version}/page``: metrics, curves, lineage and files."""

    @web.authenticated
    async def get(self, name: str, ref: str) -> None:
        found, row = await self.version(name, ref)
        details = await self.details(found, row)
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
