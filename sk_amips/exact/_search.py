"""Exact top-k search: float32 short-lists with an error margin, float64 re-scoring."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.utils import check_array
from sklearn.utils.validation import check_scalar

from .._device import resolve_device
from .._validation import as_keys, check_same_width, key_norms, row_blocks

__all__ = [
    "check_k",
    "exact_search",
    "rescore",
    "scaled_queries",
    "sort_by_score",
    "top_k",
]

# Short-list entries beyond k: how many near ties are settled without a second pass.
SPARE = 4
_QUERY_ROWS = 2048


def exact_search(
    keys,
    queries,
    k: int = 1,
    *,
    n_jobs: int | None = None,
    max_memory: int = 2**26,
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
        Bytes that one block of scores may take.
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
        If shapes do not fit, values are not finite, a key has norm zero or ``k`` is
        larger than the number of keys.

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
    return top_k(
        keys,
        queries,
        k,
        max_norm=key_norms(keys).max,
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
    max_memory: int = 2**26,
    device: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`exact_search` of checked input, maximising ``<x, key> + offset[key]``.

    ``max_norm`` bounds the norm of the keys. The offset, float64 of shape (n_keys,),
    makes other searches inner-product searches: ``-||key||^2 / 2`` gives Euclidean
    nearest neighbours.
    """
    rows = max(1, min(_QUERY_ROWS, len(queries)))
    columns = max(256, max_memory // (4 * rows))
    blocks = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(_search_block)(
            keys, queries[block], k, max_norm, offset, columns, resolve_device(device)
        )
        for block in row_blocks(len(queries), rows)
    )
    scores = np.concatenate([scores for scores, _ in blocks])
    indices = np.concatenate([indices for _, indices in blocks])
    return scores.astype(queries.dtype, copy=False), indices


def _search_block(
    keys: np.ndarray,
    queries: np.ndarray,
    k: int,
    max_norm: float,
    offset: np.ndarray | None,
    columns: int,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Top k of one block of queries: scores float64 and indices int64."""
    scaled = queries if offset is not None else scaled_queries(queries)
    margin = torch.from_numpy(_rounding_margin(scaled, max_norm, offset, device))
    size = min(k + SPARE, len(keys))
    best = torch.full((len(queries), size), -torch.inf, dtype=torch.float32)
    index = torch.full((len(queries), size), -1)
    for start, scores in _score_blocks(keys, scaled, offset, columns, device):
        # Only rows that have something here within the margin of their k-th best go on.
        reach = best[:, k - 1] - 2 * margin
        rows = (scores.amax(dim=1).cpu() >= reach).nonzero().squeeze(1)
        if len(rows) == 0:
            continue
        some = scores if len(rows) == len(scores) else scores[rows.to(scores.device)]
        values, columns_ = torch.topk(some, min(size, scores.shape[1]), dim=1)
        merged = torch.cat([best[rows], values.cpu()], dim=1)
        places = torch.cat([index[rows], columns_.cpu() + start], dim=1)
        best[rows], order = torch.topk(merged, size, dim=1)
        index[rows] = places.gather(1, order)
    short_list = index.numpy()
    # Where later blocks were passed over, the places beyond the k-th may be unfilled.
    exact = rescore(keys, queries, short_list, offset)
    exact[short_list < 0] = -np.inf
    scores, indices = sort_by_score(exact, short_list, k)
    if size < len(keys):
        # The last of the short-list is too close to the k-th: something as good may
        # have been left out.
        threshold = best[:, k - 1] - 2 * margin
        for row in (best[:, -1] >= threshold).nonzero().squeeze(1).tolist():
            scores[row], indices[row] = _search_near_ties(
                keys,
                queries[row : row + 1],
                scaled[row : row + 1],
                k,
                float(threshold[row]),
                offset,
                columns,
                device,
            )
    return scores, indices


def _score_blocks(
    keys: np.ndarray,
    queries: np.ndarray,
    offset: np.ndarray | None,
    columns: int,
    device: torch.device,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the first index of each block of keys and its float32 scores.

    On the CPU all blocks share one buffer: use the scores before asking for the next.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    resident = torch.from_numpy(queries).to(device) if device.type != "cpu" else None
    buffer = np.empty(len(queries) * min(columns, len(keys)), dtype=np.float32)
    for rows in row_blocks(len(keys), columns):
        block = np.asarray(keys[rows], dtype=np.float32)
        if resident is None:
            out = buffer[: len(queries) * len(block)].reshape(len(queries), -1)
            scores = torch.from_numpy(np.matmul(queries, block.T, out=out))
        else:
            scores = resident @ torch.from_numpy(np.array(block)).to(device).T
        if offset is not None:
            shift = torch.from_numpy(offset[rows].astype(np.float32))
            scores += shift.to(scores.device)
        yield rows.start, scores


def scaled_queries(queries: np.ndarray) -> np.ndarray:
    """Queries divided by their largest coordinate; a zero query stays zero.

    That keeps the order of their scores, and keeps the scores in float32's range.
    """
    largest = np.abs(queries).max(axis=1, keepdims=True)
    return queries / np.where(largest > 0, largest, 1)


def _rounding_margin(
    queries: np.ndarray,
    max_norm: float,
    offset: np.ndarray | None,
    device: torch.device,
) -> np.ndarray:
    """Bound on the error of a float32 score, for each query.

    A d-term inner product in arithmetic of unit roundoff u errs by at most
    ``d u / (1 - d u)`` times the product of the norms; two more roundings come from
    converting the inputs and one from adding the offset.
    """
    unit = 2.0**-24
    if device.type == "cuda" and torch.get_float32_matmul_precision() != "highest":
        unit = 2.0**-8
    steps = (queries.shape[1] + 4) * unit
    norms = np.sqrt(np.einsum("nd,nd->n", queries, queries, dtype=np.float64))
    size = norms * max_norm
    if offset is not None:
        size = size + np.abs(offset).max()
    return steps / max(1 - steps, unit) * size


def rescore(
    keys: np.ndarray,
    queries: np.ndarray,
    indices: np.ndarray,
    offset: np.ndarray | None = None,
) -> np.ndarray:
    """Scores in float64 of the keys at ``indices`` (n, m) with their queries."""
    scores = np.empty(indices.shape)
    # A block of gathered keys stays within some tens of MB.
    step = max(1, 2**22 // (indices.shape[1] * keys.shape[1]))
    for rows in row_blocks(len(queries), step):
        # einsum sums every pair in the same order: equal keys get equal scores.
        gathered = np.asarray(keys[indices[rows]], dtype=np.float64)
        exact = np.asarray(queries[rows], dtype=np.float64)
        scores[rows] = np.einsum("nmd,nd->nm", gathered, exact)
    return scores if offset is None else scores + offset[indices]


def sort_by_score(
    scores: np.ndarray, indices: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each row, by descending score, then by ascending index."""
    order = np.lexsort((indices, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(indices, order, 1)


def _search_near_ties(
    keys: np.ndarray,
    query: np.ndarray,
    scaled: np.ndarray,
    k: int,
    threshold: float,
    offset: np.ndarray | None,
    columns: int,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Top k of one query when many keys lie within rounding error of the k-th."""
    found_scores, found = np.empty(0), np.empty(0, dtype=np.int64)
    for start, scores in _score_blocks(keys, scaled, offset, columns, device):
        near = start + np.flatnonzero(scores[0].cpu().numpy() >= threshold)
        if len(near) == 0:
            continue
        exact = rescore(keys, query, near[None], offset)[0]
        found_scores, found = sort_by_score(
            np.concatenate([found_scores, exact])[None],
            np.concatenate([found, near])[None],
            k,
        )
        found_scores, found = found_scores[0], found[0]
    return found_scores, found
