"""Images in a folder per class, from a zip or a folder."""

import io
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from easymlnb.contract import installation
from easymlnb.contract.errors import CallerError
from easymlnb.contract.options import named_options
from easymlnb.types.image_encoding import upright

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
MAX_IMAGES = 50_000
MAX_BYTES = 100 * 2**20
"""Limits of the number of images, and of the bytes of one."""

PARTS = frozenset(("train", "training", "test", "testing", "val", "valid", "validation"))
"""Names of folders with the parts of a data set, which are not its classes."""

MIN_PER_CLASS = 2

SHAPE = "Put the images of each class into a folder with its name: cats/1.jpg, dogs/1.jpg."


@dataclass(frozen=True, slots=True)
class ImageFolders:
    """Images with their classes.

    Attributes
    ----------
    images : list of numpy.ndarray
        RGB images with 8 bits.
    classes : list of str
        The class of each image.
    names : list of str
        The file of each image.
    unreadable : list of str
        Files that are no images, although their names say so.
    """

    images: "list[np.ndarray]"
    classes: list[str]
    names: list[str]
    unreadable: list[str]


@named_options
def read_image_folders(
    source: Any, *, size: int | tuple[int, int] | None = None, min_per_class: int = MIN_PER_CLASS
) -> ImageFolders:
    """Return the images of a folder, or of a zip, that has a folder for each class.

    Parameters
    ----------
    source : str, Path, bytes or File
        A folder, or a zip.
    size : int or tuple of int, optional
        Side, or width and height, to which images are scaled.
    min_per_class : int, default 2
        Smallest number of images of a class.

    Returns
    -------
    ImageFolders
        ``images``, ``classes``, ``names`` and ``unreadable``.

    Raises
    ------
    CallerError
        There are no images, no folders, only one class, or a class has too few images.
    """
    installation.require("ml.read_image_folders", "numpy", "PIL")
    read, names = _source(source)
    found = by_class(names)
    made = ImageFolders([], [], [], [])
    for name, label in found:
        try:
            made.images.append(_decoded(read(name), size))
        except decoding_errors():
            made.unreadable.append(name)
            continue
        made.classes.append(label)
        made.names.append(name)
    _check_classes(made, {label for _, label in found}, min_per_class)
    return made


def _source(source: Any) -> tuple[Callable[[str], bytes], list[str]]:
    """Return what reads a file by name, and the names of all files."""
    data = getattr(source, "data", source)
    if isinstance(data, str | os.PathLike) and Path(data).is_dir():
        root = Path(data)
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        return (
            lambda name: _limited((root / name).read_bytes()),
            [path.relative_to(root).as_posix() for path in paths],
        )
    if isinstance(data, str | os.PathLike) and not Path(data).exists():
        raise CallerError(f"There is no folder or zip {os.fspath(data)!r}.")
    archive = open_zip(data)
    return partial(read_member, archive), members(archive)


def open_zip(data: Any, shape: str = SHAPE) -> zipfile.ZipFile:
    """Open a zip from bytes or a path; raises ``CallerError`` with ``shape`` for another file."""
    try:
        return zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data)
    except (zipfile.BadZipFile, OSError) as error:
        raise CallerError(f"The file is not a zip, or it is damaged. {shape}") from error


def members(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the files in a zip."""
    return [entry.filename for entry in archive.infolist() if not entry.is_dir()]


def read_member(archive: zipfile.ZipFile, name: str, most: int = MAX_BYTES) -> bytes:
    """Return a file of a zip; raises ``ValueError`` if it has more than ``most`` bytes."""
    if archive.getinfo(name).file_size > most:
        raise ValueError("too large")
    return archive.read(name)


def _limited(content: bytes) -> bytes:
    if len(content) > MAX_BYTES:
        raise ValueError("too large")
    return content


def by_class(names: list[str], most: int = MAX_IMAGES, shape: str = SHAPE) -> list[tuple[str, str]]:
    """Return the images with their classes: the names of the outermost folders that differ.

    Raises ``CallerError`` with ``shape``, which says how the files should be.
    """
    parts = [(name, PurePosixPath(name).parts) for name in names if is_image(name)]
    if not parts:
        raise CallerError(f"There are no images among {len(names)} files. {shape}")
    if len(parts) > most:
        raise CallerError(f"There are {len(parts):,} images; {most:,} are allowed.")
    while all(len(one) > 2 for _, one in parts) and len({one[0] for _, one in parts}) == 1:
        parts = [(name, one[1:]) for name, one in parts]  # a folder around all classes
    loose = [name for name, one in parts if len(one) < 2]
    if loose:
        raise CallerError(
            f"{len(loose)} images, such as {loose[0][:60]!r}, are in no folder. {shape}"
        )
    folders = {one[0] for _, one in parts}
    if all(len(one) > 2 for _, one in parts) and {name.lower() for name in folders} <= PARTS:
        names_of = ", ".join(map(repr, sorted(folders)))
        raise CallerError(
            f"The outermost folders are {names_of}, which are no classes. Merge them: the images "
            f"for testing are chosen by chance. {shape}"
        )
    return [(name, one[0]) for name, one in parts]


def is_image(name: str) -> bool:
    """Return whether a file is an image, by its name, and is not hidden."""
    return PurePosixPath(name).suffix.lower() in ENDINGS and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Return whether a file is hidden, or one that macOS adds to zips."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def decoding_errors() -> tuple[type[Exception], ...]:
    """Return the errors that damaged, encrypted and huge files raise."""
    import PIL.Image

    return (
        *(ValueError, OSError, SyntaxError, RuntimeError, EOFError),
        *(struct.error, zlib.error, zipfile.BadZipFile, PIL.Image.DecompressionBombError),
    )


def problem_of(error: Exception) -> str:
    """Return what is wrong with an image for which one of these errors was raised."""
    from PIL import Image

    if isinstance(error, Image.DecompressionBombError) and Image.MAX_IMAGE_PIXELS:
        most = 2 * Image.MAX_IMAGE_PIXELS // 10**6
        return f"the image has more than {most} million pixels. Send a smaller one."
    return "the image cannot be read. Send PNG or JPEG."


def _decoded(content: bytes, size: int | tuple[int, int] | None) -> "np.ndarray":
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        picture = as_rgb(image)
        if size is not None:
            picture = picture.resize((size, size) if isinstance(size, int) else size)
        return np.asarray(picture)


def as_rgb(image: "Image") -> "Image":
    """Return an opened image upright and with 8 bits per color.

    An image with more bits becomes so bright that its brightest pixel is white: the numbers of
    cameras do not say what white is.
    """
    import numpy as np
    from PIL import Image

    image.load()  # the orientation may be at the end of the file
    image = upright(image)  # first, because an image made from pixels has no orientation
    if image.mode.startswith(("I", "F")):
        pixels = np.nan_to_num(np.asarray(image, dtype="float64"), posinf=0.0, neginf=0.0).clip(0)
        image = Image.fromarray(np.rint(pixels * (255 / (pixels.max() or 1.0))).astype("uint8"))
    return image.convert("RGB")


def _check_classes(made: ImageFolders, expected: set[str], least: int) -> None:
    unreadable = ""
    if made.unreadable:
        name = made.unreadable[0]
        unreadable = f" {len(made.unreadable)} files, such as {name!r}, cannot be read."
    counts = Counter(made.classes)
    check_counts({label: counts[label] for label in expected}, least, note=unreadable)


def check_counts(
    counts: Mapping[str, int], least: int, shape: str = SHAPE, *, note: str = ""
) -> None:
    """Raise ``CallerError`` if there is only one class, or one has fewer images than ``least``."""
    if len(counts) == 1:
        raise CallerError(f"All images are in one folder, {next(iter(counts))[:60]!r}. {shape}")
    few = [f"{label[:60]!r} ({counts[label]})" for label in sorted(counts) if counts[label] < least]
    if few:
        raise CallerError(
            f"Each class needs at least {least} images; too few are in: {', '.join(few[:5])}. Add "
            f"images, or remove the folders.{note}"
        )
