"""A small convolutional network that tells images apart, in torch.

It is imported only where a model of the algorithm ``network`` is trained or used.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from easymlnb.contract.errors import CallerError

if TYPE_CHECKING:
    import pandas as pd

CHANNELS = (16, 32, 64)
BATCH = 32
RATE = 2e-3
STEPS = 12_000
"""Images that are shown in all epochs together, within the limits of the number of epochs."""

EPOCHS = (5, 40)
SHIFT = 4
"""Pixels by which images are moved at random while training."""

HEAD = "head."
"""Begin of the names of weights that belong to the classes."""

ROW = "row"
"""The column with the number of an image."""


def build(channels: Sequence[int], classes: int) -> nn.Module:
    """Return a network without training."""
    blocks: list[nn.Module] = []
    before = 3
    for size in channels:
        stride = 2 if before == 3 else 1
        blocks += [
            nn.Conv2d(before, size, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(size),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        before = size
    features = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return _Network(features, nn.Linear(before, classes))


class _Network(nn.Module):
    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.features(images))
        return found


class ImageNetwork:
    """A network as an estimator: it is fitted on the rows of images by their numbers.

    Parameters
    ----------
    pixels
        Images as 8-bit RGB, by number.
    weights
        Trained weights to begin with; those of other shapes are left out.
    seed
        Of the first weights, and of the order and the changes of images.
    """

    def __init__(
        self,
        pixels: np.ndarray | None = None,
        weights: Mapping[str, torch.Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        self.classes_ = np.array([], dtype=object)
        self.config: dict[str, Any] = {}
        self.module: nn.Module = nn.Identity()
        self._pixels = pixels
        self._weights = weights or {}
        self._seed = seed

    @classmethod
    def loaded(cls, module: nn.Module, classes: Sequence[str]) -> "ImageNetwork":
        """Return a trained network."""
        made = cls()
        made.module, made.classes_ = module.eval(), np.array(classes, dtype=object)
        return made

    def fit(self, x: "pd.DataFrame", y: "pd.Series") -> "ImageNetwork":
        """Train on some of the images."""
        self.classes_, targets = np.unique(np.asarray(y, dtype=str), return_inverse=True)
        self.classes_ = self.classes_.astype(object)
        self.config = {"channels": list(CHANNELS), "classes": len(self.classes_)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self.module = build(**self.config)
            take_weights(self.module, self._weights)
            _train(self.module, _tensor(self._of(x)), torch.from_numpy(targets))
        self.module.eval()
        return self

    def predict(self, x: "pd.DataFrame") -> np.ndarray:
        """Return the classes of images by number."""
        found: np.ndarray = self.classes_[self.predict_proba(x).argmax(axis=1)]
        return found

    def predict_proba(self, x: "pd.DataFrame") -> np.ndarray:
        """Return the probabilities of the classes of images by number."""
        return self.probabilities(self._of(x))

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes of images."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(pixels), 8 * BATCH):
                found = self.module(_tensor(pixels[start : start + 8 * BATCH]))
                parts.append(torch.softmax(found.double(), dim=1).numpy())
        return np.concatenate(parts)

    def _of(self, x: "pd.DataFrame") -> np.ndarray:
        assert self._pixels is not None
        found: np.ndarray = self._pixels[x[ROW].to_numpy()]
        return found

    def __getstate__(self) -> Any:
        return self.module.state_dict()  # its size is that of the stored model


def take_weights(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> int:
    """Set the weights whose names and shapes fit, without those of the classes; return how many."""
    own = module.state_dict()
    fitting = {
        name: value
        for name, value in weights.items()
        if name in own and own[name].shape == value.shape and not name.startswith(HEAD)
    }
    module.load_state_dict(fitting, strict=False)
    return len(fitting)


def read_weights(data: bytes) -> dict[str, torch.Tensor]:
    """Return trained weights from a file; raises ``CallerError`` if none of them fits."""
    import safetensors.torch

    try:
        weights = safetensors.torch.load(data)
    except Exception as error:  # its own error is a plain Exception
        raise CallerError(
            "The file 'weights.safetensors' cannot be read. Use the file 'model.safetensors' of a "
            "version that this template has trained with the algorithm 'network'."
        ) from error
    if not take_weights(build(CHANNELS, 2), weights):
        raise CallerError(
            f"None of the {len(weights)} tensors in 'weights.safetensors' fits the network. Use "
            "the file 'model.safetensors' of a version that this template has trained with the "
            "algorithm 'network'."
        )
    return weights


def _tensor(pixels: np.ndarray) -> torch.Tensor:
    """Return images as numbers from -1 to 1, colors first."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def _train(module: nn.Module, images: torch.Tensor, targets: torch.Tensor) -> None:
    epochs = min(EPOCHS[1], max(EPOCHS[0], STEPS // len(images)))
    batches = -(-len(images) // BATCH)
    optimizer = torch.optim.AdamW(module.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * batches)
    counts = torch.bincount(targets).float()
    loss = nn.CrossEntropyLoss(weight=len(targets) / (len(counts) * counts))
    module.train()
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(images)), BATCH):
            optimizer.zero_grad()
            loss(module(_changed(images[rows])), targets[rows]).backward()
            optimizer.step()
            schedule.step()


def _changed(images: torch.Tensor) -> torch.Tensor:
    """Return images that are moved, and mirrored or not, at random."""
    if torch.rand(()) < 0.5:
        images = images.flip(3)
    down, right = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
    return images.roll((down, right), (2, 3))
