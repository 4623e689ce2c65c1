"""Scores in float64, and their order."""

from __future__ import annotations

import numpy as np

from .._validation import row_blocks

__all__ = ["pair_scores", "rescore", "sort_by_score"]

# Numbers of gathered keys that are held at a time, so few that they stay in the cache.
_GATHERED = 2**18


def pair_scores(
    keys: np.ndarray,
    queries: np.ndarray,
    key: np.ndarray,
    query: np.ndarray,
    offset: np.ndarray | None = None,
) -> np.ndarray:
    """Scores in float64 of pairs of a key and a query, given by their rows."""
    scores = np.empty(len(key))
    for some in row_blocks(len(key), max(1, _GATHERED // keys.shape[1])):
        # einsum sums every pair in the same order: equal keys get equal scores.
        scores[some] = np.einsum(
            "pd,pd->p",
            np.asarray(keys[key[some]], dtype=np.float64),
            np.asarray(queries[query[some]], dtype=np.float64),
        )
    return scores if offset is None else scores + offset[key]


def rescore(keys: np.ndarray, queries: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Scores in float64 of the keys at ``indices`` (n, m) with their queries."""
    n, m = indices.shape
    query = np.repeat(np.arange(n), m)
    return pair_scores(keys, queries, indices.ravel(), query).reshape(n, m)


def sort_by_score(
    scores: np.ndarray, indices: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each row, by descending score, then by ascending index."""
    order = np.lexsort((indices, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(indices, order, 1)
