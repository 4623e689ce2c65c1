"""Search of a batch of queries by a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from torch import Tensor

from .._validation import row_blocks
from ..exact._rescore import pair_scores
from ._code_lists import CodeLists
from ._found import Candidates, best_of, kth_largest
from ._queries import Queries
from ._rules import Rule, by_list, ranking
from ._shards import Shards

__all__ = ["BLOCK", "Engine", "Found", "Start", "directions"]

# Queries of a batch: enough to share lists, few enough to stay in the cache.
BLOCK = 2048
# Cost of the small steps of a second round, in products of a query and a key.
_ROUND = 1024
# Predicted scores that are held at a time.
_SCORES = 2**24


class Found(NamedTuple):
    """Result of a search.

    Attributes
    ----------
    scores, indices : ndarray of shape (n, k)
        Descending scores, -inf where the lists hold fewer keys; keys, or -1.
    """

    scores: np.ndarray
    indices: np.ndarray

    @classmethod
    def of_zero(cls, X: np.ndarray, k: int) -> Found:
        """What is found if all queries are zero: to such all keys are equal."""
        scores = np.zeros((len(X), k), dtype=X.dtype)
        return cls(scores, np.tile(np.arange(k), (len(X), 1)))


@dataclass
class Start:
    """First round of a search.

    Attributes
    ----------
    unit : ndarray of shape (n, d), dtype float32
        Directions of the queries.
    scores : ndarray of shape (n_lists, n), dtype float32
        Predicted scores of the lists, less a toll.
    mask : ndarray of shape (n_lists, n), dtype bool
        Lists visited.
    queries : object
        What the lists make of the queries.
    found : Candidates
        Keys that may be among the best.
    least : ndarray of shape (n,), dtype float32
        Bound from below on the score of the k-th best key found.
    k : int
        Number of keys wanted.
    """

    unit: np.ndarray
    scores: np.ndarray
    mask: np.ndarray
    queries: Queries
    found: Candidates
    least: np.ndarray
    k: int

    @cached_property
    def kth(self) -> np.ndarray:
        """Score of the k-th best key found, as the lists tell it."""
        return kth_largest(self.found.query, self.found.score, self.k, len(self.unit))

    def more(self, rule: Rule) -> np.ndarray | None:
        """Lists of a second round, shape (n_lists, n); None: there is none."""
        wanted = rule.then(self)
        return None if wanted is None else wanted & ~self.mask


class Engine:
    """Lists, their scores by a router, and the search that both make.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, d)
        Keys, by reference.
    lists : CodeLists or FaissLists
    scorer : callable
        From unit queries (n, d) to the scores of lists, (n_lists, n).
    shards : Shards or None, default=None
        Where the lists are; None: all in one place.
    """

    def __init__(
        self,
        keys: np.ndarray,
        lists: CodeLists,
        scorer: Callable[[np.ndarray], Tensor],
        shards: Shards | None = None,
    ):
        self.keys = keys
        self.lists = lists
        self.scorer = scorer
        self.shards = shards
        self.sizes = lists.partition.sizes_
        # Whole numbers that float32 holds, unless there are too many keys.
        dtype = np.float32 if len(keys) < 2**24 else np.float64
        self._each = np.stack([np.ones_like(self.sizes), self.sizes]).astype(dtype)
        # Queries of a batch.
        self.block = max(1, min(BLOCK, _SCORES // len(self.sizes)))

    def search(self, X: np.ndarray, k: int, rule: Rule) -> Found:
        """K best keys of the lists that a rule has some queries visit.

        Parameters
        ----------
        X : ndarray of shape (n, d)
            Queries, none of them zero.
        k : int
        rule : Rule
        """
        start = self.begin(*self.predict(X, rule.toll), k, rule)
        found, least = start.found, start.least
        more = start.more(rule)
        if more is not None:
            other = self.lists.search(start.queries, more, least, k)
            found = found.add(other).k_best(least, k)
        exact = pair_scores(self.keys, X, found.key, found.query)
        scores, indices = best_of(found.query, found.key, exact, k, len(X))
        return Found(scores.astype(X.dtype), indices)

    def count_visits(self, X: np.ndarray, k: int, rule: Rule) -> np.ndarray:
        """Numbers of lists and of keys, shape (2, n), that queries visit."""
        counts = np.empty((2, len(X)), dtype=np.int64)
        for rows, mask in self.visits(X, k, rule):
            counts[:, rows] = self._counts(mask)
        return counts

    def count_shards(self, X: np.ndarray, k: int, rule: Rule) -> np.ndarray:
        """Numbers of shards, shape (n,), that queries touch."""
        if self.shards is None:
            return np.ones(len(X), dtype=np.int64)
        counts = np.empty(len(X), dtype=np.int64)
        for rows, mask in self.visits(X, k, rule):
            counts[rows] = self.shards.touched(mask).sum(axis=0)
        return counts

    def visits(
        self, X: np.ndarray, k: int, rule: Rule
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Batches of queries, and the lists (n_lists, n) that they visit in the end."""
        for rows in row_blocks(len(X), self.block):
            predicted = self.predict(X[rows], rule.toll)
            if rule.is_one_round:
                yield rows, self.first(predicted[1], k, rule)
            else:
                start = self.begin(*predicted, k, rule)
                yield rows, start.mask | start.more(rule)

    def _counts(self, mask: np.ndarray) -> np.ndarray:
        """Numbers of lists and of keys that visits come to."""
        return (self._each @ mask.astype(self._each.dtype)).astype(np.int64)

    def cost(self, mask: np.ndarray, more: np.ndarray | None = None) -> float:
        """Cost of a query in a full batch of such, in products of a query and a key.

        Parameters
        ----------
        mask, more : ndarray of shape (n_lists, n), dtype bool
            Visits of the first round, and of a second one.
        """
        cost = self.lists.cost(mask, self.block)
        return (
            cost if more is None else cost + self.lists.cost(more, self.block) + _ROUND
        )

    def predict(
        self, X: np.ndarray, toll: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Directions of queries (n, d), and predicted scores of lists (n_lists, n)."""
        unit = directions(X)
        return unit, self.tolled(self.scorer(unit).numpy(), toll)

    def tolled(self, scores: np.ndarray, toll: float) -> np.ndarray:
        """Predicted scores of lists (n_lists, n), less a toll."""
        free = self.shards is None or not toll
        return scores if free else self.shards.tolled(scores, toll)

    def begin(self, unit: np.ndarray, scores: np.ndarray, k: int, rule: Rule) -> Start:
        """First round of a search, given what :meth:`predict` tells."""
        queries = self.lists.encode(unit)
        mask = self.first(scores, k, rule)
        least = np.full(len(unit), -np.inf, dtype=np.float32)
        found = self.lists.search(queries, mask, least, k).k_best(least, k)
        return Start(unit, scores, mask, queries, found, least, k)

    def first(self, scores: np.ndarray, k: int, rule: Rule) -> np.ndarray:
        """First visits, with more of the best lists where all would not hold k keys."""
        mask = rule.first(scores)
        if k <= self.sizes.min():
            return mask
        short = np.flatnonzero(self._counts(mask)[1] < k)
        if len(short):
            order = ranking(scores[:, short])
            before = np.cumsum(self.sizes[order], axis=0) - self.sizes[order]
            mask[:, short] |= by_list(order, before < k)
        return mask


def directions(X: np.ndarray) -> np.ndarray:
    """Queries over their norms, in float32."""
    rows = X / np.abs(X).max(axis=1, keepdims=True)
    rows = rows.astype(np.float32, copy=False)
    rows /= np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return rows
