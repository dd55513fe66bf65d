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

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
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
    files = [info for info in archive.infolist() if not info.is_dir() and _is_wanted(info.filename)]
    images = [info for info in files if PurePosixPath(info.filename).suffix.lower() in ENDINGS]
    weights = next((info.filename for info in files if is_weights(info.filename)), "")
    known = {info.filename for info in images} | {weights}
    ignored = [info.filename for info in files if info.filename not in known]
    if not images:
        raise CallerError(f"The zip has no images ({len(files)} other files). {SHAPE}")
    if len(images) > MAX_IMAGES:
        raise CallerError(f"The zip has {len(images):,} images; {MAX_IMAGES:,} are allowed.")
    entries = [(info.filename, PurePosixPath(info.filename).parts[:-1]) for info in images]
    while len({folders[:1] for _, folders in entries}) == 1 and all(
        len(folders) > 1 for _, folders in entries
    ):
        entries = [(name, folders[1:]) for name, folders in entries]  # one folder around all
    loose = [name for name, folders in entries if not folders]
    if loose:
        raise CallerError(
            f"{len(loose)} images such as {loose[0][:60]!r} are in no folder. {SHAPE}"
        )
    return _checked(Pictures([(name, folders[0]) for name, folders in entries], ignored, weights))


def is_weights(name: str) -> bool:
    """Return whether a file has trained weights for the algorithm ``network``."""
    return PurePosixPath(name).name == WEIGHTS


def _is_wanted(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return not any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _checked(found: Pictures) -> Pictures:
    counts = found.counts
    if len(counts) == 1:
        only = next(iter(counts))
        raise CallerError(f"All images are in one folder, {only[:40]!r}. {SHAPE}")
    few = {label: count for label, count in counts.items() if count < MIN_PER_CLASS}
    if few:
        listed = ", ".join(f"{label[:40]!r} ({count})" for label, count in list(few.items())[:5])
        raise CallerError(
            f"Classes with fewer than {MIN_PER_CLASS} images: {listed}. Add images, or remove the "
            "folders."
        )
    return found


def open_zip(data: Any) -> zipfile.ZipFile:
    """Open a zip from bytes or a path; raises ``CallerError`` for another file."""
    try:
        return zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data)
    except (zipfile.BadZipFile, OSError) as error:
        raise CallerError(f"The file is not a zip, or it is damaged. {SHAPE}") from error


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
        info = archive.getinfo(name)
        try:
            if info.file_size > MAX_BYTES:
                raise ValueError("too large")
            rows.append(describe(archive.read(name)))
            labels.append(label)
        except (ValueError, OSError, zipfile.BadZipFile, SyntaxError):
            unreadable.append(name)
    if len(set(labels)) < 2:
        raise CallerError(
            f"{len(unreadable)} of {len(found.entries)} images cannot be read, such as "
            f"{unreadable[0][:60]!r}. Use PNG or JPEG files."
        )
    return rows, labels, unreadable


def read_weights(archive: zipfile.ZipFile, found: Pictures) -> bytes:
    """Return the file with trained weights; raises ``CallerError`` if it is too large."""
    size = archive.getinfo(found.weights).file_size
    if size > MAX_WEIGHTS:
        raise CallerError(
            f"The file {WEIGHTS!r} has {size:,} bytes; at most {MAX_WEIGHTS:,} are allowed."
        )
    return archive.read(found.weights)


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
        return np.array(image.convert("RGB").resize((SIDE, SIDE)))


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
