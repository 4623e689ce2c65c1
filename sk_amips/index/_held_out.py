"""Which queries a router learns from, and which choose and calibrate."""

from __future__ import annotations

import warnings

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

__all__ = ["fitted_router", "noisy_keys", "two_uses"]

# Share of the calibration queries that choose router and stop, before the others set
# the margin. As many queries are held out at least, and half of them choose.
_TUNING, _ENOUGH = 0.2, 500
# Noisy keys that calibrate where no query does.
_COLD = 4096


def bare_router(router) -> BaseRouter:
    """The router of a parameter, which may be frozen.

    Raises
    ------
    TypeError
        If it is none of this library.
    """
    if isinstance(router, FrozenEstimator):
        router = router.estimator
    if not isinstance(router, BaseRouter):
        raise TypeError(
            f"router must be one of the routers of sk_amips, got {router!r}."
        )
    return router


def noisy_keys(router, rng: np.random.RandomState) -> np.ndarray:
    """Queries to calibrate on where there is no log, with a warning.

    Raises
    ------
    ValueError
        If the router has no keys yet.
    """
    router = bare_router(router)
    if router.keys is None:
        raise ValueError("Without queries there must be keys, got router.keys=None.")
    warnings.warn(
        "There are no queries: the index is calibrated on noisy keys, and what it "
        "promises holds for such. Call calibrate() with the first queries.",
        stacklevel=5,
    )
    return noisy_queries(as_keys(router.keys), _COLD, COLD_NOISE, rng)


def fitted_router(router, X, X_cal, groups, share, rng: np.random.RandomState):
    """The router, queries to calibrate on with groups, and those it learned from.

    The latter in random order, and None where it was fitted before, or without any.

    Parameters
    ----------
    router : estimator
    X : ndarray of shape (n_queries, d) or None
    X_cal : ndarray of shape (n_calibration_queries, d) or None
        Not both are None.
    groups : ndarray of shape (n_queries,) or None
    share : float or "auto"
        Of the queries, to calibrate on where ``X_cal`` is None.
    rng : RandomState
    """
    router = bare_router(router)
    try:
        check_is_fitted(router)
    except NotFittedError:
        router = clone(router)
        if X is None:
            # A network makes noisy keys of its own.
            log = None
            if "noisy_keys" not in router.get_params(deep=False):
                log = noisy_queries(as_keys(router.keys), _COLD, COLD_NOISE, rng)
            return router.fit(log), X_cal, None, None
        if X_cal is not None:
            return router.fit(X), X_cal, None, X[rng.permutation(len(X))[:LINEAR]]
        if router.keys is None:
            return router.fit(X), X, groups, X
        if share == "auto":
            share = min(1 / 3, max(0.1, _ENOUGH / len(X)))
        train, held_out = _split(X, groups, share, rng)
        groups = None if groups is None else groups[held_out]
        return router.fit(X[train]), X[held_out], groups, X[train]
    if X_cal is not None:
        X, groups = X_cal, None
    check_same_width(router.keys_, X)
    return router, X, groups, None


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
