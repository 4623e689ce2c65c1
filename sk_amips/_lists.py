"""Keys list by list, of a file in its order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ._memmaps import is_mapped, release
from ._validation import row_blocks
from .partition import Partition

__all__ = ["parts_of_lists", "whole_lists"]

# Bytes of the lists that are read together.
_GROUP = 2**27


def whole_lists(keys: np.ndarray, partition: Partition) -> Iterator[np.ndarray]:
    """Keys of each list, in the order of the lists.

    Of keys in a file some hundred megabytes are read at a time, in their order there:
    a list alone has its keys all over the file.
    """
    if not is_mapped(keys):
        for j in range(partition.n_partitions):
            yield keys[partition.members(j)]
        return
    ends = np.cumsum(partition.sizes_) * keys.shape[1] * keys.itemsize
    start = 0
    while start < partition.n_partitions:
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _GROUP, "right")))
        rows = np.concatenate([partition.members(j) for j in range(start, stop)])
        order = np.argsort(rows)
        block = np.empty((len(rows), keys.shape[1]), dtype=keys.dtype)
        for some in row_blocks(len(rows)):
            block[order[some]] = keys[rows[order[some]]]
            release(keys)
        yield from np.split(block, np.cumsum(partition.sizes_[start : stop - 1]))
        start = stop


def parts_of_lists(
    keys: np.ndarray, labels: np.ndarray, size: int, least: int, budget: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Keys of one list at a time, at most ``size`` of them.

    Keys in a file are read once, in their order there, part by part.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, d)
    labels : ndarray of shape (n_keys,)
        List of each key.
    size, least : int
        Most and fewest keys of a part: the last one is repeated for that.
    budget : int
        Bytes of a file to read at a time.

    Yields
    ------
    j : int
        The list.
    rows : ndarray of shape (n,), dtype int64
        Rows of the keys, ascending but for repetitions of the last one.
    block : ndarray of shape (n, d), dtype float32
        Those keys.
    """
    part = len(keys)
    if is_mapped(keys):
        part = max(size, budget // (keys.shape[1] * keys.itemsize))
    for some in row_blocks(len(keys), part):
        order = np.argsort(labels[some], kind="stable")
        lists, starts = np.unique(labels[some][order], return_index=True)
        ends = np.append(starts[1:], len(order))
        source = keys[some]
        for j, start, end in zip(lists.tolist(), starts, ends, strict=True):
            for few in row_blocks(end - start, size):
                rows = order[start + few.start : start + few.stop]
                rows = np.pad(rows, (0, max(0, least - len(rows))), mode="edge")
                yield j, some.start + rows, source[rows].astype(np.float32)
        release(keys, some)
