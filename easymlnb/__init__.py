"""easymlnb: a decorated notebook function is a function, a form and a REST service.

Names are loaded when they are first used, so that importing the package costs nothing: the
server imports ``easymlnb.contract`` through it, and a script may only want the client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from easymlnb._version import __version__

if TYPE_CHECKING:
    # The same names once more, for editors and type checkers; a test compares the two.
    from easymlnb.calling.credentials import credential
    from easymlnb.calling.use import use
    from easymlnb.client import AsyncClient, Client, connect, connect_async
    from easymlnb.compose.pipelines import gather, pipeline
    from easymlnb.contract.errors import CallerError, EasyMLNBError
    from easymlnb.contract.spec import Batch, Record
    from easymlnb.model_store.lookup import model
    from easymlnb.model_store.registry import registry
    from easymlnb.optimization import Optimized, optimize
    from easymlnb.runtime.context import progress
    from easymlnb.runtime.current_job import checkpoint, job, metric
    from easymlnb.services.batching import Batched
    from easymlnb.services.catalog_file import read_metadata
    from easymlnb.services.decorator import service
    from easymlnb.services.service_function import ServiceFunction
    from easymlnb.training import plots
    from easymlnb.training.decorator import train
    from easymlnb.training.image_folders import read_image_folders
    from easymlnb.training.model import Model
    from easymlnb.types import (
        HTML,
        Array,
        Audio,
        Choice,
        Color,
        File,
        Hint,
        Image,
        Interval,
        LongText,
        Markdown,
        MultipleChoice,
        Number,
        Plot,
        Secret,
        Slider,
        Table,
        Text,
        TimeSeries,
        Type,
        Upload,
        Webcam,
    )

_HOMES = {
    "services.batching": "Batched",
    "services.catalog_file": "read_metadata",
    "calling.credentials": "credential",
    "calling.use": "use",
    "client": "AsyncClient Client connect connect_async",
    "contract.errors": "CallerError EasyMLNBError",
    "contract.spec": "Batch Record",
    "services.decorator": "service",
    "services.service_function": "ServiceFunction",
    "model_store.lookup": "model",
    "model_store.registry": "registry",
    "optimization": "Optimized optimize",
    "compose.pipelines": "gather pipeline",
    "runtime.context": "progress",
    "runtime.current_job": "checkpoint job metric",
    "training": "plots",
    "training.decorator": "train",
    "training.image_folders": "read_image_folders",
    "training.model": "Model",
    "types": (
        "HTML Array Audio Choice Color File Hint Image Interval LongText Markdown MultipleChoice "
        "Number Plot Secret Slider Table Text TimeSeries Type Upload Webcam"
    ),
}

_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "HTML",
    "Array",
    "AsyncClient",
    "Audio",
    "Batch",
    "Batched",
    "CallerError",
    "Choice",
    "Client",
    "Color",
    "EasyMLNBError",
    "File",
    "Hint",
    "Image",
    "Interval",
    "LongText",
    "Markdown",
    "Model",
    "MultipleChoice",
    "Number",
    "Optimized",
    "Plot",
    "Record",
    "Secret",
    "ServiceFunction",
    "Slider",
    "Table",
    "Text",
    "TimeSeries",
    "Type",
    "Upload",
    "Webcam",
    "__version__",
    "checkpoint",
    "connect",
    "connect_async",
    "credential",
    "gather",
    "job",
    "metric",
    "model",
    "optimize",
    "pipeline",
    "plots",
    "progress",
    "read_image_folders",
    "read_metadata",
    "registry",
    "service",
    "train",
    "use",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'easymlnb' has no attribute {name!r}")
    value = getattr(import_module(f"easymlnb.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
