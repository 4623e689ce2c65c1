"""Nearest centroid of every key, by direction."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from .._validation import key_norms
from ..nn import unit_rows
from ._blocks import over_query_blocks
from ._search import merged, top_k_here
from ._tasks import here_or_in_tasks

__all__ = ["assign"]

# Bytes of directions that are held at a time.
_BLOCK = 2**25


def assign(
    rows: np.ndarray,
    centroids: np.ndarray,
    *,
    n_jobs: int | None = None,
    device: str | torch.device = "cpu",
) -> np.ndarray:
    """Centroid of the largest inner product with each row, ties by lowest index.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
        Of any norm, read block by block.
    centroids : ndarray of shape (c, d)
    n_jobs : int or None, default=None
        As in :func:`exact_search`.
    device : {"auto", "cpu", "cuda"} or torch device, default="cpu"
        Where to compute.

    Returns
    -------
    labels : ndarray of shape (n,), dtype int64
    """
    search = partial(
        _assign_rows,
        max_norm=key_norms(centroids, allow_zero=True).max,
        device=device,
    )
    _, labels = here_or_in_tasks(
        search,
        rows,
        partial(merged, k=1),
        keys=centroids,
        by_key={},
        n_jobs=n_jobs,
        bytes_per_query=16,
        dtype=np.float64,
    )
    return labels[:, 0]


def _assign_rows(
    queries: np.ndarray,
    *,
    keys: np.ndarray,
    max_norm: float,
    device: str | torch.device,
    n_jobs: int | None = 1,
    dtype: np.dtype = np.float64,
) -> tuple[np.ndarray, np.ndarray]:
    """Best centroids, by this process, of rows as they are."""
    search = partial(_assign_block, keys=keys, max_norm=max_norm, device=device)
    size = max(1, _BLOCK // (4 * queries.shape[1]))
    return over_query_blocks(search, queries, size, n_jobs=n_jobs, dtype=dtype)


def _assign_block(
    queries: np.ndarray, *, keys: np.ndarray, **options
) -> tuple[np.ndarray, np.ndarray]:
    return top_k_here(unit_rows(queries)[1], keys=keys, k=1, **options)
