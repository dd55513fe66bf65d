"""The URLs of models without code, and those of the client of the MLaaS paper."""

from typing import Any

from easymlnb_server.model_templates.handlers import OPERATIONS as TEMPLATES
from easymlnb_server.model_templates.handlers import (
    LookHandler,
    PredictHandler,
    TemplateDetailsHandler,
    TemplatePageHandler,
    TemplatesHandler,
)
from easymlnb_server.model_templates.mlaas.handlers import OPERATIONS as MLAAS
from easymlnb_server.model_templates.mlaas.handlers import (
    MlaasPredictHandler,
    MlaasStatusHandler,
    MlaasTrainHandler,
)
from easymlnb_server.openapi.document import Operations

OPERATIONS: Operations = {**TEMPLATES, **MLAAS}

API_KEY = r"([A-Za-z0-9_-]{1,200})"


def template_routes(name: str, model: str) -> tuple[tuple[Any, ...], ...]:
    """Return the routes; ``name`` and ``model`` are patterns of names."""
    handlers = (
        ("train", MlaasTrainHandler),
        ("status", MlaasStatusHandler),
        ("predict", MlaasPredictHandler),
    )
    with_key = {"with_key": True}
    return (
        (r"templates", TemplatesHandler),
        (r"templates/page", TemplatePageHandler),
        (r"templates/look", LookHandler),
        (rf"models/{model}/template", TemplateDetailsHandler),
        (rf"models/{model}/predict", PredictHandler),
        *((rf"mlaas/{name}/{path}", handler) for path, handler in handlers),
        *((rf"k/{API_KEY}/{name}/{path}", handler, with_key) for path, handler in handlers),
    )
