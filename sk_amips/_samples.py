"""Samples of queries that keep their groups together."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import _num_samples

__all__ = ["checked_groups", "group_numbers", "two_parts", "usable_queries"]


def usable_queries(
    queries: np.ndarray, groups, max_queries: int | None, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of queries that are not zero, and their groups, from 0 on.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features)
    groups : array-like of shape (n_queries,) or None
        None: every query is a group of its own.
    max_queries : int or None
        Of more, random groups with as many; the last of them may lose some.
    rng : RandomState

    Returns
    -------
    rows : ndarray of shape (n_usable,)
        Ascending.
    groups : ndarray of shape (n_usable,)

    Raises
    ------
    ValueError
        If groups do not fit the queries, or fewer than two groups are left.
    """
    if groups is None:
        groups = np.arange(len(queries))
    groups = checked_groups(groups, queries)
    rows = np.flatnonzero(queries.any(axis=1))
    if max_queries is not None and len(rows) > max_queries:
        _, codes = np.unique(groups[rows], return_inverse=True)
        rows = np.sort(rows[_in_order_of_groups(codes, rng)[:max_queries]])
    names, codes = np.unique(groups[rows], return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            "queries must come from at least two groups (each is one where groups=None)"
            f", not counting queries that are zero or left out: got {len(names)}."
        )
    return rows, codes


def checked_groups(groups, queries) -> np.ndarray | None:
    """Groups, one for each query, if there are any.

    Raises
    ------
    ValueError
        If they do not fit the queries, or one is missing: NaN, NaT, None or pandas' NA.
    """
    if groups is None:
        return None
    groups = column_or_1d(groups)
    check_consistent_length(queries, groups)
    if groups.dtype.kind == "O":
        missing = np.array([_is_missing(group) for group in groups], dtype=bool)
    else:
        missing = groups != groups
    if missing.any():
        raise ValueError(
            "groups contains NaN or another missing value (first in row "
            f"{int(np.argmax(missing))})."
        )
    return groups


def group_numbers(groups, queries) -> np.ndarray:
    """Group of each query, from 0 on; where ``groups`` is None, each is one.

    Raises
    ------
    ValueError
        As of :func:`checked_groups`.
    """
    if groups is None:
        return np.arange(_num_samples(queries))
    return np.unique(checked_groups(groups, queries), return_inverse=True)[1]


def _is_missing(group) -> bool:
    if group is None:
        return True
    same = group == group
    # pandas' NA has no truth value.
    return not (isinstance(same, (bool, np.bool_)) and same)


def two_parts(
    groups: np.ndarray, n_first: int, n_second: int, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of random groups, about a third of all, and of others; at most as many.

    Parameters
    ----------
    groups : ndarray of shape (n_queries,)
        At least two.
    n_first, n_second : int
        Largest numbers of rows.
    rng : RandomState
    """
    order = _in_order_of_groups(groups, rng)
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    wanted = min(len(order) // 3, n_first)
    middle = starts[min(np.searchsorted(starts, wanted), len(starts) - 1)]
    return order[:middle][:n_first], order[middle:][:n_second]


def _in_order_of_groups(groups: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """All rows, group by group, the groups in random order."""
    return np.argsort(rng.permutation(groups.max() + 1)[groups], kind="stable")
