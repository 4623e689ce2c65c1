"""The estimator that a metric is about."""

from __future__ import annotations

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

__all__ = ["as_router", "last_step"]


def last_step(estimator, X):
    """What pipelines, searches for parameters and frozen estimators end in.

    Parameters
    ----------
    estimator : estimator
        Fitted; any of these may hold another one.
    X : array-like of shape (n_queries, n_features) or None

    Returns
    -------
    estimator : estimator
    X : array-like of shape (n_queries, n_features) or None
        The queries as they reach it.
    """
    while True:
        if isinstance(estimator, Pipeline):
            if len(estimator) > 1 and X is not None:
                X = estimator[:-1].transform(X)
            estimator = estimator[-1]
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator, X


def as_router(estimator):
    """Return a router, or that of an index; raise a TypeError for anything else."""
    router = getattr(estimator, "router_", estimator)
    if not hasattr(router, "predict_partitions"):
        raise TypeError(
            "estimator must be a router or an AmortizedNeighbors, got "
            f"{type(estimator).__name__}."
        )
    return router
