"""What the machine that holds a shard serves, and one search of several such."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from joblib import Parallel, delayed

from .._validation import check_same_width
from ..exact._rescore import pair_scores
from ..partition import Partition
from ._code_lists import CodeLists
from ._engine import Found, directions
from ._found import best_of
from ._shards import Shards

__all__ = ["KeyShard", "search_shards"]


class KeyShard:
    """Keys of one shard in its lists, as the machine that holds them serves them.

    Made by ``AmortizedNeighbors.shard``, to be pickled and sent there: it needs neither
    the router nor the keys of others.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, n_features)
        The keys of the shard alone.
    rows : ndarray of shape (n_keys,), dtype int64
        What they are called: their rows among all keys, ascending.
    partition : Partition
        Their lists.
    max_norm : float
        Bound on their norms.
    trust : float, default=1.0
        Share of the bounds on the errors of codes that is believed.

    Attributes
    ----------
    nbytes : int
        Bytes of the keys and of their codes.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.index import KeyShard
    >>> from sk_amips.partition import as_partition
    >>> keys = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    >>> lists = as_partition(keys, [0, 1, 0])
    >>> shard = KeyShard(keys, np.array([10, 20, 30]), lists, max_norm=3.0)
    >>> shard.search(np.array([[1.0, 1.0]]), np.array([[True, False]]), k=1)
    (array([[3.]]), array([[30]]))
    """

    def __init__(
        self,
        keys: np.ndarray,
        rows: np.ndarray,
        partition: Partition,
        max_norm: float,
        trust: float = 1.0,
    ):
        self.keys = keys
        self.rows = rows
        self.partition = partition
        self._lists = CodeLists(keys, partition, max_norm)
        self._lists.trust = trust

    def __getstate__(self) -> dict:
        """All but the codes, which are made anew, by any processor."""
        return {
            "keys": self.keys,
            "rows": self.rows,
            "partition": self.partition,
            "max_norm": self._lists.unit,
            "trust": self._lists.trust,
        }

    def __setstate__(self, state: dict) -> None:
        self.__init__(**state)

    def __repr__(self) -> str:
        n_lists = self.partition.n_partitions
        return f"KeyShard({len(self.keys)} keys in {n_lists} lists)"

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and of their codes."""
        return self.keys.nbytes + self._lists.nbytes

    def search(
        self, X: np.ndarray, visits: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the best keys in some lists of the shard.

        Parameters
        ----------
        X : ndarray of shape (n_queries, n_features)
            Queries, none of them zero.
        visits : ndarray of shape (n_queries, n_lists), dtype bool
            Lists of the shard that each query visits.
        k : int
            Number of keys wanted for each query.

        Returns
        -------
        scores : ndarray of shape (n_queries, k), dtype float64
            Inner products, descending; -inf where the lists hold fewer keys.
        indices : ndarray of shape (n_queries, k), dtype int64
            Rows among all keys, or -1; equal scores are in order of their index.

        Raises
        ------
        ValueError
            If queries are of another width than keys, or visits do not fit both.
        """
        check_same_width(self.keys, X)
        shape = len(X), self.partition.n_partitions
        if visits.shape != shape:
            raise ValueError(f"visits must be of shape {shape}, got {visits.shape}.")
        least = np.full(len(X), -np.inf, dtype=np.float32)
        queries = self._lists.encode(directions(X))
        mask = np.ascontiguousarray(visits.T)
        found = self._lists.search(queries, mask, least, k).k_best(least, k)
        exact = pair_scores(self.keys, X, found.key, found.query)
        scores, places = best_of(found.query, found.key, exact, k, len(X))
        return scores, np.where(places >= 0, self.rows[places], -1)


def search_shards(
    ask: Callable,
    shards: Shards,
    X: np.ndarray,
    mask: np.ndarray,
    k: int,
    n_jobs: int | None = None,
) -> Found:
    """K best keys of what several shards find.

    Parameters
    ----------
    ask : callable
        From a shard, queries, visits and k to what ``KeyShard.search`` returns.
    shards : Shards
    X : ndarray of shape (n, d)
        Queries, none of them zero.
    mask : ndarray of shape (n_lists, n), dtype bool
        Lists that they visit.
    k : int
    n_jobs : int or None, default=None
        Shards asked at the same time, by threads.
    """
    touched = shards.touched(mask)
    asked = np.flatnonzero(touched.any(axis=1)).tolist()
    visitors = [np.flatnonzero(touched[s]) for s in asked]
    answers = Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(ask)(s, X[who], mask[np.ix_(shards.lists(s), who)].T, k)
        for s, who in zip(asked, visitors, strict=True)
    )
    score, key = (
        np.concatenate([np.ravel(part) for part in parts])
        for parts in zip(*answers, strict=True)
    )
    query = np.repeat(np.concatenate(visitors), k)
    there = key >= 0
    scores, indices = best_of(query[there], key[there], score[there], k, len(X))
    return Found(scores.astype(X.dtype), indices)
