"""Further queries to learn from: labels are free."""

from __future__ import annotations

import numpy as np

from .._validation import row_blocks
from ..nn import unit_rows

__all__ = ["add_noise", "noisy_queries", "sources"]


def noisy_queries(
    vectors: np.ndarray,
    n: int,
    noise: float,
    rng: np.random.RandomState,
    *,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Directions near those of some vectors, as queries to train on.

    Parameters
    ----------
    vectors : ndarray of shape (n_vectors, d)
        Logged queries, or keys.
    n : int
        Number of queries wanted.
    noise : float
        See :func:`add_noise`.
    rng : numpy RandomState
        Source of randomness.
    weight : ndarray of shape (n_vectors,), optional
        Weights of the vectors.

    Returns
    -------
    queries : ndarray of shape (n, d), dtype float32
        Unit vectors.
    """
    rows = sources(len(vectors), n, rng, weight=weight)
    return add_noise(vectors, rows, noise, rng)


def sources(
    n_vectors: int,
    n: int,
    rng: np.random.RandomState,
    *,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Rows of vectors, ascending: in turn, or drawn at random where they have weights.

    Parameters
    ----------
    n_vectors, n : int
        Numbers of vectors there are, and wanted.
    rng : numpy RandomState
    weight : ndarray of shape (n_vectors,), optional
    """
    if weight is None:
        return np.sort(np.resize(rng.permutation(n_vectors), n))
    return np.sort(rng.choice(n_vectors, n, p=weight / weight.sum()))


def add_noise(
    vectors: np.ndarray, rows: np.ndarray, noise: float, rng: np.random.RandomState
) -> np.ndarray:
    r"""Directions of some rows with normal noise, as unit vectors in float32.

    Parameters
    ----------
    vectors : ndarray of shape (n_vectors, d)
    rows : ndarray of shape (n,)
    noise : float
        Root-mean-square norm of the normal noise that is added to a direction, whose
        norm is 1: a standard deviation of :math:`noise / \sqrt d` a coordinate.
    rng : numpy RandomState
    """
    noisy = np.empty((len(rows), vectors.shape[1]), dtype=np.float32)
    deviation = noise / vectors.shape[1] ** 0.5
    for some in row_blocks(len(rows)):
        unit = unit_rows(vectors[rows[some]])[1]
        unit += deviation * rng.standard_normal(unit.shape)
        noisy[some] = unit_rows(unit)[1]
    return noisy
