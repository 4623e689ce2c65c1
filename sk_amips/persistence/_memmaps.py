"""Memory-mapped arrays in pickles: the name of the file in place of its contents."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["MappedArray", "as_reference"]

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
    if not isinstance(array, np.memmap) or not getattr(array, "filename", None):
        return array
    contiguous = array.flags.c_contiguous or array.flags.f_contiguous
    if not contiguous or _TEMPORARY in str(array.filename):
        return array
    root = array
    while isinstance(root.base, np.memmap):
        root = root.base
    if not isinstance(root.base, mmap.mmap):
        return array
    # The root knows where the map begins; a part of it only where it is in memory.
    start = root.__array_interface__["data"][0]
    offset = root.offset + array.__array_interface__["data"][0] - start
    return MappedArray(
        file=str(Path(array.filename).absolute()),
        dtype=array.dtype.str,
        shape=array.shape,
        offset=int(offset),
        order="C" if array.flags.c_contiguous else "F",
    )
