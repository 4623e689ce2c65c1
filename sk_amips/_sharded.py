"""Several matrices as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._memmaps import as_reference, opened

__all__ = ["ShardedArray", "rows_of"]


class ShardedArray:
    """Rows of several arrays, one after the other, without a copy of them.

    For keys, or queries to label, that lie in several files. Anything that takes
    ``keys`` takes one of these; rows are read from the shards when they are needed.

    Parameters
    ----------
    shards : sequence of array-like of shape (n_rows, n_features)
        Arrays or memmaps of equal width and type, used by reference.

    Attributes
    ----------
    shards : tuple of ndarray
        The arrays.
    shape : tuple of (int, int)
        Number of all rows, and of features.
    dtype : dtype
        Their type.

    Raises
    ------
    ValueError
        If there is no shard, one is not a matrix of numbers with rows, or they differ
        in width or type.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips import ShardedArray, exact_search
    >>> keys = ShardedArray([np.eye(3), 2 * np.eye(3)])
    >>> keys
    ShardedArray(6 rows of 3 features in 2 shards)
    >>> keys[[0, 5]]
    array([[1., 0., 0.],
           [0., 0., 2.]])
    >>> exact_search(keys, [[0.0, 1.0, 0.0]])[1]
    array([[4]])
    """

    ndim = 2

    def __init__(self, shards: Sequence[np.ndarray]):
        self.shards = tuple(
            x if isinstance(x, np.ndarray) else np.asarray(x) for x in shards
        )
        if not self.shards:
            raise ValueError("shards must hold at least one array.")
        first = self.shards[0]
        for i, x in enumerate(self.shards):
            if x.ndim != 2 or 0 in x.shape or x.dtype.kind not in "fiub":
                raise ValueError(
                    "shards must be matrices of numbers with at least one row: got "
                    f"{x.dtype} of shape {x.shape} (shard {i})."
                )
            if (x.shape[1], x.dtype) != (first.shape[1], first.dtype):
                raise ValueError(
                    f"shards must agree in width and type: got {x.shape[1]} features "
                    f"of {x.dtype} (shard {i}) after {first.shape[1]} of {first.dtype}."
                )
        self._ends = np.cumsum([len(x) for x in self.shards])

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows, and of features."""
        return int(self._ends[-1]), self.shards[0].shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return self.shards[0].dtype

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return self.dtype.itemsize

    @property
    def size(self) -> int:
        """Number of numbers."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.size * self.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        """Rows, by a slice, a boolean mask, or their numbers."""
        if isinstance(rows, slice) and rows.step in (None, 1):
            parts = self.parts(rows)
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise IndexError(
                    f"a mask must have shape ({len(self)},), got {rows.shape}."
                )
            rows = np.flatnonzero(rows)
        if rows.size == 0:
            rows = rows.astype(np.int64)
        if rows.dtype.kind not in "iu":
            raise IndexError(f"rows must be integers, got {rows.dtype}.")
        if rows.size and not (-len(self) <= rows.min() and rows.max() < len(self)):
            raise IndexError(f"rows must be from 0 to {len(self) - 1}.")
        rows = np.where(rows < 0, rows + len(self), rows)
        taken = np.empty((*rows.shape, self.shape[1]), dtype=self.dtype)
        place = np.searchsorted(self._ends, rows, side="right")
        for i in np.unique(place):
            there = place == i
            start = self._ends[i] - len(self.shards[i])
            taken[there] = self.shards[i][rows[there] - start]
        return taken

    def parts(self, rows: slice) -> list[np.ndarray]:
        """The rows of a slice as views of the shards.

        Parameters
        ----------
        rows : slice
            Of step one.

        Returns
        -------
        parts : list of ndarray of shape (n_rows, n_features)
            At least one; empty ones only if the slice is empty.
        """
        start, stop, _ = rows.indices(len(self))
        parts = []
        for end, x in zip(self._ends.tolist(), self.shards, strict=True):
            first = end - len(x)
            some = x[max(0, start - first) : max(0, stop - first)]
            if len(some):
                parts.append(some)
        return parts or [self.shards[0][:0]]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """All rows in memory."""
        if copy is False:
            raise ValueError("The rows of several arrays are one array only as a copy.")
        whole = np.concatenate(self.shards)
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __getstate__(self) -> dict:
        return {"shards": [as_reference(x) for x in self.shards]}

    def __setstate__(self, state: dict) -> None:
        self.__init__([opened(x) for x in state["shards"]])

    def __repr__(self) -> str:
        n, d = self.shape
        return f"ShardedArray({n} rows of {d} features in {len(self.shards)} shards)"


def rows_of(array, rows: slice):
    """Rows of an array, or of a :class:`ShardedArray`, without a copy of them."""
    if not isinstance(array, ShardedArray):
        return array[rows]
    parts = array.parts(rows)
    return parts[0] if len(parts) == 1 else ShardedArray(parts)
