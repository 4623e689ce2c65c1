"""Which keys win, by the queries of a log and to each without its own group."""

from __future__ import annotations

import numpy as np

__all__ = ["Ranking"]

# A multiple of all ranks to 16, and bits of the sum of all that queries add.
_MULTIPLE, _SUM = 720_720, 61


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
        # Their scale says nothing; powers of two change no bit of them.
        weight = np.ldexp(weight, -int(np.frexp(weight.max())[1]))
        added = _added(weight, best.shape[1])
        worth = _sums(best, added, n_keys)
        self.order = np.lexsort((-prior, -worth))
        self._groups, self._weight = groups, weight
        pairs = best * (groups.max() + 1) + groups[:, None]
        _, pair = np.unique(pairs, return_inverse=True)
        pair = pair.reshape(best.shape)
        own = _sums(pair, added, pair.max() + 1)[pair]
        # Without its group a key still has its place among those worth the same.
        tie = np.empty(n_keys, dtype=np.int64)
        tie[np.lexsort((-np.arange(n_keys), prior))] = np.arange(n_keys)
        every = np.concatenate([worth, (worth[best] - own).ravel()])
        _, level = np.unique(every, return_inverse=True)
        standing = level[:n_keys] * n_keys + tie
        bare = level[n_keys:].reshape(best.shape) * n_keys + tie[best]
        full, ascending = standing[best], np.sort(standing)
        self.ahead = np.empty((len(best), k), dtype=np.int64)
        for rank in range(k):
            mine = bare[:, rank, None]
            falls_behind = (full > mine) & (bare < mine)
            falls_behind[:, rank] = True
            before = n_keys - np.searchsorted(ascending, mine[:, 0], side="right")
            self.ahead[:, rank] = before - falls_behind.sum(axis=1)

    @classmethod
    def restored(cls, **attributes) -> Ranking:
        """A ranking from the attributes of another."""
        ranking = object.__new__(cls)
        vars(ranking).update(attributes)
        return ranking

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
        """Of a recall, with groups as the independent units: some dozens of them."""
        kept = (self.ahead < n_kept).mean(axis=1)
        off = self._weight * (kept - np.average(kept, weights=self._weight))
        by_group = np.bincount(self._groups, off)
        few = len(by_group) / (len(by_group) - 1)
        return float((few * np.square(by_group).sum()) ** 0.5 / self._weight.sum())

    def _curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Places ascending, and the recall of keys through each of them."""
        places = np.sort(self.ahead, axis=None)
        order = np.argsort(self.ahead, axis=None, kind="stable")
        weight = np.repeat(self._weight, self.ahead.shape[1])[order]
        total = np.cumsum(weight)
        return places, total / total[-1]


def _added(weight: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Weight over rank, in whole numbers whose sums are exact.

    To rank 16 the inverses are exact, others to 1 in 20,000; weights keep their
    proportions to 1 in 2**38 of their sum, and those below that count as much.
    """
    inverse = np.round(_MULTIPLE / np.arange(1, n_neighbors + 1))
    # A power of two: whole weights stay in proportion.
    unit = 2.0 ** np.floor(np.log2(2.0**_SUM / (weight.sum() * inverse.sum())))
    units = np.maximum(1, np.round(weight * unit)).astype(np.int64)
    return units[:, None] * inverse.astype(np.int64)


def _sums(where: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    sums = np.zeros(n, dtype=np.int64)
    np.add.at(sums, where.ravel(), values.ravel())
    return sums
