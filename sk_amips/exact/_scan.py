"""Scores of all keys in float32, block by block, with a bound on their error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .._validation import row_blocks

__all__ = ["Scan", "scaled_queries"]


def scaled_queries(queries: np.ndarray) -> np.ndarray:
    """Queries divided by their largest coordinate; a zero query stays zero.

    That keeps the order of their scores, and keeps the scores in float32's range.
    """
    largest = np.abs(queries).max(axis=1, keepdims=True)
    return queries / np.where(largest > 0, largest, 1)


@dataclass(frozen=True)
class Scan:
    """Float32 scores ``<x, key> + offset[key]`` of queries with all keys.

    Attributes
    ----------
    keys : ndarray of shape (n_keys, d)
        Keys.
    max_norm : float
        Bound on the norms of the keys.
    device : torch.device
        Where to compute.
    max_memory : int
        Bytes for a block of scores, and for a block of keys.
    offset : ndarray of shape (n_keys,), dtype float64, or None
        Added to the inner products.
    """

    keys: np.ndarray
    max_norm: float
    device: torch.device
    max_memory: int
    offset: np.ndarray | None = None

    def blocks(self, queries: np.ndarray) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the first index of each block of keys and the scores (n, block).

        On the CPU all blocks share one buffer: use one before asking for the next.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        on_cpu = self.device.type == "cpu"
        resident = None if on_cpu else torch.from_numpy(queries).to(self.device)
        size = max(1, self.max_memory // (4 * max(queries.shape)))
        buffer = np.empty(len(queries) * min(size, len(self.keys)), dtype=np.float32)
        for rows in row_blocks(len(self.keys), size):
            block = np.asarray(self.keys[rows], dtype=np.float32)
            if on_cpu:
                out = buffer[: len(queries) * len(block)].reshape(len(queries), -1)
                scores = torch.from_numpy(np.matmul(queries, block.T, out=out))
            else:
                scores = resident @ torch.from_numpy(np.array(block)).to(self.device).T
            if self.offset is not None:
                shift = torch.from_numpy(self.offset[rows].astype(np.float32))
                scores += shift.to(self.device)
            yield rows.start, scores

    def margin(self, queries: np.ndarray) -> torch.Tensor:
        """Bound on the error of a score, for each query.

        Rounding the factors to unit roundoff v errs by ``2 v + v^2``, and adding up d
        products with unit roundoff u by ``d u / (1 - d u)``, relative to the product of
        the norms; a few more steps stand for the conversion and the offset.
        """
        unit = 2.0**-24
        factors = unit if self.device.type == "cpu" or _full_precision() else 2.0**-8
        steps = 2 * (queries.shape[1] + 4) * unit
        relative = 2 * factors + factors**2 + steps / max(1 - steps, unit)
        norms = np.sqrt(np.einsum("nd,nd->n", queries, queries, dtype=np.float64))
        size = norms * self.max_norm
        if self.offset is not None:
            size = size + np.abs(self.offset).max()
        return torch.from_numpy(relative * size)


def _full_precision() -> bool:
    """Whether torch multiplies float32 matrices without shortening the factors."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set by a newer interface, whose answer this one cannot give
        return False
