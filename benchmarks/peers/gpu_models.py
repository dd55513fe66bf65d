"""A U-Net and a transformer encoder with random weights, as they are served and in a bare loop."""

import hashlib
import os
from functools import cache
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for the same weights again

import numpy
import torch
from torch import Tensor, nn

IMAGE = int(os.environ.get("GPU_IMAGE", "512"))
"""Pixels of each side of an image."""

BASE = int(os.environ.get("GPU_BASE", "64"))
"""Channels of the U-Net's first level."""

TOKENS = int(os.environ.get("GPU_TOKENS", "512"))
WIDTH = int(os.environ.get("GPU_WIDTH", "1024"))
LAYERS = int(os.environ.get("GPU_LAYERS", "24"))
"""Tokens of each text, and the size of the encoder."""

WORDS = 30_000
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    torch.set_num_threads(1)  # two processes share the cores
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Block(nn.Sequential):
    """Two convolutions."""

    def __init__(self, inner: int, outer: int) -> None:
        layers: list[nn.Module] = []
        for channels in (inner, outer):
            layers += [nn.Conv2d(channels, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU()]
        super().__init__(*layers)


class UNet(nn.Module):
    """Five levels, two classes."""

    def __init__(self, base: int) -> None:
        super().__init__()
        sizes = [base * 2**level for level in range(5)]
        self.down = nn.ModuleList(Block(a, b) for a, b in zip([1, *sizes[:-1]], sizes, strict=True))
        pairs = list(zip(sizes[:0:-1], sizes[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairs)
        self.join = nn.ModuleList(Block(2 * b, b) for _, b in pairs)
        self.head = nn.Conv2d(base, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for block in self.down:
            x = block(x if not kept else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        for up, join, same in zip(self.up, self.join, kept[-2::-1], strict=True):
            x = join(torch.cat([up(x), same], 1))
        found: Tensor = self.head(x)
        return found


class Encoder(nn.Module):
    """A transformer encoder that returns one vector for each text."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, max(1, WIDTH // 64), 4 * WIDTH, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(self.words(x)).mean(1)
        return found


@cache
def network(name: str, kind: str) -> nn.Module:
    """Return a network on its device, the same for all."""
    torch.manual_seed(0)
    made = UNet(BASE) if name == "unet" else Encoder()
    return made.eval().to(DEVICE, TYPES[kind])


@torch.inference_mode()
def predict(name: str, kind: str, batch: Any) -> Any:
    """Return a mask for each image, or a vector for each text; arrays in, arrays out."""
    data = torch.from_numpy(numpy.asarray(batch)).to(DEVICE)
    if name == "unet":
        found = network(name, kind)(data.to(TYPES[kind]).div_(255).unsqueeze(1))
        return found.argmax(1).to(torch.uint8).cpu().numpy()
    return network(name, kind)(data.int()).float().cpu().numpy()


def items(name: str, count: int) -> list[Any]:
    """Return inputs."""
    chance = numpy.random.default_rng(0)
    if name == "unet":
        return list(chance.integers(0, 256, (count, IMAGE, IMAGE), dtype="uint8"))
    return list(chance.integers(0, WORDS, (count, TOKENS), dtype="int32"))


def fit(load: Any, steps: int, after: Any) -> str:
    """Train a network with dropout; return a digest of its weights.

    ``load`` returns the state to continue with, or ``None``; ``after`` gets that of each step.
    """
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 1))
    net.to(DEVICE)
    steps_of = torch.optim.Adam(net.parameters(), 1e-3)
    done, start = 0, load()  # after all that uses random numbers, whose state it sets
    if start is not None:
        net.load_state_dict(start["net"])
        steps_of.load_state_dict(start["steps_of"])
        done = start["done"]
    for step in range(done, steps):
        x = torch.randn(256, 256, generator=torch.Generator().manual_seed(step)).to(DEVICE)
        loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
        steps_of.zero_grad()
        loss.backward()
        steps_of.step()
        state = {"net": net.state_dict(), "steps_of": steps_of.state_dict(), "done": step + 1}
        after(step + 1, state)
    digest = hashlib.sha256()
    for value in net.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()
