"""Searching an index whose lists lie on shards."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted, check_scalar

from ..exact._search import check_k
from ..partition import Partition
from ._engine import Found
from ._key_shard import KeyShard, search_shards
from ._searching import SearchesKeys
from ._shards import Shards

__all__ = ["SearchesShards"]


class SearchesShards(SearchesKeys):
    """What can be asked of a fitted :class:`AmortizedNeighbors` with shards."""

    def shards_touched(self, X, k=None, *, target_recall=None, n_probe=None):
        """Count the shards that a search asks.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        k : int, default=None
            As in :meth:`search`.
        target_recall : float, default=None
            As in :meth:`search`.
        n_probe : int, default=None
            As in :meth:`search`.

        Returns
        -------
        n_shards : ndarray of shape (n_queries,), dtype int64
            Shards with a list that is visited, in one round or the other; none for a
            zero query.
        """
        return self._count("count_shards", X, k, target_recall, n_probe)

    def shard_rows(self, shard: int) -> np.ndarray:
        """Rows of the keys that a shard needs to serve its lists.

        Parameters
        ----------
        shard : int
            One of ``shards_``.

        Returns
        -------
        rows : ndarray of shape (n_keys_of_shard,), dtype int64
            Rows of ``keys``, ascending. Each key is on one shard.

        Raises
        ------
        ValueError
            If there is no such shard.
        """
        check_is_fitted(self)
        last = int(self.shards_.max())
        check_scalar(shard, "shard", Integral, min_val=0, max_val=last)
        return np.flatnonzero(self.shards_[self.partition_.labels_] == shard)

    def shard(self, shard: int) -> KeyShard:
        """Make what a machine needs to serve a shard.

        Parameters
        ----------
        shard : int
            One of ``shards_``.

        Returns
        -------
        shard : KeyShard
            With a copy of its keys; it can be pickled. Whatever the lists of the index,
            it finds the exact best keys of those that are visited.

        Raises
        ------
        ValueError
            If there is no such shard.
        """
        rows = self.shard_rows(shard)
        lists = np.flatnonzero(self.shards_ == shard)
        labels = np.searchsorted(lists, self.partition_.labels_[rows])
        partition = Partition(labels, self.partition_.centroids_[lists])
        max_norm = self.router_.key_norms_.max
        trust = getattr(self._engine.lists, "trust", 1.0)
        return KeyShard(self.keys_[rows], rows, partition, max_norm, trust)

    def search_by_shard(self, X, ask, k=None, *, target_recall=None, n_probe=None):
        """Search as :meth:`search` does, with keys that lie elsewhere.

        The router says which lists to visit, each shard that has some of them is asked
        once, and the best of what they find are the result: that of :meth:`search` with
        "flat" lists.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        ask : callable
            ``ask(shard, X, visits, k)`` with some queries, and as an array of bool of
            shape (n_queries, n_lists_of_shard) what they visit, returns what
            ``self.shard(shard).search(X, visits, k)`` does, wherever that is. Called by
            ``n_jobs`` threads.
        k : int, default=None
            As in :meth:`search`.
        target_recall : float, default=None
            As in :meth:`search`.
        n_probe : int, default=None
            As in :meth:`search`.

        Returns
        -------
        scores : ndarray of shape (n_queries, k)
            Inner products of the queries with the keys found, descending.
        indices : ndarray of shape (n_queries, k), dtype int64
            Rows of ``keys``.

        Raises
        ------
        ValueError
            If what is visited depends on what is found: results are to be exact, or
            the index was fitted without shards.
        """
        X = self._check_queries(X)
        k = self.k if k is None else k
        check_k(k, len(self.keys_))
        rule, most = self._rule(k, target_recall, n_probe)
        if not rule.is_one_round:
            raise ValueError(
                "Shards are asked once: give shards, and target_recall, n_probe or a "
                "budget."
            )
        found, some = Found.of_zero(X, k), np.flatnonzero(X.any(axis=1))
        shards = Shards(self.shards_)
        for block, mask in self._engine.visits(X[some], most, rule):
            rows = some[block]
            part = search_shards(ask, shards, X[rows], mask, k, self.n_jobs)
            found.scores[rows], found.indices[rows] = part
        return tuple(found)
