"""Exact best key of every partition."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from joblib import effective_n_jobs

from .._device import resolve_device
from .._lists import parts_of_lists
from .._validation import row_blocks
from ..partition import Partition
from ._blocks import memory_budget, over_query_blocks
from ._tasks import here_or_in_tasks

__all__ = ["partition_search"]

# Rows of the thinnest products. Below some eight, libraries add up in another order,
# and results would depend on how keys and queries are cut.
_LEAST = 16


def partition_search(
    keys: np.ndarray,
    queries: np.ndarray,
    partition: Partition,
    *,
    n_jobs: int | None = None,
    max_memory: int | None = None,
    memory=None,
    device: str | torch.device = "auto",
    with_indices: bool = True,
    progress: Callable[[int], object] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    r"""Best key of each partition for each query.

    These are the support values :math:`\sigma_j(x)` and best keys :math:`k^*_j(x)`,
    found in float32: of keys that tie within its rounding any may be returned. A matrix
    of all scores is never held.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, n_features)
        Keys.
    queries : ndarray of shape (n_queries, n_features)
        Queries.
    partition : Partition
        The ``c`` lists of keys.
    n_jobs : int or None, default=None
        Blocks of queries searched at the same time, through joblib, as in
        :func:`exact_search`.
    max_memory : int or None, default=None
        Bytes that the search may hold, as in :func:`exact_search`.
    memory : None, str or object with the joblib.Memory interface, default=None
        Folder where results are kept, as in :func:`exact_search`.
    device : {"auto", "cpu", "cuda"} or torch device, default="auto"
        Where to compute.
    with_indices : bool, default=True
        Whether keys are wanted, or their scores alone, which takes less time.
    progress : callable or None, default=None
        Called with the number of queries that are done, block by block, maybe from
        several threads.

    Returns
    -------
    scores : ndarray of shape (n_queries, c)
        In the precision of the queries.
    indices : ndarray of shape (n_queries, c), dtype int64, or None
        Rows of ``keys``.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.exact import partition_search
    >>> from sk_amips.partition import as_partition
    >>> keys = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> partition = as_partition(keys, [0, 0, 1])
    >>> scores, indices = partition_search(keys, np.array([[1.0, 0.25]]), partition)
    >>> scores, indices
    (array([[1.  , 1.25]]), array([[0, 2]]))
    """
    # Results with their copies.
    per_query = (24 if with_indices else 8) * partition.n_partitions
    search = partial(
        _search_here,
        n_lists=partition.n_partitions,
        per_query=per_query,
        max_memory=max_memory,
        device=device,
        with_indices=with_indices,
    )
    labels = partition.labels_
    return here_or_in_tasks(
        search,
        queries,
        _better,
        keys=keys,
        by_key={"labels": labels.astype(np.min_scalar_type(partition.n_partitions))},
        n_jobs=n_jobs,
        bytes_per_query=per_query,
        memory=memory,
        problem=("partition", keys, labels, with_indices),
        progress=progress,
    )


def _search_here(
    queries: np.ndarray,
    *,
    keys: np.ndarray,
    labels: np.ndarray,
    n_lists: int,
    per_query: int,
    max_memory: int | None,
    device: str | torch.device,
    with_indices: bool,
    n_jobs: int | None = 1,
    **kept,
) -> tuple[np.ndarray, np.ndarray | None]:
    """:func:`partition_search` by this process, of as many keys as there are."""
    device = resolve_device(device)
    budget = memory_budget(max_memory, device) // effective_n_jobs(n_jobs) // 2
    search = partial(
        search_lists,
        keys=keys,
        labels=labels,
        n_lists=n_lists,
        budget=budget,
        device=device,
        with_indices=with_indices,
    )
    # With the queries in both of their precisions.
    size = budget // (per_query + 12 * queries.shape[1])
    return over_query_blocks(search, queries, size, n_jobs=n_jobs, **kept)


def _better(one: tuple, other: tuple) -> tuple[np.ndarray, np.ndarray | None]:
    """The larger scores of two results, of equal ones the first."""
    (scores, rows), (others, other_rows) = one, other
    if rows is not None:
        rows = np.where(others > scores, other_rows, rows)
    return np.maximum(scores, others), rows


def search_lists(
    queries: np.ndarray,
    *,
    keys: np.ndarray,
    labels: np.ndarray,
    n_lists: int,
    budget: int,
    device: torch.device,
    with_indices: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Best key of each list, ``labels`` naming the list of every key.

    Of a list without keys the score is -inf, and the row 0.
    """
    # Dividing by the largest coordinate keeps the scores in float32's range.
    unit = np.abs(queries).max(axis=1, keepdims=True)
    unit[unit == 0] = 1
    n = len(queries)
    padded = (0, max(0, _LEAST - n)), (0, 0)
    scaled = np.pad((queries / unit).astype(np.float32), padded)
    scaled = torch.from_numpy(scaled).to(device)
    shape = (n_lists, len(scaled))
    scores = torch.full(shape, -torch.inf, dtype=torch.float32, device=device)
    rows = torch.zeros(shape if with_indices else 0, dtype=torch.int64, device=device)
    height, width = _tile(budget, device)
    tiles = row_blocks(len(scaled), -(-len(scaled) // -(-len(scaled) // width)))
    for j, members, block in parts_of_lists(keys, labels, height, _LEAST, budget):
        block = torch.from_numpy(block).to(device)
        members = torch.from_numpy(members).to(device)
        for few in tiles:
            products = scaled[few] @ block.T
            if not with_indices:
                best = scores[j, few]
                torch.maximum(best, products.amax(dim=1), out=best)
                continue
            best, place = products.max(dim=1)
            better = best > scores[j, few]
            scores[j, few] = torch.where(better, best, scores[j, few])
            rows[j, few] = torch.where(better, members[place], rows[j, few])
    found = scores[:, :n].T.cpu().numpy() * unit
    return found, rows[:, :n].T.cpu().numpy() if with_indices else None


def _tile(budget: int, device: torch.device) -> tuple[int, int]:
    """Keys and queries whose products take their share of the memory."""
    height, width = (1024, 4096) if device.type == "cpu" else (2**14, 2**16)
    while height > _LEAST and 8 * height * _LEAST > budget:
        height //= 2
    return height, max(_LEAST, min(width, budget // (8 * height)))
