"""Scores in float64, and their order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._memmaps import is_mapped, release
from .._validation import row_blocks

__all__ = ["pair_scores", "rescore", "sort_by_score"]

# Numbers of gathered keys that are held at a time, so few that they stay in the cache.
_GATHERED = 2**18
_MANY = 2**12


def pair_scores(
    keys: np.ndarray,
    queries: np.ndarray,
    key: np.ndarray,
    query: np.ndarray,
    offset: np.ndarray | None = None,
) -> np.ndarray:
    """Scores in float64 of pairs of a key and a query, given by their rows."""
    scores = np.empty(len(key))
    # Rows all over a file; few of them may stay in memory.
    passing = len(key) > _MANY and is_mapped(keys)
    size = max(1, min(len(key), _GATHERED // keys.shape[1]))
    gather_keys, gather_queries = (_gatherer(x, size) for x in (keys, queries))
    for some in row_blocks(len(key), size):
        # einsum sums every pair in the same order: equal keys get equal scores.
        scores[some] = np.einsum(
            "pd,pd->p", gather_keys(key[some]), gather_queries(query[some])
        )
        if passing:
            release(keys)
    return scores if offset is None else scores + offset[key]


def _gatherer(rows: np.ndarray, size: int) -> Callable:
    """A function that gathers at most ``size`` rows, in float64, into one room."""
    # What is not contiguous take would copy as a whole.
    if not (isinstance(rows, np.ndarray) and rows.flags.c_contiguous):
        return lambda indices: rows[indices].astype(np.float64)
    # Fresh memory for each call would cost several times the gathering.
    room = np.empty((size, rows.shape[1]), dtype=rows.dtype)
    converted = np.empty(room.shape)

    def gather(indices: np.ndarray) -> np.ndarray:
        some = slice(len(indices))
        # Without "clip" numpy goes through a room of its own.
        rows.take(indices, axis=0, out=room[some], mode="clip")
        converted[some] = room[some]
        return converted[some]

    return gather


def rescore(keys: np.ndarray, queries: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Scores in float64 of the keys at ``indices`` (n, m) with their queries."""
    n, m = indices.shape
    query = np.repeat(np.arange(n), m)
    return pair_scores(keys, queries, indices.ravel(), query).reshape(n, m)


def sort_by_score(
    scores: np.ndarray, indices: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each row, by descending score, then by ascending index."""
    order = np.argsort(-scores, axis=1)[:, : k + 1]
    best = np.take_along_axis(scores, order, 1)
    # Sorting by two columns takes several times as long, and few rows need it.
    tied = (best[:, 1:] == best[:, :-1]) & (best[:, 1:] > -np.inf)
    some = np.flatnonzero(tied.any(axis=1))
    if len(some):
        exactly = np.lexsort((indices[some], -scores[some]), axis=1)
        order[some] = exactly[:, : k + 1]
    order = order[:, :k]
    return best[:, :k], np.take_along_axis(indices, order, 1)
