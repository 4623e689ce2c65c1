"""Checks of key matrices that neither copy nor convert them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from ._memmaps import release
from ._sharded import ShardedArray
from ._tensors import as_tensor
from .nn import unit_rows

__all__ = [
    "KeyNorms",
    "as_keys",
    "check_same_width",
    "key_norms",
    "row_blocks",
    "row_norms",
    "squared_norms",
]

# Rows read at a time when a pass over all of them is needed.
_BLOCK_ROWS = 16_384
# Numbers in float64 that stay in the cache of a CPU.
_CACHED = 2**18
_LARGEST_NORM = 1e35


class KeyNorms(NamedTuple):
    """Largest and root-mean-square norm of the keys."""

    max: float
    rms: float


def row_blocks(n_rows: int, size: int = _BLOCK_ROWS) -> list[slice]:
    """Slices of at most ``size`` rows that cover ``n_rows``."""
    return [slice(i, min(i + size, n_rows)) for i in range(0, n_rows, size)]


def as_keys(keys) -> np.ndarray:
    """Return ``keys`` as a matrix, itself when it is an array already.

    Parameters
    ----------
    keys : array-like of shape (n_keys, n_features)
        A numeric ndarray, memmap or :class:`ShardedArray` is returned as the very same
        object, whatever its precision and order; anything else is converted once.

    Returns
    -------
    keys : ndarray or memmap of shape (n_keys, n_features)

    Raises
    ------
    TypeError, ValueError
        If the keys are sparse, not numeric, not two-dimensional or empty.
    """
    if sparse.issparse(keys):
        raise TypeError("keys must be a dense array, got a sparse one; use toarray().")
    if isinstance(keys, ShardedArray):
        return keys
    if isinstance(keys, np.ndarray) and keys.dtype.kind in "fiub":
        if keys.ndim != 2:
            raise ValueError(
                f"keys must be a 2-D array of shape (n_keys, n_features), "
                f"got {keys.ndim}-D of shape {keys.shape}."
            )
        if 0 in keys.shape:
            raise ValueError(f"keys must not be empty, got shape {keys.shape}.")
        return keys
    return check_array(
        keys, dtype=[np.float64, np.float32], ensure_all_finite=False, input_name="keys"
    )


def row_norms(rows: np.ndarray) -> np.ndarray:
    """Norm of each row, float64 of shape (n, 1), in blocks; no square overflows."""
    norms = np.empty((len(rows), 1))
    for some in row_blocks(len(rows)):
        norms[some] = unit_rows(rows[some])[0]
    return norms


def squared_norms(keys: np.ndarray) -> np.ndarray:
    """Squared norm of each key, float64, in blocks."""
    squares = np.empty(len(keys))
    for rows in row_blocks(len(keys), max(1, _CACHED // keys.shape[1])):
        squares[rows] = as_tensor(keys[rows]).double().square().sum(dim=1).numpy()
        release(keys, rows)
    return squares


def key_norms(keys: np.ndarray, *, allow_zero: bool = False) -> KeyNorms:
    """Norms of the keys, from one blocked pass that also checks their values.

    Raises
    ------
    ValueError
        If a key holds NaN or infinity, or has norm zero (unless ``allow_zero``), or the
        largest norm is out of float32's range.
    """
    squares = squared_norms(keys)
    finite = np.isfinite(squares)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(f"keys contains NaN or infinity (first in row {row}).")
    if not allow_zero and not squares.all():
        row = int(np.argmin(squares != 0))
        raise ValueError(
            f"keys contains a key of zero norm (first in row {row}), which has no "
            "direction to learn."
        )
    largest = float(squares.max() ** 0.5)
    if largest > _LARGEST_NORM or 0 < largest < 1 / _LARGEST_NORM:
        raise ValueError(
            f"keys have norms up to {largest:.3g}, out of the range of float32 "
            f"arithmetic, {1 / _LARGEST_NORM:.0e} to {_LARGEST_NORM:.0e}: rescale them."
        )
    return KeyNorms(max=largest, rms=float(squares.mean() ** 0.5))


def check_same_width(keys: np.ndarray, queries: np.ndarray) -> None:
    """Raise ValueError unless keys and queries have equally many features."""
    if keys.shape[1] != queries.shape[1]:
        raise ValueError(
            f"Queries must have as many features as the keys: X has {queries.shape[1]} "
            f"features, keys have {keys.shape[1]}."
        )
