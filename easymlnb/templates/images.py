"""The template ``images``: tell images apart, from a zip with one folder per class."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from easymlnb.contract.errors import CallerError
from easymlnb.templates import learning, pictures
from easymlnb.templates.config import Config
from easymlnb.templates.learning import Learned, Progress
from easymlnb.training import image_folders

NAME = "images"
TARGET = "class"


def look(data: Any, config: Config, name: str = "") -> dict[str, Any]:
    """Describe a zip of images."""
    with pictures.open_zip(data) as archive:
        found = pictures.find(archive)
    columns = [
        {
            "name": TARGET,
            "kind": "category",
            "missing": 0,
            "unique": len(found.counts),
            "rows": len(found.entries),
            "examples": list(found.counts)[:3],
            "top": [[label, count] for label, count in found.counts.items()],
        }
    ]
    return {
        "rows": len(found.entries),
        "sampled": False,
        "columns": columns,
        "reading": {},
        "preview": {"columns": [], "rows": []},
        "target": TARGET,
        "question": "classification",
        "time": "",
        "ambiguous_dates": [],
        "findings": _findings(found),
    }


def _findings(found: pictures.Pictures) -> list[dict[str, Any]]:
    made = []
    counts = found.counts
    if found.ignored:
        made.append(f"{len(found.ignored)} files are no images, such as {found.ignored[0][:60]!r}.")
    if max(counts.values()) > 5 * min(counts.values()):
        most, least = (
            max(counts, key=lambda one: counts[one]),
            min(counts, key=lambda one: counts[one]),
        )
        made.append(f"{most!r} has {counts[most]} images and {least!r} only {counts[least]}.")
    return [
        {"code": "images", "message": text, "column": "", "level": "warning", "action": ""}
        for text in made
    ]


def train(data: Any, config: Config, progress: Progress, name: str = "") -> Learned:
    """Train a classifier of images; raises ``CallerError`` if that is not possible."""
    from easymlnb.training.datasets import dataset

    progress(0.0, "Reading the images")
    with pictures.open_zip(data) as archive:
        table, unreadable = pictures.table(archive, pictures.find(archive))
    made = dataset(table, TARGET, task="classification", time="")
    chosen = learning.choose(made, config, progress)
    if unreadable:
        text = f"{len(unreadable)} images cannot be read, such as {unreadable[0][:60]!r}."
        chosen.report["notes"].insert(0, text)
    signature = {
        "template": NAME,
        "question": "classification",
        "inputs": [{"name": "image", "type": "string", "kind": "image", "required": True}],
        "outputs": [{"name": TARGET, "type": "string"}],
        "classes": made.classes,
    }
    return Learned(
        chosen.evaluation.model,
        chosen.evaluation.metrics,
        signature,
        {**chosen.report, "question": "classification", "target": TARGET},
    )


class ImagePredictor:
    """Predicts the classes of images."""

    def __init__(self, model: Any, signature: dict[str, Any]) -> None:
        self._model = model
        self.signature = signature

    def predict(self, rows: Sequence[Any]) -> dict[str, Any]:
        """Return the classes of images, which are base64 texts, data URLs or bytes."""
        import pandas as pd

        if not rows:
            return {"predictions": []}
        numbers = [self._describe(at, row) for at, row in enumerate(rows, 1)]
        frame = pd.DataFrame(numbers, columns=pictures.NAMES)
        classes = [str(name) for name in self._model.classes_]
        shares = self._model.predict_proba(frame)
        return {
            "predictions": learning.tidy(self._model.predict(frame)),
            "probabilities": [
                {name: round(float(share), 6) for name, share in zip(classes, row, strict=True)}
                for row in shares
            ],
        }

    def _describe(self, number: int, row: Any) -> Any:
        value = row.get("image") if isinstance(row, Mapping) else row
        if isinstance(value, str):
            text = value.partition("base64,")[2] or value
            try:
                value = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError) as error:
                raise CallerError(
                    f"Row {number}: 'image' must be the base64 text of a PNG or JPEG file."
                ) from error
        if not isinstance(value, bytes):
            raise CallerError(f'Row {number} must be an object such as {{"image": "<base64>"}}.')
        try:
            return pictures.describe(value)
        except image_folders.decoding_errors() as error:
            raise CallerError(
                f"Row {number}: the image cannot be read. Send PNG or JPEG."
            ) from error
