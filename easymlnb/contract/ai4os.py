"""The closed lists of AI4OS's metadata schema v2.3.0, and the fields that it requires."""

from collections.abc import Iterable
from typing import Any

VERSION = "2.3.0"
REQUIRED = (
    *("metadata_version", "title", "summary", "description", "links.source_code"),
    *("libraries", "tasks", "categories", "tags"),
)
"""The fields that the schema requires. A list may be empty, but must be present."""

OTHER = "Other"
LIBRARIES = ("TensorFlow", "PyTorch", "Keras", "Scikit-learn", "XGBoost", "LightGBM", "CatBoost")
TASKS = (
    *("Computer Vision", "Natural Language Processing", "Time Series", "Recommender Systems"),
    *("Anomaly Detection", "Regression", "Classification", "Clustering"),
    *("Dimensionality Reduction", "Generative Models", "Graph Neural Networks", "Optimization"),
    *("Reinforcement Learning", "Transfer Learning", "Uncertainty Estimation"),
)
CATEGORY = "AI4 inference"
DATA_TYPES = {
    "audio": "Audio",
    "image": "Image",
    "table": "Tabular",
    "text": "Text",
    "time series": "Time Series",
}
"""Kind of an input -> AI4OS's name for it."""

_ALSO = {"sklearn": "Scikit-learn", "torch": "PyTorch"}


def listed(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the names as a closed list spells them; unknown ones become ``Other``."""
    spellings = {_normalized(name): name for name in known} | _ALSO
    return list(dict.fromkeys(spellings.get(_normalized(name), OTHER) for name in names))


def missing(document: dict[str, Any], required: Iterable[str]) -> list[str]:
    """Return the required fields, as dotted paths, that a document lacks."""
    return [path for path in required if not _is_present(document, path)]


def _is_present(document: dict[str, Any], path: str) -> bool:
    value: Any = document
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def _normalized(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))
