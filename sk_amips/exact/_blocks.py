"""Queries searched block by block, within a budget, and blocks kept on disk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs, hash
from sklearn.utils.validation import check_memory

from .._validation import row_blocks

__all__ = ["memory_budget", "over_query_blocks"]

# Bytes for everything that a search holds, on a CPU.
_CPU_MEMORY = 2**28
# Fewer queries at a time are never worth the memory that they spare.
_FEWEST = 64
# Queries whose results are stored together.
_STORED = 2**14

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
    size: int,
    *,
    n_jobs: int | None = None,
    memory=None,
    problem: tuple = (),
) -> Found:
    """Scores and indices that ``search(block)`` finds for blocks of the queries.

    Parameters
    ----------
    search : callable
        Gives scores and indices, or None for the latter, for some queries.
    queries : ndarray of shape (n, d)
    size : int
        Largest number of queries to search at a time.
    n_jobs : int or None, default=None
        Threads that search, through joblib.
    memory : None, str or object with the joblib.Memory interface, default=None
        Where each block's result is kept as soon as it is there, so that an interrupted
        search goes on where it stopped.
    problem : tuple
        What else the results depend on.

    Returns
    -------
    scores : ndarray of shape (n, m)
        In the precision of the queries.
    indices : ndarray of shape (n, m), dtype int64, or None
    """
    n = len(queries)
    size = min(max(size, _FEWEST), -(-n // effective_n_jobs(n_jobs)))
    if memory is not None:
        size = min(size, _STORED)
        stored = check_memory(memory).cache(_search_stored, ignore=["search"])
        key = hash(problem, coerce_mmap=True)
    results = []

    def fill(rows: slice) -> None:
        if memory is None:
            found = search(queries[rows])
        else:
            found = stored(search, np.asarray(queries[rows]), key)
        if not results:
            results.extend(_room_for(found, n, queries.dtype))
        for result, part in zip(results, found, strict=True):
            if part is not None:
                result[rows] = part

    first, *others = row_blocks(n, size)
    fill(first)
    Parallel(n_jobs=n_jobs, prefer="threads")(delayed(fill)(rows) for rows in others)
    return tuple(results)


def _room_for(found: Found, n: int, dtype: np.dtype) -> Found:
    scores, indices = found
    room = np.empty((n, scores.shape[1]), dtype=dtype)
    return room, None if indices is None else np.empty(room.shape, dtype=indices.dtype)


def _search_stored(search: Callable, queries: np.ndarray, problem: str) -> Found:
    """``search(queries)``, under a name for joblib's memory to store it."""
    return search(queries)
