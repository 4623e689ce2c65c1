"""How good a router is, whatever it costs."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import check_scalar

from ._weights import checked_weight, weighted_mean

__all__ = ["keys_in_first", "keys_scanned", "lists_for", "routing_recall"]

_ROUNDING = 1e-12


def routing_recall(list_scores, best_lists, p: int, *, sample_weight=None) -> float:
    """Share of the best keys that lie in the first ``p`` lists of their query.

    Parameters
    ----------
    list_scores : array-like of shape (n_queries, n_partitions)
        Score of each list by the router; the largest is visited first, of equal ones
        that of lowest index.
    best_lists : array-like of shape (n_queries,) or (n_queries, k)
        List of each query's exact best key, or of its k best.
    p : int
        Number of lists visited.
    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries.

    Returns
    -------
    recall : float
        Between 0 and 1.

    Examples
    --------
    >>> from sk_amips.metrics import routing_recall
    >>> routing_recall([[0.9, 0.5, 0.7], [0.1, 0.8, 0.3]], [2, 0], p=2)
    0.5
    """
    check_scalar(p, "p", Integral, min_val=1)
    found = (_ranks(*_check(list_scores, best_lists)) < p).mean(axis=1)
    return weighted_mean(found, sample_weight)


def keys_scanned(
    list_scores, best_lists, sizes, recall: float = 0.95, *, sample_weight=None
) -> float:
    """Share of all keys in the lists that reach a routing recall.

    All queries visit equally many lists: as few as it takes to have a share ``recall``
    of the best keys.

    Parameters
    ----------
    list_scores : array-like of shape (n_queries, n_partitions)
        Score of each list by the router; the largest is visited first, of equal ones
        that of lowest index.
    best_lists : array-like of shape (n_queries,) or (n_queries, k)
        List of each query's exact best key, or of its k best.
    sizes : array-like of shape (n_partitions,)
        Number of keys of each list.
    recall : float, default=0.95
        Share of the best keys that must be found, above 0.
    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries.

    Returns
    -------
    share : float
        Between 0 and 1, the mean over queries.

    Examples
    --------
    >>> from sk_amips.metrics import keys_scanned
    >>> keys_scanned([[0.9, 0.5, 0.7], [0.1, 0.8, 0.3]], [2, 1], [5, 10, 5], recall=0.5)
    0.375
    """
    list_scores, best_lists = _check(list_scores, best_lists)
    sizes = column_or_1d(sizes)
    if len(sizes) != list_scores.shape[1] or sizes.min() < 0 or not sizes.any():
        raise ValueError(
            f"sizes must be the numbers of keys of {list_scores.shape[1]} lists, got "
            f"{sizes}."
        )
    p = lists_for(list_scores, best_lists, recall, sample_weight)
    n_keys = keys_in_first(list_scores, sizes, p)
    return weighted_mean(n_keys, sample_weight) / float(sizes.sum())


def lists_for(list_scores, best_lists, recall: float, sample_weight) -> int:
    """As few lists as all queries have to visit for a routing recall."""
    check_scalar(
        recall, "recall", Real, min_val=0, max_val=1, include_boundaries="right"
    )
    ranks = _ranks(*_check(list_scores, best_lists))
    weight = checked_weight(sample_weight, ranks)
    weight = np.repeat(weight, ranks.shape[1])
    found = np.cumsum(np.bincount(ranks.ravel(), weights=weight))
    # 7 of 100 are a recall of 0.07, whatever the rounding of their product.
    return int(np.searchsorted(found, recall * found[-1] * (1 - _ROUNDING))) + 1


def keys_in_first(list_scores: np.ndarray, sizes: np.ndarray, p: int) -> np.ndarray:
    """Number of keys in the p lists of largest score, for each query."""
    visited = np.argsort(-list_scores, axis=1, kind="stable")[:, :p]
    return sizes[visited].sum(axis=1)


def _check(list_scores, best_lists) -> tuple[np.ndarray, np.ndarray]:
    # A list that is never to be visited may have score -inf.
    list_scores = check_array(
        list_scores, dtype=[np.float64, np.float32], ensure_all_finite=False
    )
    if np.isnan(list_scores).any():
        raise ValueError("list_scores contains NaN.")
    best_lists = check_array(best_lists, ensure_2d=False, input_name="best_lists")
    if best_lists.ndim == 1:
        best_lists = best_lists[:, None]
    check_consistent_length(list_scores, best_lists)
    if not np.isin(best_lists, np.arange(list_scores.shape[1])).all():
        raise ValueError(
            f"best_lists must hold integers from 0 to {list_scores.shape[1] - 1}."
        )
    return list_scores, best_lists.astype(np.intp, copy=False)


def _ranks(list_scores: np.ndarray, best_lists: np.ndarray) -> np.ndarray:
    """How many lists come before those of the best keys; ties by lowest index."""
    order = np.argsort(-list_scores, axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(order.shape[1])[None], axis=1)
    return np.take_along_axis(places, best_lists, axis=1)
