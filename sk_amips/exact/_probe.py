"""Search of the lists that a router picks."""

from __future__ import annotations

import numpy as np
import torch

from ..partition import Partition
from ._search import SPARE, rescore, scaled_queries, sort_by_score

__all__ = ["probe_search"]


def probe_search(
    keys: np.ndarray,
    queries: np.ndarray,
    partition: Partition,
    probes: np.ndarray,
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Best keys of the given lists for each query.

    Lists are taken in turn, each with all queries that probe it. A float32 pass keeps a
    few keys more than asked for, among which float64 scores decide.

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
    """
    size = k + SPARE
    best = torch.full((len(queries), size), -torch.inf)
    index = torch.full((len(queries), size), -1)
    visitors = np.argsort(probes, axis=None, kind="stable") // probes.shape[1]
    counts = np.bincount(probes.ravel(), minlength=partition.n_partitions)
    ends = np.cumsum(counts)
    for j in np.flatnonzero(counts):
        visiting = visitors[ends[j] - counts[j] : ends[j]]
        rows = torch.from_numpy(visiting)
        members = partition.members(j)
        block = np.asarray(keys[members], dtype=np.float32)
        scaled = scaled_queries(queries[visiting]).astype(np.float32)
        scores = torch.from_numpy(scaled @ block.T)
        values, columns = torch.topk(scores, min(size, len(members)), dim=1)
        merged = torch.cat([best[rows], values], dim=1)
        places = torch.cat([index[rows], torch.from_numpy(members)[columns]], dim=1)
        best[rows], order = torch.topk(merged, size, dim=1)
        index[rows] = places.gather(1, order)
    short_list = index.numpy()
    exact = np.where(short_list < 0, -np.inf, rescore(keys, queries, short_list))
    scores, indices = sort_by_score(exact, short_list, k)
    return scores.astype(queries.dtype), indices
