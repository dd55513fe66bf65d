"""Store what a training has learned as the version of a model, and load it again."""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from easymlnb.contract.training import DESCRIPTION_FILE, TrainedFile, TrainedModel
from easymlnb.model_store.formats import LoadOptions, SaveOptions, save_model
from easymlnb.model_store.loading import load_version
from easymlnb.runtime.current_job import CurrentJob
from easymlnb.templates import images
from easymlnb.templates.config import NETWORK
from easymlnb.templates.learning import Learned

TRUSTED = (
    "easymlnb.training.baselines.SeasonalNaive",
    "easymlnb.training.columns.TableColumns",
)
"""Our own types in the pipelines of templates."""

REPORT_FILE = "report.json"
"""The file of a version with its comparison and plots."""


def save(learned: Learned, model: str, job: CurrentJob, source: dict[str, Any]) -> None:
    """Give the running job what its model consists of; ``source`` describes the data."""
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        fitted, options = learned.model, SaveOptions(trusted=TRUSTED)
        if learned.signature.get("algorithm") == NETWORK:
            fitted, options = fitted.module, SaveOptions(config=fitted.config)
        saved = save_model(fitted, Path(folder), options=options)
        contents = {name: path.read_bytes() for name, path in saved.files.items()}
    contents[REPORT_FILE] = json.dumps(learned.report, allow_nan=False).encode()
    flavor = {name: value for name, value in saved.flavor.items() if name != "types"}
    described = TrainedModel(
        model=model,
        format=saved.format,
        flavor=flavor,
        files=tuple(_save(job, path, content) for path, content in contents.items()),
        signature=learned.signature,
        metrics=finite(learned.metrics),
        params={"algorithm": learned.report["algorithm"], "target": learned.report["target"]},
        tags={"template": learned.signature["template"]},
        data=(source,),
    )
    job.save_file(DESCRIPTION_FILE, msgspec.json.encode(described), "application/json")


def _save(job: CurrentJob, path: str, content: bytes) -> TrainedFile:
    label = f"model/{path}"
    job.save_file(label, content)
    digest = hashlib.sha256(content).hexdigest()
    return TrainedFile(path=path, label=label, sha256=digest, size=len(content))


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """Return the metrics that are numbers."""
    return {name: float(value) for name, value in metrics.items() if abs(value) < float("inf")}


def load(model: str, version: int) -> tuple[Any, dict[str, Any], int]:
    """Return the estimator, the signature and the bytes of a version of a model."""
    found = load_version(model, str(version), LoadOptions(build=images.build, trusted=TRUSTED))
    signature = found.about["signature"] or {}
    size = sum(int(file["size"]) for file in found.about["files"])
    return found.value, signature, size
