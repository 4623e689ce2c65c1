"""Exact best key of every partition."""

from __future__ import annotations

import numpy as np

from .._validation import row_blocks
from ..partition import Partition
from ._search import rescore, scaled_queries

__all__ = ["partition_search"]

_QUERY_ROWS = 4096


def partition_search(
    keys: np.ndarray, queries: np.ndarray, partition: Partition
) -> tuple[np.ndarray, np.ndarray]:
    r"""Best key of each partition for each query.

    These are the support values :math:`\sigma_j(x)` and best keys :math:`k^*_j(x)`. A
    matrix of all scores is never held: memory is the result's and one list's block.
    Scores are compared in float32 and then computed in float64: of keys that tie within
    float32's rounding any may be returned.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, n_features)
        Keys.
    queries : ndarray of shape (n_queries, n_features)
        Queries.
    partition : Partition
        The ``c`` lists of keys.

    Returns
    -------
    scores : ndarray of shape (n_queries, c), dtype float32
    indices : ndarray of shape (n_queries, c), dtype int64
        Rows of ``keys``.
    """
    shape = (len(queries), partition.n_partitions)
    indices = np.empty(shape, dtype=np.int64)
    scores = np.empty(shape, dtype=np.float32)
    blocks = row_blocks(len(queries), _QUERY_ROWS)
    for j in range(partition.n_partitions):
        members = partition.members(j)
        block_keys = np.asarray(keys[members], dtype=np.float32)
        for rows in blocks:
            block = scaled_queries(queries[rows]).astype(np.float32)
            indices[rows, j] = members[(block @ block_keys.T).argmax(axis=1)]
    for rows in blocks:
        scores[rows] = rescore(keys, queries[rows], indices[rows])
    return scores, indices
