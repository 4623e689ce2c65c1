"""Lists by the shard that they are on."""

from __future__ import annotations

import numpy as np
from sklearn.utils import column_or_1d

__all__ = ["Shards", "checked_shards", "shards_or_none"]


class Shards:
    """Which list is on which shard, and what that means for visits.

    Parameters
    ----------
    of_list : ndarray of shape (n_lists,), dtype int64
        Shard of each list, in ``0..n_shards - 1``; none of them is without lists.
    """

    def __init__(self, of_list: np.ndarray):
        self.of_list = of_list
        self.n_shards = int(of_list.max()) + 1
        self._order = np.argsort(of_list, kind="stable")
        counts = np.bincount(of_list, minlength=self.n_shards)
        self._starts = np.cumsum(counts) - counts

    def lists(self, shard: int) -> np.ndarray:
        """The lists of a shard, ascending."""
        return np.flatnonzero(self.of_list == shard)

    def touched(self, mask: np.ndarray) -> np.ndarray:
        """Shards that visits (n_lists, n) touch, shape (n_shards, n)."""
        return np.logical_or.reduceat(mask[self._order], self._starts, axis=0)

    def tolled(self, scores: np.ndarray, toll: float) -> np.ndarray:
        """Predicted scores of lists, (n_lists, n), lowered where a shard is in the way.

        The best list opens its shard free of charge. In any other, no list has a larger
        score than the best list there less the toll. So a shard is touched where its
        best list reaches what is asked of it and the toll on top; its other lists then
        need no more than anywhere. What a threshold lets pass is still all that a
        higher one does, so that margins can be calibrated on these scores.
        """
        best = np.maximum.reduceat(scores[self._order], self._starts, axis=0)
        limit = best - np.float32(toll)
        limit[best.argmax(axis=0), np.arange(scores.shape[1])] = np.inf
        return np.minimum(scores, limit[self.of_list])


def shards_or_none(of_list: np.ndarray) -> Shards | None:
    """Shards of lists; None where there is but one."""
    return Shards(of_list) if of_list.any() else None


def checked_shards(shards, n_lists: int) -> int | np.ndarray:
    """The parameter ``shards``, as a number or an array of the shard of each list.

    Raises
    ------
    ValueError
        If there are more shards than lists, or an array does not fit the lists or
        leaves a shard without any.
    """
    if shards is None:
        return 1
    if np.ndim(shards) == 0:
        if shards > n_lists:
            raise ValueError(
                f"shards must be at most the number of lists, {n_lists}: got {shards}."
            )
        return int(shards)
    shards = column_or_1d(shards)
    if len(shards) != n_lists:
        raise ValueError(
            f"shards must have one number a list: got {len(shards)} numbers for "
            f"{n_lists} lists."
        )
    if shards.dtype.kind not in "iu" or not _are_from_zero(shards):
        raise ValueError(
            "shards must hold integers from 0 on, and leave no shard without a list."
        )
    return shards.astype(np.int64)


def _are_from_zero(shards: np.ndarray) -> bool:
    return np.array_equal(np.unique(shards), np.arange(len(np.unique(shards))))
