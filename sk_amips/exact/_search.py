"""Exact top-k search: float32 short-lists with an error margin, float64 re-scoring."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.utils import check_array
from sklearn.utils.validation import check_scalar

from .._device import resolve_device
from .._validation import as_keys, check_same_width, key_norms, row_blocks
from ._rescore import rescore, sort_by_score
from ._scan import Scan, scaled_queries

__all__ = [
    "MAX_MEMORY",
    "check_k",
    "exact_search",
    "over_query_blocks",
    "search_block",
    "top_k",
]

# Bytes of a block of scores.
MAX_MEMORY = 2**26
# Short-list entries beyond k: how many near ties are settled without a second pass.
SPARE = 4
_QUERY_ROWS = 2048


def exact_search(
    keys,
    queries,
    k: int = 1,
    *,
    n_jobs: int | None = None,
    max_memory: int = MAX_MEMORY,
    device: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the largest inner products with each query.

    Keys of any norm, ``np.memmap`` included, are read in blocks and never copied as a
    whole. A float32 pass makes a short-list that contains the answer by a bound on its
    rounding error, and float64 scores decide.

    Parameters
    ----------
    keys : array-like of shape (n_keys, n_features)
        Keys.
    queries : array-like of shape (n_queries, n_features)
        Queries.
    k : int, default=1
        Number of keys wanted for each query.
    n_jobs : int or None, default=None
        Blocks of queries searched at the same time, through joblib; each already uses
        all BLAS threads.
    max_memory : int, default=67108864
        Bytes that a block of scores, or of keys, may take.
    device : {"auto", "cpu", "cuda"} or torch device, default="auto"
        Where the float32 pass runs.

    Returns
    -------
    scores : ndarray of shape (n_queries, k)
        Inner products, descending, in the precision of the queries.
    indices : ndarray of shape (n_queries, k), dtype int64
        Rows of ``keys``; equal scores are in order of their index.

    Raises
    ------
    ValueError
        If shapes do not fit, values are not finite or ``k`` is larger than the number
        of keys.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips import exact_search
    >>> keys = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> scores, indices = exact_search(keys, [[1.0, 0.1], [1.0, 1.0]], k=2)
    >>> indices
    array([[2, 0],
           [1, 2]])
    """
    keys = as_keys(keys)
    queries = check_array(queries, dtype=[np.float64, np.float32], input_name="queries")
    check_same_width(keys, queries)
    check_k(k, len(keys))
    check_scalar(max_memory, "max_memory", (int, np.integer), min_val=1)
    return top_k(
        keys,
        queries,
        k,
        max_norm=key_norms(keys, allow_zero=True).max,
        n_jobs=n_jobs,
        max_memory=max_memory,
        device=device,
    )


def check_k(k: int, n_keys: int, name: str = "k") -> None:
    """Raise unless ``k`` is an integer between 1 and the number of keys."""
    check_scalar(k, name, (int, np.integer), min_val=1)
    if k > n_keys:
        raise ValueError(
            f"{name} must be at most the number of keys, {n_keys}: got {k}."
        )


def top_k(
    keys: np.ndarray,
    queries: np.ndarray,
    k: int,
    *,
    max_norm: float,
    offset: np.ndarray | None = None,
    n_jobs: int | None = None,
    max_memory: int = MAX_MEMORY,
    device: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`exact_search` of checked input, maximising ``<x, key> + offset[key]``.

    ``max_norm`` bounds the norm of the keys. The offset, float64 of shape (n_keys,),
    makes other searches inner-product searches: ``-||key||^2 / 2`` gives Euclidean
    nearest neighbours.
    """
    scan = Scan(keys, max_norm, resolve_device(device), max_memory, offset)
    search = partial(search_block, scan, k=k)
    scores, indices = over_query_blocks(search, queries, _QUERY_ROWS, n_jobs)
    return scores.astype(queries.dtype, copy=False), indices


def over_query_blocks(
    search: Callable, queries: np.ndarray, size: int, n_jobs: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and indices that ``search(block)`` finds for blocks of the queries."""
    blocks = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(search)(queries[rows]) for rows in row_blocks(len(queries), size)
    )
    scores, indices = zip(*blocks, strict=True)
    return np.concatenate(scores), np.concatenate(indices)


def search_block(
    scan: Scan, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Top k of one block of queries: scores float64 and indices int64."""
    scaled = queries if scan.offset is not None else scaled_queries(queries)
    margin = scan.margin(scaled)
    size = min(k + SPARE, len(scan.keys))
    best = torch.full((len(queries), size), -torch.inf, dtype=torch.float32)
    index = torch.full((len(queries), size), -1)
    for start, scores in scan.blocks(scaled):
        # Only rows that have something here within the margin of their k-th best go on.
        reach = best[:, k - 1] - 2 * margin
        rows = (scores.amax(dim=1).cpu() >= reach).nonzero().squeeze(1)
        if len(rows) == 0:
            continue
        some = scores if len(rows) == len(scores) else scores[rows.to(scores.device)]
        values, columns = torch.topk(some, min(size, scores.shape[1]), dim=1)
        merged = torch.cat([best[rows], values.cpu()], dim=1)
        places = torch.cat([index[rows], columns.cpu() + start], dim=1)
        best[rows], order = torch.topk(merged, size, dim=1)
        index[rows] = places.gather(1, order)
    short_list = index.numpy()
    # Where later blocks were passed over, the places beyond the k-th may be unfilled.
    exact = rescore(scan.keys, queries, short_list, scan.offset)
    exact[short_list < 0] = -np.inf
    scores, indices = sort_by_score(exact, short_list, k)
    if size == len(scan.keys):
        return scores, indices
    # The last of a short-list may be so close to the k-th that something as good was
    # left out. A zero query, to which all keys are equal, needs no second look.
    threshold = best[:, k - 1] - 2 * margin
    unsure = (best[:, -1] >= threshold).numpy()
    if scan.offset is None:
        zero = ~scaled.any(axis=1)
        scores[zero], indices[zero] = 0.0, np.arange(k)
        unsure &= ~zero
    if unsure.any():
        scores[unsure], indices[unsure] = _search_near_ties(
            scan, queries[unsure], scaled[unsure], threshold.numpy()[unsure], k
        )
    return scores, indices


def _search_near_ties(
    scan: Scan, queries: np.ndarray, scaled: np.ndarray, threshold: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Top k among all keys whose float32 score reaches a query's threshold."""
    scores = np.full((len(queries), k), -np.inf)
    indices = np.full((len(queries), k), -1)
    for start, block in scan.blocks(scaled):
        block = block.cpu().numpy()
        for row in np.flatnonzero((block >= threshold[:, None]).any(axis=1)):
            near = start + np.flatnonzero(block[row] >= threshold[row])
            exact = rescore(scan.keys, queries[row, None], near[None], scan.offset)
            scores[row], indices[row] = sort_by_score(
                np.concatenate([scores[row, None], exact], axis=1),
                np.concatenate([indices[row, None], near[None]], axis=1),
                k,
            )
    return scores, indices
