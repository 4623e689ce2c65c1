"""One matrix of vectors in a file: NumPy's format, and those of the benchmarks."""

from __future__ import annotations

import os
from pathlib import Path
from tokenize import TokenError

import numpy as np

__all__ = ["IN_ONE_PIECE", "ROW_BY_ROW", "checked_suffix", "load_vectors"]

# Each row is preceded by its number of features.
ROW_BY_ROW = {".fvecs": "<f4", ".bvecs": "u1", ".ivecs": "<i4"}
# Numbers of rows and of features come first.
IN_ONE_PIECE = {".fbin": "<f4", ".u8bin": "u1", ".i8bin": "i1", ".ibin": "<i4"}
_SUFFIXES = (".npy", *ROW_BY_ROW, *IN_ONE_PIECE)
# What NumPy raises at a header of .npy that makes no sense.
_BAD_HEADER = (ValueError, TypeError, ArithmeticError, SyntaxError, TokenError)
# Rows whose number of features is looked at; each costs a page of the file.
_LOOKED_AT = 1000


def load_vectors(
    path: str | os.PathLike, *, mmap_mode: str | None = "r"
) -> np.ndarray | np.memmap:
    """Map a file of vectors into memory, as a matrix.

    Only what is used is read from the disk, so that the file may be larger than memory.
    The estimators take such keys by reference.

    Parameters
    ----------
    path : str or path-like
        File whose suffix says what it holds: ``.npy``; ``.fvecs``, ``.bvecs`` or
        ``.ivecs``, in float32, uint8 or int32 [1]_; ``.fbin``, ``.u8bin``, ``.i8bin``
        or ``.ibin``, in float32, uint8, int8 or int32 [2]_. An ``.ibin`` may hold the
        distances of neighbours after their rows; these are not read.
    mmap_mode : {"r", "c"} or None, default="r"
        "r" maps the file for reading, "c" lets the array in memory be changed and never
        the file. None reads all of it.

    Returns
    -------
    X : memmap or ndarray of shape (n, d)
        In the type that the file holds. Rows of the ``.*vecs`` formats are not adjacent
        in memory.

    Raises
    ------
    ValueError
        If the suffix is another one, or the file is truncated, empty, or contradicts
        itself. Of the ``.*vecs`` formats the width of up to 1000 rows is compared,
        the first and the last among them.

    See Also
    --------
    save_vectors : Write such a file.
    load_hdf5 : Keys, queries and neighbours of a benchmark, in one file.

    References
    ----------
    .. [1] Datasets for approximate nearest neighbor search,
       http://corpus-texmex.irisa.fr.
    .. [2] Billion-scale approximate nearest neighbor search challenge,
       https://big-ann-benchmarks.com.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from sk_amips.datasets import load_vectors, save_vectors
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "keys.fvecs")
    ...     save_vectors(path, np.eye(3))
    ...     load_vectors(path, mmap_mode=None)
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    if mmap_mode not in ("r", "c", None):
        raise ValueError(f"mmap_mode must be 'r', 'c' or None, got {mmap_mode!r}.")
    path, mode = Path(path), mmap_mode or "r"
    suffix = checked_suffix(path)
    if suffix == ".npy":
        X = _map_npy(path, mode)
    elif suffix in ROW_BY_ROW:
        X = _map_row_by_row(path, np.dtype(ROW_BY_ROW[suffix]), mode)
    else:
        X = _map_in_one_piece(path, np.dtype(IN_ONE_PIECE[suffix]), mode)
    return X if mmap_mode else np.array(X)


def checked_suffix(path: Path) -> str:
    """The suffix of a file, in lower case, of a format that is known."""
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise ValueError(f"path must end in one of {', '.join(_SUFFIXES)}, got {path}.")
    return suffix


def _map_npy(path, mode):
    try:
        with np.errstate(over="raise"):
            X = np.lib.format.open_memmap(path, mode=mode)
    except _BAD_HEADER as error:
        raise ValueError(f"{path} is not a whole .npy file: {error}") from error
    if X.ndim != 2 or X.dtype.kind not in "fiub" or 0 in X.shape:
        raise ValueError(
            f"{path} must hold a matrix of numbers with at least one row and one "
            f"column, got {X.dtype} of shape {X.shape}."
        )
    n_bytes, expected = path.stat().st_size, X.offset + X.nbytes
    if n_bytes != expected:
        raise ValueError(
            f"{path} must have {expected} bytes for its matrix of shape {X.shape}, got "
            f"{n_bytes}."
        )
    return X


def _map_row_by_row(path, dtype, mode):
    n_bytes = path.stat().st_size
    if n_bytes < 4:
        raise ValueError(f"{path} is too short for a row: it has {n_bytes} bytes.")
    d = int(np.fromfile(path, dtype="<i4", count=1)[0])
    if d < 1:
        raise ValueError(f"{path} says that its first row has {d} features.")
    row = 4 + d * dtype.itemsize
    if n_bytes % row:
        raise ValueError(
            f"{path} is truncated, or its rows differ in width: it has {n_bytes} "
            f"bytes, and a row of {d} features, as the first, takes {row}."
        )
    raw = np.memmap(path, dtype=np.uint8, mode=mode, shape=(n_bytes // row, row))
    some = np.linspace(0, len(raw) - 1, min(len(raw), _LOOKED_AT)).astype(int)
    widths = np.ascontiguousarray(raw[some, :4]).view("<i4")[:, 0]
    if (widths != d).any():
        other = int(np.argmax(widths != d))
        raise ValueError(
            f"{path} must have rows of one width: row 0 has {d} features, row "
            f"{some[other]} says {widths[other]}."
        )
    return raw[:, 4:].view(dtype)


def _map_in_one_piece(path, dtype, mode):
    n_bytes = path.stat().st_size
    if n_bytes < 8:
        raise ValueError(f"{path} is too short for a header: it has {n_bytes} bytes.")
    n, d = (int(size) for size in np.fromfile(path, dtype="<u4", count=2))
    if not n * d:
        raise ValueError(f"{path} must not be empty, got {n} rows of {d} features.")
    expected = 8 + n * d * dtype.itemsize
    with_distances = 8 + n * d * 8 if path.suffix.lower() == ".ibin" else expected
    if n_bytes not in (expected, with_distances):
        raise ValueError(
            f"{path} must have {expected} bytes for its {n} rows of {d} features, got "
            f"{n_bytes}."
        )
    return np.memmap(path, dtype=dtype, mode=mode, offset=8, shape=(n, d))
