"""Exact best key of every partition."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from .._device import resolve_device
from .._validation import row_blocks
from ..partition import Partition
from ._scan import scaled_queries
from ._search import MAX_MEMORY, over_query_blocks

__all__ = ["partition_search"]

_QUERY_ROWS = 4096


def partition_search(
    keys: np.ndarray,
    queries: np.ndarray,
    partition: Partition,
    *,
    n_jobs: int | None = None,
    max_memory: int = MAX_MEMORY,
    device: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
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
    max_memory : int, default=67108864
        Bytes that a block of scores may take.
    device : {"auto", "cpu", "cuda"} or torch device, default="auto"
        Where to compute.

    Returns
    -------
    scores : ndarray of shape (n_queries, c)
        In the precision of the queries.
    indices : ndarray of shape (n_queries, c), dtype int64
        Rows of ``keys``.
    """
    search = partial(
        _search_block,
        keys=keys,
        partition=partition,
        max_memory=max_memory,
        device=resolve_device(device),
    )
    return over_query_blocks(search, queries, _QUERY_ROWS, n_jobs)


def _search_block(
    queries: np.ndarray,
    *,
    keys: np.ndarray,
    partition: Partition,
    max_memory: int,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    scaled = torch.from_numpy(scaled_queries(queries).astype(np.float32)).to(device)
    shape = (len(queries), partition.n_partitions)
    scores = np.full(shape, -np.inf, dtype=np.float32)
    indices = np.empty(shape, dtype=np.int64)
    size = max(1, max_memory // (4 * max(scaled.shape)))
    for j in range(partition.n_partitions):
        members = partition.members(j)
        for some in row_blocks(len(members), size):
            block = torch.from_numpy(keys[members[some]].astype(np.float32)).to(device)
            best, place = (scaled @ block.T).max(dim=1)
            best, place = best.cpu().numpy(), members[some][place.cpu().numpy()]
            better = best > scores[:, j]
            scores[better, j] = best[better]
            indices[better, j] = place[better]
    return scores * np.abs(queries).max(axis=1, keepdims=True), indices
