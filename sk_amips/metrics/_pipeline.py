"""The estimator that a metric is about."""

from __future__ import annotations

from sklearn.pipeline import Pipeline

__all__ = ["last_step"]


def last_step(estimator, X):
    """The last step of a pipeline, and the queries as they reach it."""
    if not isinstance(estimator, Pipeline):
        return estimator, X
    has_steps = len(estimator) > 1 and X is not None
    return estimator[-1], estimator[:-1].transform(X) if has_steps else X
