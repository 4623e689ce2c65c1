"""How near predicted keys are to the best ones."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_array
from sklearn.utils._param_validation import StrOptions, validate_params

from ._weights import checked_weight

__all__ = ["relative_key_error"]


@validate_params(
    {"average": [StrOptions({"mean_of_ratios", "ratio_of_means"})]},
    prefer_skip_nested_validation=True,
)
def relative_key_error(
    predicted, best, queries, *, average="mean_of_ratios", sample_weight=None
) -> float:
    r"""Squared distance of predicted keys to the best ones, relative to the queries'.

    For a query :math:`x` with best key :math:`k^*` it is :math:`\|\hat y - k^*\|^2`
    over :math:`\|x - k^*\|^2`. One means that the query itself would have predicted
    its best key as well.

    Parameters
    ----------
    predicted : array-like of shape (n_queries, n_features)
        Predicted keys.
    best : array-like of shape (n_queries, n_features)
        Best keys.
    queries : array-like of shape (n_queries, n_features)
        Queries.
    average : {"mean_of_ratios", "ratio_of_means"}, default="mean_of_ratios"
        Whether every query counts by its own ratio, and those that equal their best key
        are left out, or the sum of all errors is divided by the sum of all squared
        distances. The latter is not swayed by queries close to their best key.
    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries.

    Returns
    -------
    error : float
        At least 0; nan when every query equals its best key.

    Examples
    --------
    >>> from sk_amips.metrics import relative_key_error
    >>> predicted, best = [[0.0, 1.0], [3.0, 0.0]], [[0.0, 2.0], [1.0, 0.0]]
    >>> queries = [[0.0, 4.0], [2.0, 0.0]]
    >>> relative_key_error(predicted, best, queries)
    2.125
    >>> relative_key_error(predicted, best, queries, average="ratio_of_means")
    1.0
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
    weight = checked_weight(sample_weight, base)
    if average == "mean_of_ratios":
        weight = np.where(base > 0, weight, 0.0)
        error = np.divide(error, base, out=np.zeros_like(error), where=base > 0)
        base = np.ones_like(base)
    total = np.dot(weight, base)
    return float(np.dot(weight, error) / total) if total > 0 else float("nan")
