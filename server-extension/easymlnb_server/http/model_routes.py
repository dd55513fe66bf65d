"""The URLs of models: the registry, models without code, MLflow's, and the MLaaS paper's."""

from typing import Any

from easymlnb_server.model_registry.handlers import OPERATIONS as MODELS
from easymlnb_server.model_registry.handlers import (
    CompareHandler,
)
from easymlnb_server.model_registry.mlflow_handlers import OPERATIONS as MLFLOW
from easymlnb_server.model_registry.mlflow_handlers import MlflowArtifactsHandler, MlflowHandler
from easymlnb_server.model_registry.page_handlers import PAGES as MODEL_PAGES
from easymlnb_server.model_registry.page_handlers import (
    ComparePageHandler,
    ModelPageHandler,
    ModelsPageHandler,
    ModelVersionPageHandler,
)
from easymlnb_server.model_registry.version_handlers import OPERATIONS as MODEL_VERSIONS
from easymlnb_server.model_registry.version_handlers import (
    ExportHandler,
    ModelFileHandler,
    ModelVersionHandler,
    ModelVersionsHandler,
)
from easymlnb_server.model_templates.handlers import OPERATIONS as TEMPLATES
from easymlnb_server.model_templates.handlers import (
    LookHandler,
    PredictHandler,
    TemplateAliasHandler,
    TemplateDetailsHandler,
    TemplateModelHandler,
    TemplateModelsHandler,
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
from easymlnb_server.protocols.mlflow.handlers import OPERATIONS as SCORING
from easymlnb_server.protocols.mlflow.handlers import (
    InvocationsHandler,
    PingHandler,
    ProtocolVersionHandler,
)

OPERATIONS: Operations = {
    **MODELS,
    **TEMPLATES,
    **MODEL_VERSIONS,
    **MODEL_PAGES,
    **MLAAS,
    **MLFLOW,
    **SCORING,
}

OWN_MODEL = r"((?:~/)?[A-Za-z0-9_-]+)"
MLFLOW_PREFIX = r"mlflow/api/2\.0"
MODEL_REF = r"([A-Za-z0-9_-]{1,63})"
MODEL_ALIAS = r"([A-Za-z0-9_-]{1,64})"
MLFLOW_CALL = r"([a-z-]+)/([a-z-]+)"
API_KEY = r"([A-Za-z0-9_-]{1,200})"


Routes = tuple[tuple[Any, ...], ...]


def model_routes(name: str, own: str) -> Routes:
    """Return the routes; ``name`` and ``own`` are patterns of names, the second also of ``~/x``."""
    model = rf"models/{own}"
    return (
        *_template_routes(name, own),
        (r"models", TemplateModelsHandler),
        (r"models/page", ModelsPageHandler),
        (model, TemplateModelHandler),
        (rf"{model}/aliases/{MODEL_ALIAS}", TemplateAliasHandler),
        (rf"{model}/page", ModelPageHandler),
        (rf"{model}/compare", CompareHandler),
        (rf"{model}/compare/page", ComparePageHandler),
        (rf"{model}/versions", ModelVersionsHandler),
        (rf"{model}/versions/{MODEL_REF}", ModelVersionHandler),
        (rf"{model}/versions/{MODEL_REF}/files/(.+)", ModelFileHandler),
        (rf"{model}/versions/{MODEL_REF}/export", ExportHandler),
        (rf"{model}/versions/{MODEL_REF}/page", ModelVersionPageHandler),
        (rf"services/{name}/invocations", InvocationsHandler),
        (rf"services/{name}/ping", PingHandler),
        (rf"services/{name}/health", PingHandler),
        (rf"services/{name}/version", ProtocolVersionHandler),
        (rf"{MLFLOW_PREFIX}/mlflow/{MLFLOW_CALL}", MlflowHandler),
        (rf"{MLFLOW_PREFIX}/mlflow-artifacts/artifacts", MlflowArtifactsHandler),
        (rf"{MLFLOW_PREFIX}/mlflow-artifacts/artifacts/(.+)", MlflowArtifactsHandler),
    )


def _template_routes(name: str, model: str) -> Routes:
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
