"""Visits made shard by shard, as machines that each hold one would make them."""

from __future__ import annotations

import numpy as np
from joblib import Parallel, delayed

from ._found import Candidates
from ._queries import Queries
from ._shards import Shards

__all__ = ["search_by_shard"]


def search_by_shard(
    lists,
    shards: Shards,
    queries: Queries | np.ndarray,
    mask: np.ndarray,
    least: np.ndarray,
    k: int,
    n_jobs: int | None = None,
) -> Candidates:
    """Keys that may be among the k best, each shard asked for itself.

    A shard sees the queries that touch it, their visits there, and their bound so far;
    what another shard finds at the same time it does not know.

    Parameters
    ----------
    lists : CodeLists or FaissLists
    shards : Shards
    queries : Queries or ndarray
        What the lists make of the queries.
    mask : ndarray of shape (n_lists, n), dtype bool
        Who visits which list.
    least : ndarray of shape (n,), dtype float32
        Bound from below on the k-th best score.
    k : int
    n_jobs : int or None, default=None
        Shards searched at the same time, by threads.
    """

    def ask(shard: int, who: np.ndarray) -> Candidates:
        there = shards.lists(shard)
        visits = np.zeros((len(mask), len(who)), dtype=bool)
        visits[there] = mask[np.ix_(there, who)]
        found = lists.search(_some(queries, who), visits, least[who], k)
        return found._replace(query=who[found.query])

    touched = shards.touched(mask)
    tasks = [(s, np.flatnonzero(touched[s])) for s in np.flatnonzero(touched.any(1))]
    if n_jobs in (None, 1) or len(tasks) == 1:  # joblib takes longer than one query
        answers = [ask(*task) for task in tasks]
    else:
        parallel = Parallel(n_jobs=n_jobs, require="sharedmem")
        answers = parallel(delayed(ask)(*task) for task in tasks)
    if not answers:
        return Candidates.empty()
    return Candidates(*map(np.concatenate, zip(*answers, strict=True)))


def _some(queries: Queries | np.ndarray, rows: np.ndarray):
    """Rows of encoded queries."""
    if isinstance(queries, Queries):
        return Queries(*(column[rows] for column in queries))
    return queries[rows]
