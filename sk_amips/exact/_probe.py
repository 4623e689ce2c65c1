"""Search of the lists that a router picks."""

from __future__ import annotations

import numpy as np

from .._validation import squared_norms
from ..partition import Partition
from ._rescore import sort_by_score
from ._search import top_k

__all__ = ["probe_search"]


def probe_search(
    keys: np.ndarray,
    queries: np.ndarray,
    partition: Partition,
    probes: np.ndarray,
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Best keys of the given lists for each query.

    Lists are taken in turn, each searched exactly with all queries that probe it.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, n_features)
        Keys.
    queries : ndarray of shape (n_queries, n_features)
        Queries.
    partition : Partition
        Lists of keys.
    probes : ndarray of shape (n_queries, n_probe), dtype int64
        Lists to visit for each query, without repetition.
    k : int
        Number of keys wanted for each query.

    Returns
    -------
    scores : ndarray of shape (n_queries, k)
        Descending, in the precision of the queries; -inf where the lists hold fewer
        than ``k`` keys.
    indices : ndarray of shape (n_queries, k), dtype int64
        Rows of ``keys``, or -1; keys of equal score are in order of their index.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.exact import probe_search
    >>> from sk_amips.partition import as_partition
    >>> keys = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> query, partition = np.array([[1.0, 0.25]]), as_partition(keys, [0, 0, 1])
    >>> probe_search(keys, query, partition, np.array([[0]]), k=3)  # two keys there
    (array([[ 1. ,  0.5, -inf]]), array([[ 0,  1, -1]]))
    >>> probe_search(keys, query, partition, np.array([[0, 1]]), k=3)[1]
    array([[2, 0, 1]])
    """
    scores = np.full((len(queries), k), -np.inf)
    indices = np.full((len(queries), k), -1)
    visitors = np.argsort(probes, axis=None, kind="stable") // probes.shape[1]
    counts = np.bincount(probes.ravel(), minlength=partition.n_partitions)
    ends = np.cumsum(counts)
    for j in np.flatnonzero(counts):
        rows = visitors[ends[j] - counts[j] : ends[j]]
        members = partition.members(j)
        block = keys[members]
        # Lists are small: the CPU is done before they would be on another device.
        norm = squared_norms(block).max() ** 0.5
        found_scores, found = top_k(
            block, queries[rows], min(k, len(members)), max_norm=norm, device="cpu"
        )
        scores[rows], indices[rows] = sort_by_score(
            np.concatenate([scores[rows], found_scores], axis=1),
            np.concatenate([indices[rows], members[found]], axis=1),
            k,
        )
    return scores.astype(queries.dtype), indices
