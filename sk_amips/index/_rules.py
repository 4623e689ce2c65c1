"""Which lists a query visits: first by predicted scores, then by what was found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ._bounds import ListBounds

if TYPE_CHECKING:
    from ._engine import Start

__all__ = [
    "BoundStop",
    "Budget",
    "FixedProbes",
    "Rule",
    "ScoreStop",
    "bar",
    "by_list",
    "first_lists",
    "ranking",
]


class Rule(ABC):
    """Visits in one or two rounds, as masks of shape (n_lists, n_queries).

    Attributes
    ----------
    toll : float
        What a shard has to be worth more, unless it has the best list; the predicted
        scores that a rule is given have been lowered by it. See ``Shards.tolled``.
    """

    toll: float = 0.0

    @property
    def is_one_round(self) -> bool:
        """Whether what was found changes nothing."""
        return True

    @abstractmethod
    def first(self, scores: np.ndarray) -> np.ndarray:
        """Lists to visit by their predicted scores, (n_lists, n_queries)."""

    def then(self, start: Start) -> np.ndarray | None:
        """Lists to have visited in the end, given what the first ones hold."""
        return None


@dataclass
class FixedProbes(Rule):
    """Equally many lists for every query."""

    n_probe: int
    toll: float = 0.0

    def first(self, scores):
        return first_lists(scores, self.n_probe)


@dataclass
class ScoreStop(Rule):
    """Lists whose predicted score comes near the best, then near what was found.

    Attributes
    ----------
    share : float
        How far from the mean to the largest of its predicted scores the bar of a query
        lies.
    band : float
        The first lists are those whose predicted score, raised by this, reaches the
        bar, and the one predicted best.
    margin : float
        Others follow where their predicted score, raised by this, reaches the k-th best
        score found in the first ones; -inf: none does.
    toll : float
        See :class:`Rule`.
    """

    share: float
    band: float
    margin: float = -np.inf
    toll: float = 0.0

    def first(self, scores):
        mask = bar(scores, self.share) - scores <= np.float32(self.band)
        none = np.flatnonzero(~mask.any(axis=0))
        if len(none):
            mask[scores[:, none].argmax(axis=0), none] = True
        return mask

    @property
    def is_one_round(self):
        return self.margin == -np.inf

    def then(self, start):
        if self.is_one_round:
            return None
        return start.kth - start.scores <= np.float32(self.margin)


@dataclass
class BoundStop(Rule):
    """Lists first by another rule, then all that could hold one of the k best keys."""

    first_rule: Rule
    bounds: ListBounds

    @property
    def toll(self):
        return self.first_rule.toll

    @property
    def is_one_round(self):
        return False

    def first(self, scores):
        return self.first_rule.first(scores)

    def then(self, start):
        return self.bounds(start.unit) >= start.least


@dataclass
class Budget(Rule):
    """Another rule within a number of lists and of keys for each query.

    Attributes
    ----------
    rule : Rule or None
        None visits as much as the budget allows.
    max_lists, max_keys : int or None
        The first list is always visited, whatever its size.
    sizes : ndarray of shape (n_lists,)
        Numbers of keys.
    """

    rule: Rule | None
    max_lists: int | None
    max_keys: int | None
    sizes: np.ndarray

    @property
    def toll(self):
        return 0.0 if self.rule is None else self.rule.toll

    @property
    def is_one_round(self):
        return self.rule is None or self.rule.is_one_round

    def first(self, scores):
        affordable = self._affordable(scores)
        return affordable if self.rule is None else affordable & self.rule.first(scores)

    def then(self, start):
        wanted = None if self.rule is None else self.rule.then(start)
        return None if wanted is None else wanted & self._affordable(start.scores)

    def _affordable(self, scores: np.ndarray) -> np.ndarray:
        n_lists = len(scores) if self.max_lists is None else self.max_lists
        if self.max_keys is None:
            return first_lists(scores, n_lists)
        order = ranking(scores)
        paid = self.sizes[order].cumsum(axis=0) <= self.max_keys
        paid[0] = True
        paid[n_lists:] = False
        return by_list(order, paid)


def bar(scores: np.ndarray, share: float) -> np.ndarray:
    """What lies between the mean and the largest predicted score of each query.

    The k best keys of a query are spread as its predictions are: where one list stands
    out, the others that hold some of them lie further below it. So lists are asked to
    come near a share of the way from the mean to the best, in the units of whatever
    router, and not near the best itself.
    """
    best = scores.max(axis=0)
    if share == 1.0:
        return best
    mean = scores.mean(axis=0)
    return mean + np.float32(share) * (best - mean)


def first_lists(scores: np.ndarray, n: int) -> np.ndarray:
    """Mask of the n lists of largest score of each query; ties by lowest list."""
    n_lists = len(scores)
    if n >= n_lists:
        return np.ones(scores.shape, dtype=bool)
    rows = np.ascontiguousarray(scores.T)
    last = np.partition(rows, n_lists - n, axis=1)[:, n_lists - n]
    mask = scores >= last
    tied = np.flatnonzero(mask.sum(axis=0) > n)
    if len(tied):
        among = np.arange(n_lists)[:, None] < n
        mask[:, tied] = by_list(ranking(scores[:, tied]), among)
    return mask


def ranking(scores: np.ndarray) -> np.ndarray:
    """Lists by descending score of each query, (n_lists, n); ties by lowest list."""
    return np.argsort(-scores, axis=0, kind="stable")


def by_list(order: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values given in the order of a :func:`ranking`, in that of the lists."""
    whole = np.empty(order.shape, dtype=values.dtype)
    np.put_along_axis(whole, order, values, axis=0)
    return whole
