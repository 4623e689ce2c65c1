"""Exact best key of every partition."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from joblib import effective_n_jobs

from .._device import resolve_device
from .._validation import row_blocks
from ..partition import Partition
from ._blocks import memory_budget, over_query_blocks

__all__ = ["partition_search"]


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
        Blocks of queries searched at the same time, through joblib.
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
    device = resolve_device(device)
    budget = memory_budget(max_memory, device) // effective_n_jobs(n_jobs)
    search = partial(
        _search_block,
        keys=keys,
        partition=partition,
        budget=budget // 2,
        device=device,
        with_indices=with_indices,
    )
    # Results with their copies, and the queries in both of their precisions.
    per_query = 24 * partition.n_partitions + 12 * queries.shape[1]
    return over_query_blocks(
        search,
        queries,
        budget // 2 // per_query,
        n_jobs=n_jobs,
        memory=memory,
        problem=("partition", keys, partition.labels_, with_indices),
        progress=progress,
    )


def _search_block(
    queries: np.ndarray,
    *,
    keys: np.ndarray,
    partition: Partition,
    budget: int,
    device: torch.device,
    with_indices: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    # Dividing by the largest coordinate keeps the scores in float32's range.
    unit = np.abs(queries).max(axis=1, keepdims=True)
    unit[unit == 0] = 1
    scaled = torch.from_numpy((queries / unit).astype(np.float32)).to(device)
    shape = (partition.n_partitions, len(queries))
    scores = torch.full(shape, -torch.inf, dtype=torch.float32, device=device)
    rows = torch.empty(shape, dtype=torch.int64, device=device)
    height, width = _tile(budget, device)
    for j in range(partition.n_partitions):
        members = partition.members(j)
        for some in row_blocks(len(members), height):
            block = torch.from_numpy(keys[members[some]].astype(np.float32)).to(device)
            for few in row_blocks(len(queries), width):
                products = scaled[few] @ block.T
                if not with_indices:
                    best = scores[j, few]
                    torch.maximum(best, products.amax(dim=1), out=best)
                    continue
                best, place = products.max(dim=1)
                better = best > scores[j, few]
                scores[j, few] = torch.where(better, best, scores[j, few])
                rows[j, few] = torch.where(better, place + some.start, rows[j, few])
    scores = scores.T.cpu().numpy() * unit
    if not with_indices:
        return scores, None
    rows = rows.T.cpu().numpy()
    for j in range(partition.n_partitions):
        rows[:, j] = partition.members(j)[rows[:, j]]
    return scores, rows


def _tile(budget: int, device: torch.device) -> tuple[int, int]:
    """Keys and queries whose products take their share of the memory."""
    width = 4096 if device.type == "cpu" else 2**16
    height = max(1, min(2**14, budget // (8 * width)))
    return height, max(1, min(width, budget // (8 * height)))
