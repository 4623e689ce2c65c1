"""Bounds on the best score in a list that hold whatever the query."""

from __future__ import annotations

import numpy as np

from .._validation import row_blocks, row_norms
from ..partition import Partition

__all__ = ["ListBounds"]

# Covers float32 arithmetic in width d, relative to the norms.
_UNIT = 2.0**-22


class ListBounds:
    r"""Upper bounds on the score of every key of a list, for unit queries.

    The smaller of two. All keys lie in a ball around the list's centroid :math:`\mu`,
    so that :math:`\langle x, k \rangle \le \langle x, \mu \rangle + r`; and all lie
    in a cone around it, of half-angle :math:`\alpha`, so that with :math:`\theta` the
    angle between query and centroid and :math:`R` the largest norm
    :math:`\langle x, k \rangle \le R \cos(\theta - \alpha)` where
    :math:`\theta > \alpha`, else :math:`R`; where the cosine is negative, the smallest
    norm takes the place of the largest.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, d)
    partition : Partition
    """

    def __init__(self, keys: np.ndarray, partition: Partition):
        self.centroids = partition.centroids_
        norms = row_norms(self.centroids)
        self.axes = (self.centroids / np.where(norms > 0, norms, 1.0)).astype(
            np.float32
        )
        n_lists = partition.n_partitions
        self.radius = np.zeros((n_lists, 1))
        self.max_norm = np.zeros((n_lists, 1))
        self.min_norm = np.full((n_lists, 1), np.inf)
        cosine = np.ones((n_lists, 1))
        for rows in row_blocks(len(keys)):
            some = np.asarray(keys[rows], dtype=np.float64)
            lists = partition.labels_[rows]
            norm = np.linalg.norm(some, axis=1)
            along = np.einsum("nd,nd->n", some, self.axes[lists])
            np.minimum.at(cosine[:, 0], lists, along / np.where(norm > 0, norm, 1.0))
            np.maximum.at(self.max_norm[:, 0], lists, norm)
            np.minimum.at(self.min_norm[:, 0], lists, norm)
            distance = np.linalg.norm(some - self.centroids[lists], axis=1)
            np.maximum.at(self.radius[:, 0], lists, distance)
        self.angle = np.arccos(np.clip(cosine, -1, 1))

    def __call__(self, unit: np.ndarray) -> np.ndarray:
        """Bounds for unit queries (n, d), shape (n_lists, n)."""
        slack = (unit.shape[1] + 8) * _UNIT
        ball = self.centroids @ unit.T + self.radius
        cosine = np.clip(self.axes @ unit.T, -1, 1)
        beyond = np.maximum(np.arccos(cosine) - self.angle - slack**0.5, 0)
        cosine = np.cos(beyond)
        cone = np.where(cosine > 0, self.max_norm, self.min_norm) * cosine
        return np.minimum(ball, cone) + slack * (self.max_norm + self.radius)
