"""How good found keys are."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import validate_params
from sklearn.utils.validation import check_scalar

from ._weights import weighted_mean

__all__ = ["match_rate", "mean_reciprocal_rank", "recall_at_k"]


def match_rate(
    true_scores, found_scores, *, sample_weight=None, tol: float = 1e-6
) -> float:
    """Share of queries whose best key is returned first.

    A key that scores as high as the best, within ``tol``, counts as the best.

    Parameters
    ----------
    true_scores : array-like of shape (n_queries,) or (n_queries, k)
        Exact scores, the best first.
    found_scores : array-like of shape (n_queries,) or (n_queries, k)
        Scores of the keys found, with the true query, the best first.
    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries.
    tol : float, default=1e-6
        Largest difference of scores that are called equal, relative to the best.

    Returns
    -------
    rate : float
        Between 0 and 1.

    Notes
    -----
    Scores that have a large part in common, such as the norms of keys far from zero
    that Euclidean distances bring in, differ by less than ``tol`` even where keys do
    not: the rate is then too high. Shift the data to their mean first, as
    :func:`~sk_amips.datasets.load_hdf5` does, or take ``tol=0``. A best score of zero
    is reached by scores of zero and above alone.

    Examples
    --------
    >>> from sk_amips.metrics import match_rate
    >>> match_rate([1.0, 2.0], [1.0, 1.5])
    0.5
    """
    true_scores, found_scores = _as_columns(true_scores, found_scores)
    hit = found_scores[:, 0] >= _threshold(true_scores[:, 0], tol)
    return weighted_mean(hit, sample_weight)


@validate_params({"average": ["boolean"]}, prefer_skip_nested_validation=True)
def recall_at_k(
    true_scores,
    found_scores,
    found_indices,
    *,
    k: int | None = None,
    average: bool = True,
    sample_weight=None,
    tol: float = 1e-6,
):
    """Share of the k best keys that are among the k returned.

    A returned key is a hit when its score reaches the k-th best score, within ``tol``,
    so ties are hits. A key returned twice counts once, and index -1
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
    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries in the mean.
    tol : float, default=1e-6
        Largest difference of scores that are called equal, relative to the better one.

    Returns
    -------
    recall : float or ndarray of shape (n_queries,)
        Between 0 and 1.

    Notes
    -----
    Where scores have a large part in common recall is too high: see
    :func:`match_rate`.

    Examples
    --------
    >>> from sk_amips.metrics import recall_at_k
    >>> recall_at_k([[3.0, 2.0]], [[3.0, 1.0]], [[7, 4]])
    0.5
    """
    true_scores, scores, indices = _returned(
        true_scores, found_scores, found_indices, k, same_width=True
    )
    k = scores.shape[1]
    hit = scores >= _threshold(true_scores[:, k - 1 : k], tol)
    order = np.argsort(indices, axis=1, kind="stable")
    ordered = np.take_along_axis(indices, order, axis=1)
    new = np.ones_like(ordered, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    new &= ordered >= 0
    recall = (np.take_along_axis(hit, order, axis=1) & new).sum(axis=1) / k
    return weighted_mean(recall, sample_weight) if average else recall


@validate_params({"average": ["boolean"]}, prefer_skip_nested_validation=True)
def mean_reciprocal_rank(
    true_scores,
    found_scores,
    found_indices,
    *,
    k: int | None = None,
    average: bool = True,
    sample_weight=None,
    tol: float = 1e-6,
):
    """Mean of one over the rank at which the best key is returned.

    Zero stands for a query whose best key is not returned. A key that scores as high
    as the best, within ``tol``, counts as the best; index -1 never does, but takes a
    place. With ``k=1`` this is the match rate.

    Parameters
    ----------
    true_scores : array-like of shape (n_queries,) or (n_queries, any number)
        Exact scores, the best first.
    found_scores : array-like of shape (n_queries, at least k)
        Scores of the keys found, with the true query, in the order in which they are
        returned.
    found_indices : array-like of shape (n_queries, at least k)
        Which keys were found.
    k : int or None, default=None
        Number of keys looked at; None takes all columns of ``found_scores``.
    average : bool, default=True
        Whether to return the mean over queries or a value for each.
    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries in the mean.
    tol : float, default=1e-6
        Largest difference of scores that are called equal, relative to the better one.

    Returns
    -------
    rank : float or ndarray of shape (n_queries,)
        Between 0 and 1.

    Examples
    --------
    A ranking by predicted scores has the best key second.

    >>> from sk_amips.metrics import mean_reciprocal_rank
    >>> mean_reciprocal_rank([3.0], [[2.0, 3.0, 1.0]], [[4, 7, 5]])
    0.5
    """
    true_scores, scores, indices = _returned(
        true_scores, found_scores, found_indices, k, same_width=False
    )
    hit = (scores >= _threshold(true_scores[:, :1], tol)) & (indices >= 0)
    reciprocal = np.where(hit.any(axis=1), 1 / (1 + hit.argmax(axis=1)), 0.0)
    return weighted_mean(reciprocal, sample_weight) if average else reciprocal


def _returned(true_scores, found_scores, found_indices, k, *, same_width: bool):
    """Exact scores, and the first k scores and indices found, of one length.

    With ``same_width`` there must be k exact scores as well.
    """
    true_scores, found_scores = _as_columns(true_scores, found_scores)
    given = check_array(found_indices, ensure_2d=False)
    found_indices = given.astype(np.int64, copy=False)
    if (found_indices != given).any():
        raise ValueError("found_indices must be integers, -1 where there is no key.")
    found_indices = found_indices.reshape(len(found_indices), -1)
    check_consistent_length(found_scores, found_indices)
    k = found_scores.shape[1] if k is None else k
    check_scalar(k, "k", Integral, min_val=1)
    for name, array in [
        ("true_scores", true_scores),
        ("found_scores", found_scores),
        ("found_indices", found_indices),
    ]:
        if array.shape[1] < k and (same_width or array is not true_scores):
            raise ValueError(f"{name} must have at least k={k} columns: {array.shape}.")
    return true_scores, found_scores[:, :k], found_indices[:, :k]


def _as_columns(*arrays) -> list[np.ndarray]:
    checked = [
        check_array(a, ensure_2d=False, ensure_all_finite=False, dtype=np.float64)
        for a in arrays
    ]
    check_consistent_length(*checked)
    if np.isnan(checked[0]).any():
        raise ValueError("true_scores contains NaN.")
    return [a[:, None] if a.ndim == 1 else a for a in checked]


def _threshold(scores: np.ndarray, tol: float) -> np.ndarray:
    """Least scores that are as good as these."""
    check_scalar(tol, "tol", Real, min_val=0)
    return scores - tol * np.abs(scores)
