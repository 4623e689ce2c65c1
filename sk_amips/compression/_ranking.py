"""Which keys win, by the queries of a log and to each without its own group."""

from __future__ import annotations

import numpy as np

__all__ = ["Ranking"]

# Of what the least query adds: so little decides where it is the same.
_TIE = 1e-6


class Ranking:
    """Keys in the order in which they are worth keeping.

    A key is worth the sum, over the queries that have it among their best keys, of the
    inverse of its rank there. Every query is then asked where its best keys would stand
    without what its own group has added: that is where they stand for a query of a new
    group, so that the share of them among the first keys is an estimate of recall that
    has not seen what it judges.

    Parameters
    ----------
    best : ndarray of shape (n_queries, n_neighbors)
        Best keys of each query, from the best.
    groups : ndarray of shape (n_queries,)
        Group of each query, from 0 on.
    weight : ndarray of shape (n_queries,)
        Positive.
    prior : ndarray of shape (n_keys,)
        Decides between keys that are worth the same.
    k : int
        Number of best keys that recall is about.

    Attributes
    ----------
    order : ndarray of shape (n_keys,)
        Keys, from the one most worth keeping.
    ahead : ndarray of shape (n_queries, k)
        Number of keys that stand before each of the k best keys of a query, without
        the worth that comes from the query's group.

    Notes
    -----
    Without a group other keys are worth less too. That is taken into account for the
    best keys of the query itself, and not for those of the rest of its group.
    """

    def __init__(
        self,
        best: np.ndarray,
        groups: np.ndarray,
        weight: np.ndarray,
        prior: np.ndarray,
        k: int,
    ):
        n_keys = len(prior)
        added = weight[:, None] / np.arange(1, best.shape[1] + 1)
        worth = np.empty(n_keys)
        worth[np.argsort(prior, kind="stable")] = np.arange(n_keys) / n_keys
        worth *= _TIE * added.min()
        worth += np.bincount(best.ravel(), added.ravel(), n_keys)
        self.order = np.argsort(-worth, kind="stable")
        self._groups, self._weight = groups, weight
        pairs = best * (groups.max() + 1) + groups[:, None]
        _, pair = np.unique(pairs, return_inverse=True)
        own = np.bincount(pair.ravel(), added.ravel())[pair.reshape(best.shape)]
        full, bare = worth[best], worth[best] - own
        ascending = worth[self.order[::-1]]
        self.ahead = np.empty((len(best), k), dtype=np.int64)
        for rank in range(k):
            mine = bare[:, rank, None]
            falls_behind = (full > mine) & (bare < mine)
            falls_behind[:, rank] = True
            before = n_keys - np.searchsorted(ascending, mine[:, 0], side="right")
            self.ahead[:, rank] = before - falls_behind.sum(axis=1)

    def recall(self, n_kept):
        """Share of the best keys that are among the first ones, for numbers of them."""
        places, recall = self._curve()
        through = np.searchsorted(places, np.asarray(n_kept), side="left")
        return np.concatenate([[0.0], recall])[through]

    def n_kept(self, recall: float) -> int:
        """Smallest number of keys with a recall."""
        places, reached = self._curve()
        return int(places[min(np.searchsorted(reached, recall), len(places) - 1)]) + 1

    def standard_error(self, n_kept: int) -> float:
        """Of a recall, with groups as the independent units."""
        kept = (self.ahead < n_kept).mean(axis=1)
        off = self._weight * (kept - np.average(kept, weights=self._weight))
        by_group = np.bincount(self._groups, off)
        return float(np.square(by_group).sum() ** 0.5 / self._weight.sum())

    def _curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Places ascending, and the recall of keys through each of them."""
        places = np.sort(self.ahead, axis=None)
        order = np.argsort(self.ahead, axis=None, kind="stable")
        weight = np.repeat(self._weight, self.ahead.shape[1])[order]
        total = np.cumsum(weight)
        return places, total / total[-1]
