"""Targets of a fit: exact search over the keys, or what the user gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from .._validation import row_blocks
from ..exact import partition_search
from ..exact._blocks import Found
from ..exact._search import top_k
from ..nn import unit_rows
from ..partition import Partition
from ..training import OneProcess, TrainingData

__all__ = ["given_targets", "searched_targets"]


def searched_targets(
    keys: np.ndarray,
    queries: np.ndarray,
    partition: Partition,
    *,
    k: int,
    per_partition: bool,
    max_norm: float,
    matched: Literal["none", "best", "all"],
    n_jobs: int | None,
    memory,
    device: str | torch.device,
    processes: OneProcess,
    progress: Callable[[float], object] | None = None,
) -> TrainingData:
    """Training data whose targets, scores and maybe keys, are found by exact search.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, d)
    queries : ndarray of shape (n, d)
    partition : Partition
    k : int
        Number of best keys that matter.
    per_partition : bool
        Whether targets are those of every partition, or the sums over the k best keys
        of all.
    max_norm : float
        Largest norm of a key.
    matched : {"none", "best", "all"}
        Partitions whose best keys may be matched.
    n_jobs : int or None
    memory : None, str or joblib.Memory
        Where the results of searches are kept.
    device : str or torch device
    processes : OneProcess
        Those that share the search.
    progress : callable or None, default=None
        Told of how many more queries have their targets; of two searches, each makes
        half a query's.
    """
    options = {"keys": keys, "n_jobs": n_jobs, "memory": memory, "device": device}
    _, unit = _directions(queries)
    threshold = best_lists = None
    needs_best = k > 1 or not per_partition or matched == "best"

    def search(function: Callable, **more) -> Found:
        def of_part(part: np.ndarray) -> Found:
            # One process shows the progress of all, as if they were equally fast.
            share = (needs_best + per_partition) * len(part) / len(unit)
            told = None if progress is None else lambda n: progress(n / share)
            return function(queries=part, progress=told, **more, **options)

        return processes.searched(of_part, unit)

    if needs_best:
        top_scores, top = search(top_k, k=k, max_norm=max_norm)
        best_lists = partition.labels_[top].astype(np.int64)
        best = top[:, None, :]
    if not per_partition:
        scores = top_scores.sum(axis=1, keepdims=True)
    else:
        scores, rows = search(
            partition_search, partition=partition, with_indices=matched == "all"
        )
        # A network of several partitions matches the first key of each.
        if matched == "all":
            best = rows[:, :, None]
        elif matched == "best":
            best = best[:, :, :1]
        if k > 1:
            threshold = top_scores[:, -1:]
        elif best_lists is None:
            best_lists = scores.argmax(axis=1)[:, None]
    has_keys = matched != "none"
    return TrainingData(
        unit,
        scores,
        best=best if has_keys else None,
        keys=keys if has_keys else None,
        threshold=threshold,
        best_lists=best_lists if partition.n_partitions > 1 else None,
    )


def given_targets(
    queries: np.ndarray, y, n_partitions: int, *, column_is_key: bool
) -> TrainingData:
    """Training data whose targets are the user's.

    Parameters
    ----------
    queries : ndarray of shape (n, d)
    y : array-like of shape (n,) or (n, d)
        Support values, or best keys.
    n_partitions : int
        Must be one: ``y`` does not say what the best key of each list is.
    column_is_key : bool
        What a ``y`` of shape (n, 1) means when queries have one feature.
    """
    if n_partitions != 1:
        raise ValueError(
            "y can be given with n_partitions=1 only, got n_partitions="
            f"{n_partitions}; leave y out to have the targets of every list searched."
        )
    y = check_array(y, ensure_2d=False, dtype=[np.float64, np.float32], input_name="y")
    check_consistent_length(queries, y)
    norms, unit = _directions(queries)
    is_key = y.ndim == 2 and y.shape[1] == queries.shape[1]
    if is_key and (y.shape[1] > 1 or column_is_key):
        scores = np.einsum("nd,nd->n", queries, y, dtype=np.float64)[:, None]
        rows = np.arange(len(y))[:, None, None]
        return TrainingData(unit, (scores / norms).astype(np.float32), rows, y)
    if y.ndim == 2 and y.shape[1] > 1:
        raise ValueError(
            "y must hold support values, of shape (n_queries,), or best keys, of shape "
            f"(n_queries, {queries.shape[1]}); got shape {y.shape}."
        )
    scores = (column_or_1d(y, warn=True)[:, None] / norms).astype(np.float32)
    size = float(np.sqrt(np.square(scores, dtype=np.float64).mean()))
    return TrainingData(unit, scores, unit=size)


def _directions(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Norms of queries, one for a zero query, and their directions in float32."""
    norms = np.empty((len(queries), 1))
    unit = np.empty(queries.shape, dtype=np.float32)
    for rows in row_blocks(len(queries)):
        norms[rows], unit[rows] = unit_rows(queries[rows])
    return np.where(norms > 0, norms, 1.0), unit
