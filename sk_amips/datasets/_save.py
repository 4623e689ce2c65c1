"""Write a matrix of vectors in the format that a file's suffix names."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import numpy as np
from sklearn.utils import check_array

from .._validation import row_blocks
from ._files import IN_ONE_PIECE, ROW_BY_ROW, checked_suffix

__all__ = ["save_vectors"]


def save_vectors(path: str | os.PathLike, X) -> None:
    """Write vectors to a file that :func:`load_vectors` reads.

    Parameters
    ----------
    path : str or path-like
        File whose suffix says in which format; it is replaced once the new one is
        complete.
    X : array-like of shape (n, d)
        Finite numbers. ``.npy`` keeps their type; formats of float32 round them, and
        formats of integers take integers that fit.

    Raises
    ------
    ValueError
        If the suffix is another one, or the format cannot hold the numbers.

    See Also
    --------
    load_vectors : Map such a file into memory.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from sk_amips.datasets import load_vectors, save_vectors
    >>> keys = np.arange(6, dtype=np.float32).reshape(3, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "keys.fbin")
    ...     save_vectors(path, keys)
    ...     bool((load_vectors(path) == keys).all())
    True
    """
    path = Path(path)
    suffix = checked_suffix(path)
    X = check_array(X, input_name="X")
    dtype = np.dtype({**ROW_BY_ROW, **IN_ONE_PIECE}.get(suffix, X.dtype))
    if suffix != ".npy":
        _check_fits(X, dtype, suffix)
    # X may be a map of the very file that is replaced.
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            if suffix == ".npy":
                np.save(file, X)
            else:
                _write(file, X, dtype, row_by_row=suffix in ROW_BY_ROW)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _check_fits(X, dtype, suffix) -> None:
    """Raise unless the numbers of a format include these."""
    if dtype.kind != "f" and X.dtype.kind not in "biu":
        raise ValueError(f"{suffix} holds {dtype.name}, got X of {X.dtype}.")
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    least, most = X.min(), X.max()
    if least < limits.min or most > limits.max:
        raise ValueError(
            f"{suffix} holds {dtype.name}, got X with values from {least} to {most}."
        )


def _write(file, X, dtype, row_by_row) -> None:
    """Write the header, or that of each row, and the numbers."""
    n, d = X.shape
    if not row_by_row:
        np.array([n, d], dtype="<u4").tofile(file)
    header = np.array([d], dtype="<i4").view(np.uint8)
    for rows in row_blocks(n):
        numbers = np.ascontiguousarray(X[rows], dtype=dtype).view(np.uint8)
        if row_by_row:
            headers = np.broadcast_to(header, (len(numbers), 4))
            numbers = np.hstack([headers, numbers])
        numbers.tofile(file)
