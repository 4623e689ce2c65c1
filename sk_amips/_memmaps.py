"""Memory-mapped arrays: sent as the name of their file, read without filling memory."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["MappedArray", "as_reference", "is_mapped", "opened", "release"]

# Folders that joblib shares arrays in, and deletes.
_TEMPORARY = "joblib_memmapping_folder_"


@dataclass
class MappedArray:
    """An array in a file.

    Attributes
    ----------
    file : str
        Absolute path.
    dtype : str
    shape : tuple of int
    offset : int
        Of the first element, in bytes.
    order : {"C", "F"}
    """

    file: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    order: str

    def open(self) -> np.memmap:
        """The array, read-only.

        Raises
        ------
        FileNotFoundError
            If the file is not there.
        """
        if not Path(self.file).exists():
            raise FileNotFoundError(
                f"The keys were pickled as a reference to {self.file}, which is not "
                "there. Put the file back, or pickle an estimator whose keys are in "
                "memory."
            )
        where = {"offset": self.offset, "order": self.order}
        return np.memmap(self.file, self.dtype, "r", shape=self.shape, **where)


def as_reference(array):
    """A reference to a memory-mapped array; anything else as it is."""
    root = _mapped(array)
    if root is None or root.filename is None or _TEMPORARY in str(root.filename):
        return array
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        return array
    # The root knows where the map begins; a part of it only where it is in memory.
    offset = root.offset + _start(array) - _start(root)
    return MappedArray(
        file=str(Path(root.filename).absolute()),
        dtype=array.dtype.str,
        shape=array.shape,
        offset=int(offset),
        order="C" if array.flags.c_contiguous else "F",
    )


def opened(array):
    """What :func:`as_reference` refers to."""
    return array.open() if isinstance(array, MappedArray) else array


def is_mapped(array) -> bool:
    """Whether an array lies in a file, and is read when it is looked at."""
    shards = getattr(array, "shards", (array,))
    return any(_mapped(shard) is not None for shard in shards)


def release(array, rows: slice | None = None) -> None:
    """Let go of the pages of a file that reading some rows has put into memory.

    They stay in the cache of the system, and are mapped again when they are read again.
    Without this, a pass over a file would come to hold all of it. Anything but an array
    that is mapped for reading is left alone.
    """
    if hasattr(array, "shards"):  # a ShardedArray
        for shard in array.shards if rows is None else array.parts(rows):
            release(shard)
        return
    root = _mapped(array)
    if root is None or root.mode != "r" or not hasattr(mmap, "MADV_DONTNEED"):
        return
    some = array if rows is None else array[rows]
    if not (some.size and some.flags.c_contiguous):
        some = root
    pages = root.base
    # The map begins ahead of the root, at a multiple of this.
    ahead = root.offset % mmap.ALLOCATIONGRANULARITY
    start = (ahead + _start(some) - _start(root)) // mmap.PAGESIZE * mmap.PAGESIZE
    length = min(some.nbytes + mmap.PAGESIZE, len(pages) - start)
    pages.madvise(mmap.MADV_DONTNEED, start, length)


def _mapped(array) -> np.memmap | None:
    """The array of a whole map that an array is, or is a part of."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
            return array
        array = array.base
    return None


def _start(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
