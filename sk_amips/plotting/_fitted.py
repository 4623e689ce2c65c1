"""What displays ask of fitted estimators."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import _num_samples, check_is_fitted

from ..exact import exact_search
from ..index import AmortizedNeighbors
from ..metrics._pipeline import as_router, last_step

__all__ = ["as_index", "as_router", "exact_best", "last_fitted", "name_of"]


def last_fitted(estimator, X):
    """The last step of a fitted pipeline, or the estimator, and its queries."""
    check_is_fitted(estimator)
    return last_step(estimator, X)


def as_index(estimator) -> AmortizedNeighbors:
    """Return an index; raise a TypeError for anything else."""
    if not isinstance(estimator, AmortizedNeighbors):
        raise TypeError(
            f"estimator must be an AmortizedNeighbors, got {type(estimator).__name__}."
        )
    return estimator


def name_of(estimator, name: str | None) -> str:
    """Name of a curve: that of the class where none is given."""
    return type(estimator).__name__ if name is None else name


def exact_best(estimator, X, k: int, exact=None) -> tuple[np.ndarray, np.ndarray]:
    """Exact scores and indices of the k best keys, searched unless they are given."""
    if exact is None:
        return exact_search(estimator.keys_, X, k, n_jobs=estimator.n_jobs)
    scores, indices = (np.asarray(part) for part in exact)
    fits = scores.shape == indices.shape and scores.ndim == 2
    if not (fits and len(scores) == _num_samples(X) and scores.shape[1] >= k):
        raise ValueError(
            f"exact must be what exact_search returns for X and at least k={k}: two "
            f"arrays of shape ({_num_samples(X)}, k), got {scores.shape} and "
            f"{indices.shape}."
        )
    return scores[:, :k], indices[:, :k]
