"""Images in folders per class, in a zip: find them, and describe each by numbers.

The numbers are colors and directions of edges, so that a simple model can learn from a few dozen
images without pretrained weights.
"""

import io
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from easymlnb.contract.errors import CallerError
from easymlnb.training import image_folders

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MAX_IMAGES = 20_000
MAX_BYTES = 50 * 2**20
"""Limits of the images in a zip, and of the bytes of one."""

WEIGHTS = "weights.safetensors"
MAX_WEIGHTS = 500 * 2**20
"""The file in the zip with trained weights, and its largest size."""

MIN_PER_CLASS = 5
SIDE = 64
"""Side in pixels to which images are scaled."""

CELLS = 4
DIRECTIONS = 8
COLORS = 8
"""Cells per side, directions of edges per cell, and bins per color."""

SHAPE = (
    "The zip must have one folder per class, such as cats/1.jpg, cats/2.jpg, dogs/1.jpg. "
    "Select the folders and compress them."
)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Images by class.

    - ``entries``: pairs of the name in the zip and the class
    - ``ignored``: files that are no images
    - ``weights``: the file with trained weights, if there is one
    """

    entries: list[tuple[str, str]]
    ignored: list[str] = field(default_factory=list)
    weights: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Number of images of each class."""
        return dict(sorted(Counter(label for _, label in self.entries).items()))


def find(archive: zipfile.ZipFile) -> Pictures:
    """Return the images of a zip by class; raises ``CallerError`` for other contents."""
    names = [name for name in image_folders.members(archive) if not image_folders.is_hidden(name)]
    weights = next((name for name in names if PurePosixPath(name).name == WEIGHTS), "")
    ignored = [name for name in names if name != weights and not image_folders.is_image(name)]
    found = Pictures(image_folders.by_class(names, MAX_IMAGES, SHAPE), ignored, weights)
    image_folders.check_counts(found.counts, MIN_PER_CLASS, SHAPE)
    return found


def open_zip(data: Any) -> zipfile.ZipFile:
    """Open a zip from bytes or a path; raises ``CallerError`` for another file."""
    return image_folders.open_zip(data, SHAPE)


def table(archive: zipfile.ZipFile, found: Pictures) -> "tuple[pd.DataFrame, list[str]]":
    """Return the descriptions and classes of images, and the names of unreadable ones."""
    import pandas as pd

    rows, labels, unreadable = read(archive, found, describe)
    frame = pd.DataFrame(rows, columns=NAMES)
    frame["class"] = labels
    return frame, unreadable


def read(
    archive: zipfile.ZipFile, found: Pictures, describe: "Callable[[bytes], np.ndarray]"
) -> "tuple[list[np.ndarray], list[str], list[str]]":
    """Return what describes the images, their classes, and the names of unreadable ones."""
    rows, labels, unreadable = [], [], []
    for name, label in found.entries:
        try:
            rows.append(describe(image_folders.read_member(archive, name, MAX_BYTES)))
            labels.append(label)
        except image_folders.decoding_errors():
            unreadable.append(name)
    if len(set(labels)) < 2:
        raise CallerError(
            f"{len(unreadable)} of {len(found.entries)} images cannot be read, such as "
            f"{unreadable[0][:60]!r}. Use PNG or JPEG files."
        )
    if unreadable:
        counts = Counter(labels)
        note = f" {len(unreadable)} files, such as {unreadable[0][:60]!r}, cannot be read."
        image_folders.check_counts(
            {label: counts[label] for label in found.counts}, MIN_PER_CLASS, SHAPE, note=note
        )
    return rows, labels, unreadable


def read_weights(archive: zipfile.ZipFile, found: Pictures) -> bytes:
    """Return the file with trained weights; raises ``CallerError`` if it is too large."""
    size = archive.getinfo(found.weights).file_size
    if size > MAX_WEIGHTS:
        raise CallerError(
            f"The file {WEIGHTS!r} has {size:,} bytes; at most {MAX_WEIGHTS:,} are allowed."
        )
    try:
        return archive.read(found.weights)
    except image_folders.decoding_errors() as error:
        raise CallerError(f"The file {WEIGHTS!r} in the zip is damaged or encrypted.") from error


def describe(data: bytes) -> "np.ndarray":
    """Return the description of an image; raises ``ValueError`` or ``OSError``."""
    import numpy as np

    pixels = scaled(data) / 255
    return np.concatenate([_colors(pixels), _edges(pixels.mean(axis=2))])


def scaled(data: bytes) -> "np.ndarray":
    """Return the pixels of a scaled image; raises ``ValueError`` or ``OSError``."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (4 * SIDE, 4 * SIDE))
        return np.array(image_folders.as_rgb(image).resize((SIDE, SIDE)))


def _colors(pixels: "np.ndarray") -> "np.ndarray":
    """Return the shares of dark to bright pixels of each color, and the means of each cell."""
    import numpy as np

    shares = [np.histogram(pixels[..., at], COLORS, (0, 1))[0] / SIDE**2 for at in range(3)]
    size = SIDE // CELLS
    cells = pixels.reshape(CELLS, size, CELLS, size, 3).mean(axis=(1, 3))
    return np.concatenate([*shares, cells.ravel()])


def _edges(gray: "np.ndarray") -> "np.ndarray":
    """Return, for each cell, how strong edges are in each direction."""
    import numpy as np

    down, right = np.gradient(gray)
    strength = np.hypot(down, right)
    angle = np.mod(np.arctan2(down, right), np.pi)
    bins = np.minimum((angle / np.pi * DIRECTIONS).astype(int), DIRECTIONS - 1)
    size = SIDE // CELLS
    made = np.zeros((CELLS, CELLS, DIRECTIONS))
    rows, columns = np.indices(gray.shape) // size
    np.add.at(made, (rows, columns, bins), strength)
    length = np.linalg.norm(made, axis=2, keepdims=True)
    return np.concatenate([(made / (length + 0.1)).ravel(), length.ravel() / size**2])


NAMES = [
    *(f"color {color}{at}" for color in "rgb" for at in range(COLORS)),
    *(f"cell {at} {color}" for at in range(CELLS * CELLS) for color in "rgb"),
    *(f"edge {at} {way}" for at in range(CELLS * CELLS) for way in range(DIRECTIONS)),
    *(f"edges {at}" for at in range(CELLS * CELLS)),
]
"""Names of the numbers that describe an image."""
