"""A folder that is there as it was, or as it shall be, whatever happens meanwhile."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replaced"]

# Of Linux's renameat2: paths are relative to the working folder, and change places.
_HERE, _EXCHANGE = -100, 2


@contextmanager
def replaced(path: Path, mark: str) -> Iterator[Path]:
    """A folder to write to, which takes a path when all is written.

    Parameters
    ----------
    path : Path
        A folder that holds a file ``mark``, or none, or nothing.
    mark : str

    Raises
    ------
    FileExistsError
        If something else is there.
    """
    path = path.absolute()
    is_ours = (path / mark).is_file()
    is_free = not path.exists() or (path.is_dir() and not any(path.iterdir()))
    if not (is_ours or is_free):
        raise FileExistsError(f"{path} exists and is no saved estimator.")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    folder.mkdir()
    try:
        yield folder
        for file in folder.iterdir():
            _sync(file)
        _sync(folder)
        _take(folder, path)
        _sync(path.parent)
    finally:
        # What was there before, or what a failure has left.
        shutil.rmtree(folder, ignore_errors=True)


def _take(folder: Path, path: Path) -> None:
    """Put a folder at a path; what was there takes its place."""
    if not path.exists():
        folder.rename(path)
    elif not _exchanged(folder, path):
        # Not at once, but as near to it as this system comes.
        aside = folder.with_name(f"{folder.name}.old")
        path.rename(aside)
        try:
            folder.rename(path)
        except BaseException:
            aside.rename(path)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two paths have changed places, at once."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    paths = os.fsencode(one), os.fsencode(other)
    return renameat2(_HERE, paths[0], _HERE, paths[1], _EXCHANGE) == 0


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
