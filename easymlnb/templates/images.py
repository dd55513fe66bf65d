"""The template ``images``: tell images apart, from a zip with one folder per class."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from easymlnb.contract import installation
from easymlnb.contract.errors import CallerError
from easymlnb.templates import learning, pictures
from easymlnb.templates.config import NETWORK, Config
from easymlnb.templates.learning import Learned, Progress
from easymlnb.training import image_folders

if TYPE_CHECKING:
    from easymlnb.training.candidates import Candidate
    from easymlnb.training.datasets import Dataset

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
    progress(0.0, "Reading the images")
    with pictures.open_zip(data) as archive:
        found = pictures.find(archive)
        if config.algorithm == NETWORK:
            made, candidates, unreadable, notes = _for_network(archive, found, config)
        else:
            made, candidates, unreadable, notes = _for_numbers(archive, found, config)
    chosen = learning.choose(made, config, progress, candidates)
    if unreadable:
        notes.append(f"{len(unreadable)} images cannot be read, such as {unreadable[0][:60]!r}.")
    chosen.report["notes"][:0] = notes
    signature = {
        "template": NAME,
        "question": "classification",
        "inputs": [{"name": "image", "type": "string", "kind": "image", "required": True}],
        "outputs": [{"name": TARGET, "type": "string"}],
        "classes": made.classes,
        "algorithm": chosen.name,
    }
    return Learned(
        chosen.evaluation.model,
        chosen.evaluation.metrics,
        signature,
        {**chosen.report, "question": "classification", "target": TARGET},
    )


Prepared = tuple["Dataset", "list[Candidate]", list[str], list[str]]
"""Data, candidates, files that cannot be read, and notes."""


def _for_numbers(archive: Any, found: pictures.Pictures, config: Config) -> Prepared:
    """Return images as numbers that describe them, and the usual candidates."""
    from easymlnb.training.datasets import dataset

    table, unreadable = pictures.table(archive, found)
    made = dataset(table, TARGET, task="classification", time="")
    notes = []
    if found.weights:
        notes.append(f"The file {pictures.WEIGHTS!r} is used by the algorithm 'network' only.")
    return made, learning.candidates_of(made, config), unreadable, notes


def _for_network(archive: Any, found: pictures.Pictures, config: Config) -> Prepared:
    """Return the numbers of images, and the network with the baseline."""
    if packages := installation.missing("torch", "safetensors"):
        hint = installation.install_hint("The algorithm 'network'", *packages)
        raise CallerError(f"{hint}.")
    import numpy as np
    import pandas as pd

    from easymlnb.training import image_network as networks
    from easymlnb.training.candidates import Candidate, baselines_for
    from easymlnb.training.datasets import dataset

    weights, notes = {}, []
    if found.weights:
        weights = networks.read_weights(pictures.read_weights(archive, found))
        notes.append(f"The network began with the weights in {pictures.WEIGHTS!r}.")
    images, labels, unreadable = pictures.read(archive, found, pictures.scaled)
    table = pd.DataFrame({networks.ROW: range(len(images)), TARGET: labels})
    made = dataset(table, TARGET, task="classification", time="")
    pixels = np.stack(images)
    network = Candidate(
        NETWORK,
        lambda: networks.ImageNetwork(pixels, weights, config.seed),
        "a convolutional network",
    )
    return made, [*baselines_for(made), network], unreadable, notes


def build(**config: Any) -> Any:
    """Return a network that gets stored weights."""
    from easymlnb.training import image_network as networks

    return networks.build(**config)


class ImagePredictor:
    """Predicts the classes of images."""

    def __init__(self, model: Any, signature: dict[str, Any]) -> None:
        self._is_network = signature.get("algorithm") == NETWORK
        if self._is_network and not hasattr(model, "probabilities"):
            from easymlnb.training import image_network as networks

            model = networks.ImageNetwork.loaded(model, signature["classes"])
        self._model = model
        self.signature = signature

    def predict(self, rows: Sequence[Any]) -> dict[str, Any]:
        """Return the classes of images, which are base64 texts, data URLs or bytes."""
        if not rows:
            return {"predictions": []}
        described = [self._describe(at, row) for at, row in enumerate(rows, 1)]
        shares = self._probabilities(described)
        classes = [str(name) for name in self._model.classes_]
        return {
            "predictions": [classes[at] for at in shares.argmax(axis=1)],
            "probabilities": [
                {name: round(float(share), 6) for name, share in zip(classes, row, strict=True)}
                for row in shares
            ],
        }

    def _probabilities(self, described: list[Any]) -> Any:
        import numpy as np
        import pandas as pd

        if self._is_network:
            return self._model.probabilities(np.stack(described))
        return self._model.predict_proba(pd.DataFrame(described, columns=pictures.NAMES))

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
            return pictures.scaled(value) if self._is_network else pictures.describe(value)
        except image_folders.decoding_errors() as error:
            raise CallerError(f"Row {number}: {image_folders.problem_of(error)}") from error
