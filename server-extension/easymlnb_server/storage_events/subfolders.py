"""Files below a folder in which others can write: no link that they make leads out of it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_OPEN = os.O_RDONLY | os.O_DIRECTORY


@contextlib.contextmanager
def opened(root: Path, relative: str | PurePosixPath, *, create: bool = False) -> Iterator[int]:
    """Open the folder at a relative path below ``root``; links below it are not followed.

    Raises ``FileNotFoundError`` or ``NotADirectoryError`` without ``create``.
    """
    handle = os.open(root, _OPEN)
    try:
        for name in PurePosixPath(relative).parts:
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=handle)
                    os.fsync(handle)
            inner = os.open(name, _OPEN | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def has_room(root: Path, path: str) -> bool:
    """Return whether the folders of the file at ``path`` below ``root`` exist or can be created."""
    try:
        with opened(root, PurePosixPath(path).parent):
            return True
    except FileNotFoundError:
        return True
    except NotADirectoryError:  # a file, or a link, has the name of a folder
        return False


def move(source: Path, target: Path, path: str, to: str) -> None:
    """Move the file at ``path`` below ``source`` to ``to`` below ``target``; it is on disk then.

    Raises ``FileNotFoundError`` or ``NotADirectoryError`` for a file that is gone.
    """
    old, new = PurePosixPath(path), PurePosixPath(to)
    with opened(source, old.parent) as from_folder, opened(target, new.parent, create=True) as into:
        os.rename(old.name, new.name, src_dir_fd=from_folder, dst_dir_fd=into)
        os.fsync(into)
        os.fsync(from_folder)


def write(root: Path, path: str, chunks: Iterator[bytes]) -> None:
    """Write the file at ``path`` below ``root``: readers see either the whole file or none."""
    name = PurePosixPath(path).name
    temporary = f".{name}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with opened(root, PurePosixPath(path).parent, create=True) as folder:
        with contextlib.suppress(FileNotFoundError):  # of a crash
            os.unlink(temporary, dir_fd=folder)
        try:
            with os.fdopen(os.open(temporary, flags, 0o666, dir_fd=folder), "wb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)


def remove_empty(root: Path) -> None:
    """Remove a folder and those below it, as far as they have no files."""
    for folder, _, _ in os.walk(root, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
