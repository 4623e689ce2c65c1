"""Which lists a query visits: first by predicted scores, then by what was found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ._bounds import ListBounds

__all__ = ["BoundStop", "Budget", "FixedProbes", "Rule", "ScoreStop", "first_lists"]


class Rule(ABC):
    """Two rounds of visits, as masks of shape (n_lists, n_queries)."""

    @abstractmethod
    def first(self, scores: np.ndarray) -> np.ndarray:
        """Lists to visit by their predicted scores, (n_lists, n_queries)."""

    def then(
        self, scores: np.ndarray, unit: np.ndarray, kth: np.ndarray, least: np.ndarray
    ) -> np.ndarray | None:
        """Lists to have visited in the end, given the k-th best score found.

        Parameters
        ----------
        scores : ndarray of shape (n_lists, n_queries)
            Predicted scores of unit queries.
        unit : ndarray of shape (n_queries, d)
            The unit queries.
        kth, least : ndarray of shape (n_queries,)
            Score of the k-th best key of the first lists, and a bound on it from below.
        """
        return None


@dataclass
class FixedProbes(Rule):
    """Equally many lists for every query."""

    n_probe: int

    def first(self, scores):
        return first_lists(scores, self.n_probe)


@dataclass
class ScoreStop(Rule):
    """Lists within a band of the best prediction, then those that could do better.

    Attributes
    ----------
    band : float
        The first lists are those whose predicted score is so close to the largest one.
    margin : float
        Others follow where their predicted score, raised by this, reaches the k-th best
        score found in the first ones.
    """

    band: float
    margin: float

    def first(self, scores):
        return scores.max(axis=0) - scores <= np.float32(self.band)

    def then(self, scores, unit, kth, least):
        if self.margin == -np.inf:
            return None
        # As in the calibration, to the last bit.
        return kth - scores <= np.float32(self.margin)


@dataclass
class BoundStop(Rule):
    """As :class:`ScoreStop`, with bounds in the place of predictions raised."""

    band: float
    bounds: ListBounds

    def first(self, scores):
        return scores.max(axis=0) - scores <= np.float32(self.band)

    def then(self, scores, unit, kth, least):
        return self.bounds(unit) >= least


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

    def first(self, scores):
        affordable = self._affordable(scores)
        return affordable if self.rule is None else affordable & self.rule.first(scores)

    def then(self, scores, unit, kth, least):
        wanted = None if self.rule is None else self.rule.then(scores, unit, kth, least)
        return None if wanted is None else wanted & self._affordable(scores)

    def _affordable(self, scores: np.ndarray) -> np.ndarray:
        n_lists = len(scores) if self.max_lists is None else self.max_lists
        if self.max_keys is None:
            return first_lists(scores, n_lists)
        order = np.argsort(-scores, axis=0, kind="stable")[:n_lists]
        paid = self.sizes[order].cumsum(axis=0) <= self.max_keys
        paid[0] = True
        affordable = np.zeros(scores.shape, dtype=bool)
        np.put_along_axis(affordable, order, paid, axis=0)
        return affordable


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
        order = np.argsort(-scores[:, tied], axis=0, kind="stable")[:n]
        few = np.zeros((n_lists, len(tied)), dtype=bool)
        np.put_along_axis(few, order, True, axis=0)
        mask[:, tied] = few
    return mask
