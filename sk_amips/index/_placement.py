"""Which lists share a shard: those that the same queries visit."""

from __future__ import annotations

import numpy as np
from scipy import sparse

__all__ = ["capacity", "place"]

# Keys on a shard over the mean, at most, where whole lists allow it.
_SLACK = 1.1
# Passes over the lists, and shards that a list is tried on.
_PASSES, _TARGETS = 20, 4
# Keys over the mean from which on a shard that grows is full.
_FULL = 0.97


def place(
    visits: np.ndarray, sizes: np.ndarray, n_shards: int, rng: np.random.RandomState
) -> np.ndarray:
    """Place lists on shards so that queries touch few of them.

    Shards grow one after the other, by the list that is visited most with those that a
    shard has. Then list after list moves to another shard, or changes places with one
    there, where that lowers the number of shards that queries touch and keeps to the
    :func:`capacity`, until none does.

    Parameters
    ----------
    visits : ndarray of shape (n_lists, n), dtype bool
        Lists that some queries visit.
    sizes : ndarray of shape (n_lists,)
        Numbers of keys.
    n_shards : int
        At most the number of lists.
    rng : RandomState
        Of the order in which lists are tried.

    Returns
    -------
    shards : ndarray of shape (n_lists,), dtype int64
        In ``0..n_shards - 1``; none is without lists.
    """
    moves = _Moves(visits, sizes, n_shards)
    for _ in range(_PASSES):
        moved = [moves.improve(j) for j in rng.permutation(len(sizes))]
        if not any(moved):
            break
    return moves.shards


def _grown(visits: np.ndarray, sizes: np.ndarray, n_shards: int) -> np.ndarray:
    """Shards of lists that are visited together, or balanced ones if that fits not."""
    most, mean = capacity(sizes, n_shards), sizes.sum() / n_shards
    visits = sparse.csr_array(visits.astype(np.float32))
    # So that lists that all queries visit do not come first everywhere.
    norms = np.sqrt(visits.sum(axis=1) + 1)
    visits = sparse.diags_array(1 / norms) @ visits
    shards = np.full(len(sizes), -1, dtype=np.int64)
    loads = np.zeros(n_shards)
    for shard in range(n_shards):
        together = norms
        while loads[shard] < _FULL * mean:
            able = np.flatnonzero((shards < 0) & (loads[shard] + sizes <= most))
            if not len(able):
                break
            j = able[together[able].argmax()]
            if not loads[shard]:
                together = np.zeros(len(sizes))
            shards[j] = shard
            loads[shard] += sizes[j]
            together = together + visits @ visits[[j]].toarray()[0]
    for j in np.flatnonzero(shards < 0):
        shards[j] = loads.argmin()
        loads[shards[j]] += sizes[j]
    fits = loads.max() <= most and loads.min() > 0
    return shards if fits else _balanced(sizes, n_shards)


def capacity(sizes: np.ndarray, n_shards: int) -> float:
    """Keys that a shard holds at most.

    1.1 times the mean, or, where lists are too large for that, what comes of putting
    them where there are fewest keys, the largest first.
    """
    loads = np.bincount(_balanced(sizes, n_shards), sizes, minlength=n_shards)
    return max(_SLACK * sizes.sum() / n_shards, loads.max())


def _balanced(sizes: np.ndarray, n_shards: int) -> np.ndarray:
    """Each list where there are fewest keys, the largest first."""
    shards = np.empty(len(sizes), dtype=np.int64)
    loads = np.zeros(n_shards)
    for j in np.argsort(-sizes, kind="stable"):
        shards[j] = loads.argmin()
        loads[shards[j]] += sizes[j]
    return shards


class _Moves:
    """A placement, and the moves that improve it.

    Attributes
    ----------
    shards : ndarray of shape (n_lists,), dtype int64
    n_visits : ndarray of shape (n_shards, n), dtype float32
        Numbers of lists of each shard that queries visit.
    """

    def __init__(self, visits: np.ndarray, sizes: np.ndarray, n_shards: int):
        self.sizes = sizes
        self.most = capacity(sizes, n_shards)
        self.shards = _grown(visits, sizes, n_shards)
        self.loads = np.bincount(self.shards, sizes, minlength=n_shards)
        self.visits = visits.astype(np.float32)
        self.visitors = [np.flatnonzero(row) for row in visits]
        self.n_visits = np.zeros((n_shards, visits.shape[1]), dtype=np.float32)
        np.add.at(self.n_visits, self.shards, self.visits)

    def improve(self, j: int) -> bool:
        """Move a list to where queries touch fewest shards, if there is such a place.

        A shard is touched for a list alone where it is the only one visited there, and
        newly touched by one that comes where none was.
        """
        home, who = self.shards[j], self.visitors[j]
        counts = self.n_visits[:, who]
        spared = (counts[home] == 1).sum()
        made = (counts == 0).sum(axis=1).astype(float)
        made[home] = np.inf
        best, target, swapped = 0.0, None, None
        for other in np.argsort(made, kind="stable")[:_TARGETS]:
            if other == home:
                continue
            change = made[other] - spared
            if change < best and self._has_room(other, j, home):
                best, target, swapped = change, other, None
            lists = self._partners(j, home, other)
            if len(lists):
                changes = self._changes(j, home, other, lists) - spared
                i = changes.argmin()
                if changes[i] < best:
                    best, target, swapped = changes[i], other, lists[i]
        if target is None:
            return False
        self._move(j, target)
        if swapped is not None:
            self._move(swapped, home)
        return True

    def _has_room(self, other: int, j: int, home: int) -> bool:
        """Whether a shard can take a list that its own can do without."""
        fits = self.loads[other] + self.sizes[j] <= self.most
        return fits and np.count_nonzero(self.shards == home) > 1

    def _partners(self, j: int, home: int, other: int) -> np.ndarray:
        """Lists of another shard that can change places with one."""
        lists = np.flatnonzero(self.shards == other)
        more = self.sizes[j] - self.sizes[lists]
        fits = self.loads[other] + more <= self.most
        return lists[fits & (self.loads[home] - more <= self.most)]

    def _changes(self, j: int, home: int, other: int, lists: np.ndarray) -> np.ndarray:
        """Shards touched more if each list changes places, but for those spared."""
        who, visits = self.visitors[j], self.visits[lists]
        came = (self.n_visits[other, who] == visits[:, who]).sum(axis=1)
        alone = self.n_visits[home] == self.visits[j]
        left = self.n_visits[other] == 1
        return came + visits @ (alone.astype(np.float32) - left)

    def _move(self, j: int, to: int) -> None:
        home, who = self.shards[j], self.visitors[j]
        self.n_visits[home, who] -= 1
        self.n_visits[to, who] += 1
        self.loads[home] -= self.sizes[j]
        self.loads[to] += self.sizes[j]
        self.shards[j] = to
