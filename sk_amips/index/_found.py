"""Keys found for each query, as flat arrays of pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..exact._rescore import sort_by_score

__all__ = ["Candidates", "best_of", "kth_largest"]

# Pairs of a query that are sorted with others, in short rows.
_SHORT = 48


class Candidates(NamedTuple):
    """Pairs of a query and a key that may be among the query's best.

    Attributes
    ----------
    query, key : ndarray of shape (n_pairs,), dtype int64
    score, error : ndarray of shape (n_pairs,), dtype float32
        Approximate score, and a bound on its error.
    """

    query: np.ndarray
    key: np.ndarray
    score: np.ndarray
    error: np.ndarray

    @classmethod
    def empty(cls) -> Candidates:
        """No pair."""
        none, nothing = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        return cls(none, none, nothing, nothing)

    def add(self, more: Candidates) -> Candidates:
        """These pairs and others."""
        if not len(self.query):
            return more
        return Candidates(*map(np.concatenate, zip(self, more, strict=True)))

    def k_best(self, least: np.ndarray, k: int) -> Candidates:
        """Those that may be among the k best of their query.

        Parameters
        ----------
        least : ndarray of shape (n_queries,), dtype float32
            Bound from below on the k-th best score, raised in place.
        k : int
        """
        lower = kth_largest(self.query, self.score - self.error, k, len(least))
        np.maximum(least, lower, out=least)
        kept = self.score + self.error >= least[self.query]
        return Candidates(*(column[kept] for column in self))


def kth_largest(query: np.ndarray, score: np.ndarray, k: int, n: int) -> np.ndarray:
    """k-th largest score of each of n queries, -inf where there are fewer.

    Parameters
    ----------
    query : ndarray of shape (n_pairs,), dtype int64
    score : ndarray of shape (n_pairs,)
    k, n : int
    """
    if n == 1 and len(score) >= k:
        return np.partition(score, -k)[-k:][:1]
    if k == 1:
        best = np.full(n, -np.inf, dtype=score.dtype)
        np.maximum.at(best, query, score)
        return best
    # Few queries have many pairs: apart, so that the others' rows are short.
    crowded = _crowded(query, k, n)
    if crowded.any() and not crowded.all():
        kth = np.empty(n, dtype=score.dtype)
        for part in (crowded, ~crowded):
            some = part[query]
            place = np.cumsum(part) - 1
            n_part = np.count_nonzero(part)
            kth[part] = _kth_of_rows(place[query[some]], score[some], k, n_part)
        return kth
    return _kth_of_rows(query, score, k, n)


def _crowded(query: np.ndarray, k: int, n: int) -> np.ndarray:
    """Which of n queries have so many pairs that rows for all would be long."""
    return np.bincount(query, minlength=n) > max(_SHORT, 2 * k)


def _kth_of_rows(query: np.ndarray, score: np.ndarray, k: int, n: int) -> np.ndarray:
    (rows,) = by_query(query, n, k, (score, -np.inf))
    # A partition is slower: where many are equal, by far.
    return np.sort(rows, axis=1)[:, -k]


def best_of(
    query: np.ndarray, key: np.ndarray, score: np.ndarray, k: int, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """K best pairs of each of n queries, ties by lowest key.

    Returns
    -------
    scores : ndarray of shape (n, k)
        Descending; -inf where a query has fewer pairs.
    indices : ndarray of shape (n, k), dtype int64
        Keys, or -1.
    """
    if n == 1 and len(score) >= k:
        order = np.lexsort((key, -score))[:k]
        return score[None, order], key[None, order]
    if _crowded(query, k, n).any():
        best = score >= kth_largest(query, score, k, n)[query]
        query, key, score = query[best], key[best], score[best]
    return sort_by_score(*by_query(query, n, k, (score, -np.inf), (key, -1)), k)


def by_query(
    query: np.ndarray, n: int, least: int, *columns: tuple[np.ndarray, float]
) -> list[np.ndarray]:
    """Columns of pairs as matrices with a row a query.

    Parameters
    ----------
    query : ndarray of shape (n_pairs,), dtype int64
    n : int
        Number of queries.
    least : int
        Number of columns that the matrices have at least.
    *columns : tuple of (ndarray of shape (n_pairs,), float)
        Values, and what fills the rows.
    """
    counts = np.bincount(query, minlength=n)
    # Numpy has a stable sort in linear time for 16 bits.
    order = np.argsort(
        query.astype(np.uint16 if n <= 2**16 else query.dtype), kind="stable"
    )
    column = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = n, max(least, int(counts.max(initial=0)))
    matrices = []
    for values, filling in columns:
        matrix = np.full(shape, filling, dtype=values.dtype)
        matrix[query[order], column] = values[order]
        matrices.append(matrix)
    return matrices
