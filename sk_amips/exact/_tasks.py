"""Searches as tasks, of a block of queries and a shard of the keys each.

They depend on nothing but their arguments, so that any backend of joblib can run them
in other processes or on other machines, in any order, and again where one is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend

from .._memmaps import as_reference, opened, release
from .._sharded import rows_of
from .._validation import row_blocks
from ._blocks import Found, over_query_blocks

__all__ = ["here_or_in_tasks", "in_tasks", "other_processes"]

# Queries and keys of a task, at most and at least; tasks for each worker.
_QUERIES, _LEAST_QUERIES, _LEAST_KEYS, _TASKS = 2**14, 2**10, 2**16, 4
# Bytes of the result of a task.
_RESULT = 2**26
# Keys in memory that take more bytes are an argument: backends share those of several
# tasks, but lose them with the worker that has them. All else is part of the task, and
# kept until there is a result.
_SHARED = 2**24


def other_processes(n_jobs: int | None) -> int:
    """How many workers of joblib's backend compute; 0 where they are threads in here.

    They are threads unless the user has chosen otherwise, by
    :func:`joblib.parallel_config`.
    """
    backend, _ = get_active_backend(prefer="threads")
    shares_memory = getattr(backend, "supports_sharedmem", False)
    return 0 if shares_memory else effective_n_jobs(n_jobs)


def here_or_in_tasks(
    search: Callable[..., Found],
    queries: np.ndarray,
    merge: Callable[[Found, Found], Found],
    *,
    keys: np.ndarray,
    by_key: dict[str, np.ndarray | None],
    n_jobs: int | None,
    bytes_per_query: int,
    **kept,
) -> Found:
    """Search by threads of this process, or as tasks where others compute.

    Parameters are those of :func:`in_tasks`; ``kept`` is what says how results are kept
    and told of, as :func:`over_query_blocks` takes it, and so has ``search`` to.
    """
    n_workers = other_processes(n_jobs)
    if not n_workers:
        return search(queries, keys=keys, **by_key, n_jobs=n_jobs, **kept)
    tasks = partial(
        in_tasks,
        search=search,
        merge=merge,
        keys=keys,
        by_key=by_key,
        n_workers=n_workers,
        bytes_per_query=bytes_per_query,
    )
    return over_query_blocks(tasks, queries, **kept)


def in_tasks(
    queries: np.ndarray,
    search: Callable[..., Found],
    merge: Callable[[Found, Found], Found],
    *,
    keys: np.ndarray,
    by_key: dict[str, np.ndarray | None],
    n_workers: int,
    bytes_per_query: int,
    progress: Callable[[float], object] | None = None,
) -> Found:
    """What ``search(queries, keys=keys, **by_key)`` finds, computed by other processes.

    Parameters
    ----------
    queries : ndarray of shape (n, d)
    search : callable
        Gives scores and indices, or None for the latter, of the keys it is given. A
        function of a module, or a partial of one, for it is sent to the workers.
    merge : callable
        Makes one result of those of the same queries and two shards, in their order.
    keys : ndarray of shape (n_keys, d)
        Memory-mapped ones are sent as the name of their file, others by value.
    by_key : dict of ndarray of shape (n_keys,), or None
        What else there is of each key.
    n_workers : int
    bytes_per_query : int
        Of the result.
    progress : callable or None, default=None
        Told of how many more queries there are results.
    """
    size = min(_QUERIES, max(_LEAST_QUERIES, -(-len(queries) // (_TASKS * n_workers))))
    blocks = row_blocks(len(queries), max(1, min(size, _RESULT // bytes_per_query)))
    size = -(-len(keys) // max(1, _TASKS * n_workers // len(blocks)))
    shards = row_blocks(len(keys), max(size, _LEAST_KEYS))
    parts = [
        (
            as_reference(rows_of(keys, rows)),
            {n: _of(a, rows) for n, a in by_key.items()},
        )
        for rows in shards
    ]
    tasks = (
        _task(search, as_reference(rows_of(queries, rows)), more, part)
        for rows in blocks
        for part, more in parts
    )
    backend, _ = get_active_backend(prefer="threads")
    one_by_one = "generator" if backend.supports_return_generator else "list"
    results = Parallel(n_jobs=n_workers, return_as=one_by_one)(tasks)
    found = []
    for (scores, indices), (rows, shard) in zip(
        results, product(blocks, shards), strict=True
    ):
        part = scores, None if indices is None else indices + shard.start
        if shard.start == 0:
            found.append(part)
        else:
            found[-1] = merge(found[-1], part)
        if progress is not None:
            progress((rows.stop - rows.start) / len(shards))
    scores, indices = zip(*found, strict=True)
    return np.concatenate(scores), (
        None if indices[0] is None else np.concatenate(indices)
    )


def _of(array: np.ndarray | None, rows: slice) -> np.ndarray | None:
    return None if array is None else as_reference(array[rows])


def _task(search: Callable[..., Found], queries, by_key: dict, keys):
    search = partial(_search, search, queries, by_key)
    if isinstance(keys, np.ndarray) and keys.nbytes > _SHARED:
        return delayed(search)(keys)
    return delayed(partial(search, keys))()


def _search(search: Callable[..., Found], queries, by_key: dict, keys) -> Found:
    """A task, where it is computed."""
    keys, queries = opened(keys), opened(queries)
    by_key = {name: opened(array) for name, array in by_key.items()}
    found = search(queries, keys=keys, **by_key)
    release(keys)
    return found
