"""Further queries to learn from: labels are free."""

from __future__ import annotations

import numpy as np

from .._validation import row_blocks
from ..nn import unit_rows

__all__ = ["noisy_queries"]


def noisy_queries(
    sources: np.ndarray,
    n: int,
    noise: float,
    rng: np.random.RandomState,
    *,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    r"""Directions near those of some vectors, as queries to train on.

    Parameters
    ----------
    sources : ndarray of shape (n_sources, d)
        Logged queries, or keys.
    n : int
        Number of queries wanted. Sources are taken in turn, in random order; drawn at
        random where they have weights.
    noise : float
        Root-mean-square norm of the normal noise that is added to a direction, whose
        norm is 1: a standard deviation of :math:`noise / \sqrt d` a coordinate.
    rng : numpy RandomState
        Source of randomness.
    weight : ndarray of shape (n_sources,), optional
        Weights of the sources.

    Returns
    -------
    queries : ndarray of shape (n, d), dtype float32
        Unit vectors.
    """
    if weight is None:
        rows = np.sort(np.resize(rng.permutation(len(sources)), n))
    else:
        rows = np.sort(rng.choice(len(sources), n, p=weight / weight.sum()))
    noisy = np.empty((n, sources.shape[1]), dtype=np.float32)
    deviation = noise / sources.shape[1] ** 0.5
    for some in row_blocks(n):
        unit = unit_rows(sources[rows[some]])[1]
        unit += deviation * rng.standard_normal(unit.shape)
        noisy[some] = unit_rows(unit)[1]
    return noisy
