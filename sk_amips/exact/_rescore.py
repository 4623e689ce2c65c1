"""Scores in float64, and their order."""

from __future__ import annotations

import numpy as np

from .._validation import row_blocks

__all__ = ["rescore", "sort_by_score"]

# Numbers of gathered keys that are held at a time: some tens of MB.
_GATHERED = 2**22


def rescore(
    keys: np.ndarray,
    queries: np.ndarray,
    indices: np.ndarray,
    offset: np.ndarray | None = None,
) -> np.ndarray:
    """Scores in float64 of the keys at ``indices`` (n, m) with their queries."""
    n, m = indices.shape
    d = keys.shape[1]
    scores = np.empty((n, m))
    for columns in row_blocks(m, max(1, _GATHERED // d)):
        width = columns.stop - columns.start
        for rows in row_blocks(n, max(1, _GATHERED // (width * d))):
            # einsum sums every pair in the same order: equal keys get equal scores.
            gathered = np.asarray(keys[indices[rows, columns]], dtype=np.float64)
            exact = np.asarray(queries[rows], dtype=np.float64)
            scores[rows, columns] = np.einsum("nmd,nd->nm", gathered, exact)
    return scores if offset is None else scores + offset[indices]


def sort_by_score(
    scores: np.ndarray, indices: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each row, by descending score, then by ascending index."""
    order = np.lexsort((indices, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(indices, order, 1)
