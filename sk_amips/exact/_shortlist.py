"""Exact search by a float32 short-list of Faiss, for processors without short codes."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from .._faiss import as_many_threads_as_torch
from .._validation import row_blocks
from ._candidates import places
from ._choice import SMALL, codes_for, seconds_of
from ._codes import Float32Codes
from ._reader import Reader
from ._rescore import rescore, sort_by_score
from ._scan import scan

__all__ = ["shortlist_pays", "shortlist_search"]

# Bytes below which the tiles of Faiss, 4,096 queries by 1,024 keys, are too much.
_LEAST = 2**25
# Keys beyond those wanted: the last of the list bounds all that are not on it.
_SPARE = 4
# Queries that Faiss takes at a time, and the share of them that has to be sure.
_ROWS, _LEAST_SURE = 4096, 0.8
# Keys, queries and width of what is measured.
_MEASURED = (4096, 1024, 256)


def shortlist_pays(reader: Reader, n_queries: int, budget: int) -> bool:
    """Whether Faiss is expected to be faster than :func:`scan`."""
    n_keys, d = reader.keys.shape
    if reader.device.type != "cpu" or reader.offset is not None or budget < _LEAST:
        return False
    if n_keys * n_queries < SMALL:
        return False
    codes = codes_for(n_keys, n_queries, d, reader.device)
    return codes == [Float32Codes] and _faiss_leads()


@lru_cache
def _faiss_leads() -> bool:
    """Whether Faiss multiplies float32 matrices faster than torch, measured once."""
    n_keys, n_queries, d = _MEASURED
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(n_keys, d, generator=generator)
    queries = torch.randn(n_queries, d, generator=generator)
    runs = {
        "torch": lambda: torch.mm(keys, queries.T).view(-1, 32, n_queries).amax(dim=1),
        "faiss": partial(_faiss_top_k, keys.numpy(), queries.numpy(), 1 + _SPARE),
    }
    seconds = seconds_of(runs, torch.device("cpu"))
    return seconds["faiss"] < seconds["torch"]


def shortlist_search(
    reader: Reader, queries: Tensor, unit: Tensor, k: int, budget: int
) -> tuple[np.ndarray, np.ndarray]:
    """Exact top k of queries, as :func:`scan` finds it, and with its parameters.

    Faiss scores all keys in float32, float64 scores decide among the best of them. A
    query whose list could lack a key, by the bound on the error of float32 scores, is
    scanned; so are all others, where that happens too often.
    """
    scores = np.empty((len(queries), k))
    indices = np.empty((len(queries), k), dtype=np.int64)
    sure = np.zeros(len(queries), dtype=bool)
    for some in row_blocks(len(queries), _ROWS):
        if sure[: some.start].sum() < _LEAST_SURE * some.start:
            break
        scores[some], indices[some], sure[some] = _search(
            reader, queries[some], unit[some], k, budget
        )
    lacking = np.flatnonzero(~sure)
    for few in row_blocks(len(lacking), max(1, budget // (64 * places(k)))):
        rows = lacking[few]
        scores[rows], indices[rows] = scan(reader, queries[rows], unit[rows], k, budget)
    return scores, indices


def _search(
    reader: Reader, queries: Tensor, unit: Tensor, k: int, budget: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Top k of some queries, and which of them are surely right."""
    scaled = (queries / unit[:, None].to(queries)).float()
    m = min(k + _SPARE, len(reader.keys))
    lowest, indices = _shortlist(reader, scaled.numpy(), m, budget)
    exact = rescore(reader.keys, queries.numpy(), indices)
    exact, indices = sort_by_score(exact, indices, k)
    if m == len(reader.keys):
        return exact, indices, np.ones(len(queries), dtype=bool)
    coded = Float32Codes.encode_queries(scaled)
    size = reader.max_norm / reader.unit
    error = Float32Codes.key_error(size) * coded.size + size * coded.error
    last = exact[:, -1] / (unit.numpy() * reader.unit)
    return exact, indices, last > lowest + error.numpy()


def _shortlist(
    reader: Reader, queries: np.ndarray, m: int, budget: int
) -> tuple[np.ndarray, np.ndarray]:
    """The m keys with the largest float32 scores, and the last one's score."""
    size = max(m, budget // 2 // (4 * queries.shape[1]))
    scores = np.empty((len(queries), 0), dtype=np.float32)
    indices = np.empty((len(queries), 0), dtype=np.int64)
    for some in row_blocks(len(reader.keys), size):
        block = reader.block(some, 1).numpy()
        top, found = _faiss_top_k(block, queries, min(m, len(block)))
        scores = np.hstack([scores, top])
        indices = np.hstack([indices, found + some.start])
        if scores.shape[1] > m:
            best = np.argpartition(-scores, m - 1, axis=1)[:, :m]
            scores = np.take_along_axis(scores, best, axis=1)
            indices = np.take_along_axis(indices, best, axis=1)
    return scores.min(axis=1), indices


def _faiss_top_k(
    keys: np.ndarray, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Largest float32 products and their keys, with as many threads as torch."""
    import faiss  # here, so that only what needs it does

    with as_many_threads_as_torch():
        return faiss.knn(queries, keys, k, metric=faiss.METRIC_INNER_PRODUCT)
