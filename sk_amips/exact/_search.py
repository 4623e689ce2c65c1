"""Exact top-k search: short codes rule out most keys, float64 scores decide."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from joblib import effective_n_jobs
from sklearn.utils import check_array
from sklearn.utils.validation import check_scalar

from .._device import resolve_device
from .._memmaps import release
from .._sharded import ShardedArray
from .._validation import as_keys, check_same_width, key_norms
from ._blocks import memory_budget, over_query_blocks
from ._candidates import places
from ._reader import Reader
from ._rescore import sort_by_score
from ._scan import scan
from ._shortlist import shortlist_pays, shortlist_search
from ._tasks import here_or_in_tasks

__all__ = ["check_k", "exact_search", "merged", "top_k", "top_k_here"]


def exact_search(
    keys,
    queries,
    k: int = 1,
    *,
    n_jobs: int | None = None,
    max_memory: int | None = None,
    memory=None,
    device: str | torch.device = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the largest inner products with each query.

    Keys of any norm, ``np.memmap`` included, are read in blocks and never copied as a
    whole on a CPU. Scores of 8-bit or bfloat16 codes, whichever this machine is fastest
    at, or else float32 ones, rule out all keys that a bound on their error allows to;
    float64 scores decide among the few that are left.

    Parameters
    ----------
    keys : array-like or ShardedArray of shape (n_keys, n_features)
        Keys.
    queries : array-like or ShardedArray of shape (n_queries, n_features)
        Queries.
    k : int, default=1
        Number of keys wanted for each query.
    n_jobs : int or None, default=None
        Blocks of queries searched at the same time, by threads, each of which already
        uses all of torch's threads. Under :func:`joblib.parallel_config` with another
        backend ("loky", "dask", ...) blocks of queries and of keys are searched by its
        workers, with the same result.
    max_memory : int or None, default=None
        Bytes that the search may hold on the device, beside keys, queries and results
        in the computer's memory; None: 256 MB on a CPU, half of the free memory of a
        GPU. Fewer mean smaller blocks, down to some that take a few MB.
    memory : None, str or object with the joblib.Memory interface, default=None
        Folder where results are kept, block by block: the same search is then read and
        not computed, and an interrupted one goes on where it stopped.
    device : {"auto", "cpu", "cuda"} or torch device, default="auto"
        Where to compute.

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
    queries = _as_queries(queries)
    check_same_width(keys, queries)
    check_k(k, len(keys))
    if max_memory is not None:
        check_scalar(max_memory, "max_memory", (int, np.integer), min_val=1)
    return top_k(
        keys,
        queries,
        k,
        max_norm=key_norms(keys, allow_zero=True).max,
        n_jobs=n_jobs,
        max_memory=max_memory,
        memory=memory,
        device=device,
    )


def _as_queries(queries):
    """Queries as a matrix of finite numbers; shards are looked at one by one."""
    shards = queries.shards if isinstance(queries, ShardedArray) else [queries]
    checked = []
    for shard in shards:
        checked.append(
            check_array(shard, dtype=[np.float64, np.float32], input_name="queries")
        )
        release(checked[-1])
    return checked[0] if len(checked) == 1 else ShardedArray(checked)


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
    max_memory: int | None = None,
    memory=None,
    device: str | torch.device = "auto",
    progress: Callable[[int], object] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`exact_search` of checked input, maximising ``<x, key> + offset[key]``.

    ``max_norm`` bounds the norm of the keys. The offset, float64 of shape (n_keys,),
    makes other searches inner-product searches: ``-||key||^2 / 2`` gives Euclidean
    nearest neighbours. ``progress`` is told of queries done, block by block.
    """
    search = partial(
        top_k_here, k=k, max_norm=max_norm, max_memory=max_memory, device=device
    )
    return here_or_in_tasks(
        search,
        queries,
        partial(merged, k=k),
        keys=keys,
        by_key={"offset": offset},
        n_jobs=n_jobs,
        bytes_per_query=16 * k,
        memory=memory,
        problem=("top_k", keys, offset, k),
        progress=progress,
        dtype=queries.dtype,
    )


def top_k_here(
    queries: np.ndarray,
    *,
    keys: np.ndarray,
    k: int,
    max_norm: float,
    device: str | torch.device,
    offset: np.ndarray | None = None,
    max_memory: int | None = None,
    n_jobs: int | None = 1,
    dtype: np.dtype = np.float64,
    **kept,
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`top_k` by this process, of as many keys as there are."""
    k = min(k, len(keys))
    device = resolve_device(device)
    budget = memory_budget(max_memory, device)
    reader = Reader(keys, max_norm, device, budget // 2, offset)
    budget = (budget - reader.n_resident_bytes) // effective_n_jobs(n_jobs)
    search, n_places = scan, places(k)
    if shortlist_pays(reader, len(queries), budget // 2):
        search, n_places = shortlist_search, 2 * k
    # Queries, their codes, and the candidates with what sorting them takes.
    per_query = 24 * queries.shape[1] + 64 * min(n_places, len(keys))
    return over_query_blocks(
        partial(_search_block, search, reader, k=k, budget=budget // 2),
        queries,
        budget // 2 // per_query,
        n_jobs=n_jobs,
        dtype=dtype,
        **kept,
    )


def merged(one: tuple, other: tuple, *, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of two results, scores in float64."""
    scores, indices = (np.hstack(pair) for pair in zip(one, other, strict=True))
    return sort_by_score(scores, indices, k)


def _search_block(
    search: Callable, reader: Reader, queries: np.ndarray, *, k: int, budget: int
) -> tuple[np.ndarray, np.ndarray]:
    """Top k of one block of queries: scores float64 and indices int64."""
    rows = reader.queries(queries)
    largest = rows.abs().amax(dim=1).double()
    if reader.offset is not None:
        return search(reader, rows, torch.ones_like(largest), k, budget)
    some = largest > 0
    if some.all():
        return search(reader, rows, largest, k, budget)
    # To a zero query all keys are equal.
    scores = np.zeros((len(queries), k))
    indices = np.tile(np.arange(k), (len(queries), 1))
    if some.any():
        found = search(reader, rows[some], largest[some], k, budget)
        some = some.cpu().numpy()
        scores[some], indices[some] = found
    return scores, indices
