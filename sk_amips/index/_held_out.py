"""Which queries a router learns from, and which choose and calibrate."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.utils.validation import check_is_fitted

from .._validation import as_keys, check_same_width
from ..estimators._base import COLD_NOISE
from ..routing._base import BaseRouter
from ..training import noisy_queries
from ._gate import LINEAR

__all__ = ["Fitted", "fitted_routers", "noisy_keys", "two_uses"]

# Share of the calibration queries that choose router and stop, before the others set
# the margin. As many queries are held out at least, and half of them choose.
_TUNING, _ENOUGH = 0.2, 500
_NO_KEYS = "Without queries there must be keys, got router.keys=None."
# Noisy keys that calibrate where no query does.
_COLD = 4096


class Fitted(NamedTuple):
    """Routers over the same lists, and what is left to choose and to calibrate by.

    Attributes
    ----------
    routers : list of estimators
    X_cal : ndarray of shape (n, d)
        Queries unknown to them.
    groups : ndarray of shape (n,) or None
        Groups of these.
    X_train : ndarray or None
        Some queries that they have learned from, or such as those, in random order;
        None where they were fitted before.
    """

    routers: list
    X_cal: np.ndarray
    groups: np.ndarray | None
    X_train: np.ndarray | None


def bare_routers(router) -> list[BaseRouter]:
    """The routers of a parameter, which may be frozen.

    Raises
    ------
    TypeError
        If one is none of this library.
    ValueError
        If there is none, or their keys differ.
    """
    routers = router if isinstance(router, list | tuple) else [router]
    if not routers:
        raise ValueError("router must not be an empty list.")
    bare = [r.estimator if isinstance(r, FrozenEstimator) else r for r in routers]
    for some in bare:
        if not isinstance(some, BaseRouter):
            raise TypeError(
                f"router must be one of the routers of sk_amips, got {some!r}."
            )
        if some.keys is not bare[0].keys:
            raise ValueError("Routers of a list must have the very same keys.")
    return bare


def noisy_keys(router, rng: np.random.RandomState) -> np.ndarray:
    """Queries to calibrate on where there is no log, with a warning.

    Raises
    ------
    ValueError
        If the router has no keys yet.
    """
    router = bare_routers(router)[0]
    if router.keys is None:
        raise ValueError(_NO_KEYS)
    warnings.warn(
        "There are no queries: the index is calibrated on noisy keys, and what it "
        "promises holds for such. Call calibrate() with the first queries.",
        stacklevel=5,
    )
    return noisy_queries(as_keys(router.keys), _COLD, COLD_NOISE, rng)


def fitted_routers(
    router, X, X_cal, groups, share, rng: np.random.RandomState
) -> Fitted:
    """Fit routers on one part of some queries, all over the lists of the first.

    Parameters
    ----------
    router : estimator or list of estimators
    X : ndarray of shape (n_queries, d) or None
    X_cal : ndarray of shape (n_calibration_queries, d) or None
        Not both are None.
    groups : ndarray of shape (n_queries,) or None
    share : float or "auto"
        Of the queries, to calibrate on where ``X_cal`` is None.
    rng : RandomState
    """
    routers = bare_routers(router)
    known = [_is_fitted(some) for some in routers]
    if all(known):
        _check_same_lists(routers)
        if X_cal is not None:
            X, groups = X_cal, None
        check_same_width(routers[0].keys_, X)
        return Fitted(routers, X, groups, None)
    if any(known):
        raise ValueError("Routers of a list must be fitted, all of them or none.")
    first, *others = (clone(some) for some in routers)
    if X is None:
        if first.keys is None:
            raise ValueError(_NO_KEYS)
        _fit_without_log(first, rng)
        for some in others:
            _fit_without_log(some.set_params(partition=first.partition_), rng)
        log = noisy_queries(as_keys(first.keys), LINEAR, COLD_NOISE, rng)
        return Fitted([first, *others], X_cal, None, rng.permutation(log))
    train = np.arange(len(X))
    if X_cal is not None:
        train, X_cal, groups = rng.permutation(train), X_cal, None
    elif first.keys is None:
        X_cal = X
    else:
        if share == "auto":
            share = min(1 / 3, max(0.1, _ENOUGH / len(X)))
        n_groups = len(X) if groups is None else len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(
                "Queries of two groups at least are needed, to learn from and to "
                f"calibrate on: got n_samples={len(X)} in one group."
            )
        train, held_out = _split(X, groups, share, rng)
        train = rng.permutation(train)  # of groups they come in order
        X_cal, groups = X[held_out], None if groups is None else groups[held_out]
    log = X if len(train) == len(X) else X[train]
    first.fit(log)
    for some in others:
        some.set_params(partition=first.partition_).fit(log)
    return Fitted([first, *others], X_cal, groups, X[train[:LINEAR]])


def _is_fitted(router) -> bool:
    try:
        check_is_fitted(router)
    except NotFittedError:
        return False
    return True


def _check_same_lists(routers) -> None:
    labels = [router.partition_.labels_ for router in routers]
    if not all(np.array_equal(labels[0], other) for other in labels[1:]):
        raise ValueError("Fitted routers of a list must have the same partition_.")


def _fit_without_log(router, rng: np.random.RandomState) -> None:
    log = None
    # A network makes noisy keys of its own.
    if "noisy_keys" not in router.get_params(deep=False):
        log = noisy_queries(as_keys(router.keys), _COLD, COLD_NOISE, rng)
    router.fit(log)


def two_uses(X: np.ndarray, groups, rng: np.random.RandomState):
    """Rows of queries to choose by, none if there are too few, and to calibrate on."""
    if len(X) > 1 and (groups is None or len(np.unique(groups)) > 1):
        share = min(0.5, max(_TUNING, _ENOUGH / len(X)))
        calibrating, tuning = _split(X, groups, share, rng)
        return tuning, calibrating
    return np.arange(0), np.arange(len(X))


def _split(X, groups, share, rng):
    """Rows of two parts of some queries, the second a share of them or their groups."""
    splitter = ShuffleSplit if groups is None else GroupShuffleSplit
    seed = int(rng.randint(np.iinfo(np.int32).max))
    split = splitter(1, test_size=share, random_state=seed)
    return next(split.split(X, groups=groups))
