"""A folder that is there as it was, or as it shall be, whatever happens meanwhile."""

from __future__ import annotations

import ctypes
import os
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["replaced"]

# Of Linux's renameat2: paths are relative to the working folder, and change places.
_HERE, _EXCHANGE = -100, 2


@contextmanager
def replaced(
    path: Path, names: Collection[str], is_ours: Callable[[Path], bool]
) -> Iterator[Path]:
    """A folder to write to, which takes a path when all is written.

    Nothing but files of the given names is ever deleted.

    Parameters
    ----------
    path : Path
        A folder that is ours, or an empty one, or nothing; or a link to one.
    names : collection of str
        Files that such a folder may hold.
    is_ours : callable
        Whether a folder that holds some of these, and nothing else, is ours.

    Raises
    ------
    FileExistsError
        If something else is there.
    """
    path = path.resolve()
    _check_may_go(path, names, is_ours)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    folder.mkdir()
    try:
        yield folder
        for file in folder.iterdir():
            _sync(file)
        _sync(folder)
        _check_may_go(path, names, is_ours)
        _take(folder, path, names)
        _sync(path.parent)
    finally:
        # What was there before, or what a failure has left.
        _remove(folder, names)


def _check_may_go(path: Path, names: Collection[str], is_ours: Callable) -> None:
    """Raise unless nothing is lost where something else takes a path."""
    if not path.exists():
        return
    if not path.is_dir():
        raise FileExistsError(f"{path} exists and is no saved estimator.")
    found = sorted(path.iterdir())
    for file in found:
        if file.name not in names or not file.is_file():
            raise FileExistsError(
                f"{path} exists and is no saved estimator: it holds {file.name}."
            )
    if found and not is_ours(path):
        raise FileExistsError(f"{path} exists and is no saved estimator.")


def _remove(folder: Path, names: Collection[str]) -> None:
    """Remove a folder, if it holds nothing but files of these names."""
    with suppress(OSError):
        for name in names:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _take(folder: Path, path: Path, names: Collection[str]) -> None:
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
        _remove(aside, names)


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
