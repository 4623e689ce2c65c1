"""Splits of a query log that keep the spellings of one question together."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils import (
    _safe_indexing,
    check_random_state,
    column_or_1d,
    indexable,
)
from sklearn.utils._param_validation import Interval, validate_params

from ._samples import group_numbers

__all__ = ["grouped_query_split"]


@validate_params(
    {
        "test_size": [Interval(Real, 0, 1, closed="neither"), None],
        "parts": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def grouped_query_split(
    X, *arrays, groups, test_size=None, parts=None, random_state=None
) -> list:
    """Split queries at random into two or more parts, never a group between them.

    A log holds many spellings of one question. Split query by query, most test queries
    have a twin among those learned from, and a table of known answers does as well as a
    network that generalizes. Tell the group of each query, such as the document it was
    written for, the session it comes from, or its text without case and accents, and
    scores are those for new questions. To learn, to stop early, to calibrate and to
    judge are different uses: give each a part of its own.

    Parameters
    ----------
    X : array-like of shape (n_queries, n_features)
        Queries.
    *arrays : array-likes of length n_queries
        What else has a row for each query, such as weights or the groups themselves.
    groups : array-like of shape (n_queries,)
        Group of each query: numbers or strings.
    test_size : float, default=None
        Share of the groups in the second of two parts; None: 0.2.
    parts : array-like of float of shape (n_parts,), default=None
        Shares of the groups in two or more parts, in place of ``test_size``; they must
        sum to one.
    random_state : int, RandomState instance or None, default=None
        Which groups go where.

    Returns
    -------
    split : list of length n_parts * (1 + len(arrays))
        The parts of ``X``, then those of each array, as of scikit-learn's
        ``train_test_split``: X_train, X_test, a_train, a_test, ... Rows keep their
        order.

    Raises
    ------
    ValueError
        If lengths differ, ``groups`` is None or has missing values, shares are not
        positive or do not sum to one, or there are too few groups for every part to
        have one.

    See Also
    --------
    sklearn.model_selection.GroupKFold : Folds for cross-validation.

    Notes
    -----
    Shares count groups, as in scikit-learn's ``GroupShuffleSplit``: every part is a
    random sample of the questions. Its share of the queries is the same in the mean,
    and varies with the sizes of the groups.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.model_selection import grouped_query_split
    >>> queries = np.random.default_rng(0).normal(size=(50, 4))
    >>> groups = np.arange(50) // 5
    >>> train, test = grouped_query_split(queries, groups=groups, random_state=0)
    >>> train.shape, test.shape
    ((40, 4), (10, 4))

    The groups of the training queries, for the splits inside ``fit``, and parts to
    calibrate on and to judge by:

    >>> train, cal, test, train_groups, cal_groups, _ = grouped_query_split(
    ...     queries, groups, groups=groups, parts=(0.6, 0.2, 0.2), random_state=0
    ... )
    >>> np.intersect1d(train_groups, cal_groups)
    array([], dtype=int64)
    """
    arrays = indexable(X, *arrays)
    if groups is None:
        raise ValueError("groups must name the group of every query, got None.")
    codes = group_numbers(groups, X)
    n_groups = len(np.unique(codes))
    ends = _ends(_shares(test_size, parts), n_groups)
    places = check_random_state(random_state).permutation(n_groups)
    part_of_group = np.searchsorted(ends, places, side="right")
    part = part_of_group[codes]
    rows = [np.flatnonzero(part == i) for i in range(len(ends))]
    return [_safe_indexing(array, some) for array in arrays for some in rows]


def _shares(test_size, parts) -> np.ndarray:
    """Share of the groups in each part."""
    if parts is None:
        test_size = 0.2 if test_size is None else test_size
        return np.array([1 - test_size, test_size])
    if test_size is not None:
        raise ValueError("Give test_size or parts, not both.")
    shares = np.asarray(column_or_1d(parts), dtype=np.float64)
    if len(shares) < 2 or not (shares > 0).all() or not np.isclose(shares.sum(), 1):
        raise ValueError(
            "parts must be two or more positive shares that sum to one, got "
            f"{shares.tolist()}."
        )
    return shares / shares.sum()


def _ends(shares: np.ndarray, n_groups: int) -> np.ndarray:
    """Where each part ends in an order of the groups; every one has a group."""
    n_parts = len(shares)
    if n_groups < n_parts:
        raise ValueError(
            f"groups must name at least as many groups as there are parts, {n_parts}: "
            f"got {n_groups}."
        )
    ends = np.rint(np.cumsum(shares) * n_groups).astype(np.int64)
    ends[-1] = n_groups  # whatever the sum was rounded to
    # At least one group a part: ends rise by one, from one on.
    before = np.arange(n_parts)
    ends = np.maximum.accumulate(ends - before)
    return np.clip(ends, 1, n_groups - n_parts + 1) + before
