"""Queries searched block by block, within a budget, and blocks kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs, hash
from sklearn.utils.validation import check_memory

from .._memmaps import release
from .._validation import row_blocks

__all__ = ["memory_budget", "over_query_blocks"]

# Bytes for everything that a search holds, on a CPU.
_CPU_MEMORY = 2**28
# Queries whose results are stored together, and the version of those results: one more
# whenever a search would answer differently.
_STORED, _VERSION = 2**14, 1

Found = tuple[np.ndarray, np.ndarray | None]


def memory_budget(max_memory: int | None, device: torch.device) -> int:
    """Bytes that a search may hold on a device."""
    if max_memory is not None:
        return max_memory
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return _CPU_MEMORY


def over_query_blocks(
    search: Callable[[np.ndarray], Found],
    queries: np.ndarray,
    size: int | None = None,
    *,
    n_jobs: int | None = 1,
    memory=None,
    problem: tuple = (),
    progress: Callable[[float], object] | None = None,
    dtype: np.dtype | None = None,
) -> Found:
    """Scores and indices that ``search(block)`` finds for blocks of the queries.

    Parameters
    ----------
    search : callable
        Gives scores and indices, or None for the latter, for some queries.
    queries : ndarray of shape (n, d)
    size : int or None, default=None
        Largest number of queries to search at a time; None: any. ``search`` may then
        have a ``progress`` to tell of parts of a block.
    n_jobs : int or None, default=1
        Threads that search, through joblib.
    memory : None, str or object with the joblib.Memory interface, default=None
        Where each block's result is kept as soon as it is there, so that an interrupted
        search goes on where it stopped.
    problem : tuple
        What else the results depend on.
    progress : callable or None, default=None
        Told of how many more queries there are results, by whichever thread has them.
    dtype : dtype or None, default=None
        Of the scores; None: that of the queries.

    Returns
    -------
    scores : ndarray of shape (n, m)
    indices : ndarray of shape (n, m), dtype int64, or None
    """
    n = len(queries)
    if memory is not None:
        if size is not None:
            search = partial(over_query_blocks, search, size=size, dtype=dtype)
        search = _stored(search, memory, problem, progress)
        size, progress = _STORED, None
    elif size is None:
        size = n
        if progress is not None:
            search, progress = partial(search, progress=progress), None
    size = max(1, min(size, -(-n // effective_n_jobs(n_jobs))))
    results = []

    def fill(rows: slice) -> None:
        found = search(queries[rows])
        release(queries, rows)
        if not results:
            results.extend(_room_for(found, n, dtype or queries.dtype))
        for result, part in zip(results, found, strict=True):
            if part is not None:
                result[rows] = part
        if progress is not None:
            progress(rows.stop - rows.start)

    first, *others = row_blocks(n, size)
    fill(first)
    # Processes would fill copies of the results.
    Parallel(n_jobs=n_jobs, require="sharedmem")(delayed(fill)(r) for r in others)
    return tuple(results)


def _room_for(found: Found, n: int, dtype: np.dtype) -> Found:
    scores, indices = found
    room = np.empty((n, scores.shape[1]), dtype=dtype)
    return room, None if indices is None else np.empty(room.shape, dtype=indices.dtype)


def _stored(
    search: Callable, memory, problem: tuple, progress: Callable[[int], object] | None
) -> Callable:
    """A search whose results are read where the same has been searched before."""
    stored = check_memory(memory).cache(_search_stored, ignore=["search"])
    problem = [_digest(part) if np.ndim(part) == 2 else part for part in problem]
    key = hash((_VERSION, *problem), coerce_mmap=True)

    def find(queries: np.ndarray) -> Found:
        if progress is None:
            return stored(search, np.asarray(queries), key)
        n_left = len(queries)

        def count(n: int) -> None:
            nonlocal n_left
            n_left -= n
            progress(n)

        found = stored(partial(search, progress=count), np.asarray(queries), key)
        if n_left:  # read, not searched
            progress(n_left)
        return found

    return find


def _digest(keys) -> str:
    """Hash of a matrix by what is in it, wherever that is, read in blocks."""
    hashes = []
    for rows in row_blocks(len(keys)):
        hashes.append(hash(np.ascontiguousarray(keys[rows]), coerce_mmap=True))
        release(keys, rows)
    return hash(hashes)


def _search_stored(search: Callable, queries: np.ndarray, problem: str) -> Found:
    """``search(queries)``, under a name for joblib's memory to store it."""
    return search(queries)
