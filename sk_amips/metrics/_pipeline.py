"""The estimator that a metric is about."""

from __future__ import annotations

from sklearn.pipeline import Pipeline

__all__ = ["last_step"]


def last_step(estimator, X):
    """The router or index at the end of pipelines and searches, and its queries.

    Raises
    ------
    TypeError
        If there is none.
    """
    given = estimator
    while not hasattr(estimator, "keys_"):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            if len(estimator) > 1 and X is not None:
                X = estimator[:-1].transform(X)
            estimator = estimator[-1]
        else:
            break
    if not (hasattr(estimator, "keys_") or hasattr(estimator, "_exact")):
        raise TypeError(
            "estimator must be a fitted router or index of sk_amips, or a pipeline or "
            f"search that ends in one, got {type(given).__name__}."
        )
    return estimator, X
