"""How good found keys are."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_array, check_consistent_length

__all__ = ["match_rate", "recall_at_k", "relative_key_error"]


def match_rate(true_scores, found_scores, *, sample_weight=None) -> float:
    """Share of queries whose best key is returned first.

    A key that scores as high as the best, within a relative 1e-6, counts as the best.

    Parameters
    ----------
    true_scores : array-like of shape (n_queries,) or (n_queries, k)
        Exact scores, the best first.
    found_scores : array-like of shape (n_queries,) or (n_queries, k)
        Scores of the keys found, with the true query, the best first.
    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries.

    Returns
    -------
    rate : float
        Between 0 and 1.

    Examples
    --------
    >>> from sk_amips.metrics import match_rate
    >>> match_rate([1.0, 2.0], [1.0, 1.5])
    0.5
    """
    true_scores, found_scores = _as_columns(true_scores, found_scores)
    hit = found_scores[:, 0] >= _threshold(true_scores[:, 0])
    return float(np.average(hit, weights=sample_weight))


def recall_at_k(
    true_scores, found_scores, found_indices, *, k: int | None = None, average=True
):
    """Share of the k best keys that are among the k returned.

    A returned key is a hit when its score reaches the k-th best score, within a
    relative 1e-6, so ties are hits. A key returned twice counts once, and index -1
    never.

    Parameters
    ----------
    true_scores : array-like of shape (n_queries, at least k)
        Exact scores, descending.
    found_scores : array-like of shape (n_queries, at least k)
        Scores of the keys found, with the true query.
    found_indices : array-like of shape (n_queries, at least k)
        Which keys were found.
    k : int or None, default=None
        Number of keys looked at; None takes all columns of ``found_scores``.
    average : bool, default=True
        Whether to return the mean over queries or a value for each.

    Returns
    -------
    recall : float or ndarray of shape (n_queries,)
        Between 0 and 1.

    Examples
    --------
    >>> from sk_amips.metrics import recall_at_k
    >>> recall_at_k([[3.0, 2.0]], [[3.0, 1.0]], [[7, 4]])
    0.5
    """
    true_scores, found_scores = _as_columns(true_scores, found_scores)
    found_indices = check_array(found_indices, ensure_2d=False, dtype=np.int64)
    found_indices = found_indices.reshape(len(found_indices), -1)
    check_consistent_length(found_scores, found_indices)
    k = found_scores.shape[1] if k is None else k
    for name, array in [
        ("true_scores", true_scores),
        ("found_scores", found_scores),
        ("found_indices", found_indices),
    ]:
        if array.shape[1] < k:
            raise ValueError(f"{name} must have at least k={k} columns: {array.shape}.")
    indices = found_indices[:, :k]
    hit = found_scores[:, :k] >= _threshold(true_scores[:, k - 1 : k])
    order = np.argsort(indices, axis=1, kind="stable")
    ordered = np.take_along_axis(indices, order, axis=1)
    new = np.ones_like(ordered, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    new &= ordered >= 0
    recall = (np.take_along_axis(hit, order, axis=1) & new).sum(axis=1) / k
    return float(recall.mean()) if average else recall


def relative_key_error(predicted, best, queries) -> float:
    r"""Mean of :math:`\|\hat y - k^*\|^2 / \|x - k^*\|^2` over queries.

    One means that the query itself would have predicted its best key as well. Queries
    that equal their best key are left out.

    Parameters
    ----------
    predicted : array-like of shape (n_queries, n_features)
        Predicted keys.
    best : array-like of shape (n_queries, n_features)
        Best keys.
    queries : array-like of shape (n_queries, n_features)
        Queries.

    Returns
    -------
    error : float
        At least 0; nan when every query equals its best key.

    Examples
    --------
    >>> from sk_amips.metrics import relative_key_error
    >>> relative_key_error([[0.0, 1.0]], [[0.0, 2.0]], [[0.0, 4.0]])
    0.25
    """
    predicted, best, queries = (
        check_array(array, dtype=np.float64) for array in (predicted, best, queries)
    )
    if not predicted.shape == best.shape == queries.shape:
        raise ValueError(
            "predicted, best and queries must have one shape, got "
            f"{predicted.shape}, {best.shape} and {queries.shape}."
        )
    error = np.square(predicted - best).sum(axis=1)
    base = np.square(queries - best).sum(axis=1)
    if not base.any():
        return float("nan")
    return float((error[base > 0] / base[base > 0]).mean())


def _as_columns(*arrays) -> list[np.ndarray]:
    checked = [
        check_array(a, ensure_2d=False, ensure_all_finite=False, dtype=np.float64)
        for a in arrays
    ]
    check_consistent_length(*checked)
    return [a[:, None] if a.ndim == 1 else a for a in checked]


def _threshold(scores: np.ndarray) -> np.ndarray:
    return scores - 1e-6 * np.abs(scores)
