"""Scorers for scikit-learn's searches that need no ``y``."""

from __future__ import annotations

from sklearn.pipeline import Pipeline

from ._recall import recall_at_k
from ._routing import keys_scanned, routing_recall

__all__ = ["keys_scanned_scorer", "recall_at_k_scorer", "routing_recall_scorer"]

# Lower-case classes: used like scikit-learn's make_scorer.


class recall_at_k_scorer:
    """Scorer of recall@k that needs no ``y``.

    Parameters
    ----------
    k : int
        Number of keys asked for.
    n_probe : int or None, default=1
        Partitions visited, as in ``search``. With a single partition, 1 stands for
        the keys nearest to the predicted key, as in the estimator's ``score``.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sk_amips import KeyNetRegressor
    >>> from sk_amips.metrics import recall_at_k_scorer
    >>> search = GridSearchCV(
    ...     KeyNetRegressor(), {"lr": [1e-3, 3e-3]}, scoring=recall_at_k_scorer(10)
    ... )
    """

    def __init__(self, k: int, n_probe: int | None = 1):
        self.k = k
        self.n_probe = n_probe

    def __call__(self, estimator, X, y=None) -> float:
        """Recall@k of the estimator, which may end a pipeline, on the queries ``X``."""
        estimator, X = _last_step(estimator, X)
        true_scores, _ = estimator.search(X, self.k)
        if self.n_probe == 1:
            found = estimator._answer(estimator._check_queries(X), self.k)
        else:
            found = estimator.search(X, self.k, self.n_probe)
        return recall_at_k(true_scores, *found)

    def __repr__(self) -> str:
        return f"recall_at_k_scorer(k={self.k}, n_probe={self.n_probe})"


class routing_recall_scorer:
    """Scorer of a router: share of the k best keys that are in the first lists.

    Parameters
    ----------
    p : int
        Number of lists visited.
    k : int, default=1
        Number of keys wanted for each query.
    """

    def __init__(self, p: int, k: int = 1):
        self.p = p
        self.k = k

    def __call__(self, estimator, X, y=None) -> float:
        """Routing recall of the estimator, which may end a pipeline, on ``X``."""
        return routing_recall(*_routes(*_last_step(estimator, X), self.k), self.p)

    def __repr__(self) -> str:
        return f"routing_recall_scorer(p={self.p}, k={self.k})"


class keys_scanned_scorer:
    """Scorer of a router: the negative share of keys scanned at a routing recall.

    Parameters
    ----------
    recall : float, default=0.95
        Share of the k best keys that must be found.
    k : int, default=1
        Number of keys wanted for each query.

    Examples
    --------
    A fair comparison of routers is one grid search.

    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import Pipeline
    >>> from sk_amips import CentroidRouter, LinearRouter
    >>> from sk_amips.metrics import keys_scanned_scorer
    >>> search = GridSearchCV(
    ...     Pipeline([("router", CentroidRouter())]),
    ...     {
    ...         "router": [CentroidRouter(), LinearRouter()],
    ...         "router__n_partitions": [10, 20],
    ...     },
    ...     scoring=keys_scanned_scorer(recall=0.95),
    ... )
    """

    def __init__(self, recall: float = 0.95, k: int = 1):
        self.recall = recall
        self.k = k

    def __call__(self, estimator, X, y=None) -> float:
        """Minus the share of keys scanned by the estimator on the queries ``X``."""
        estimator, X = _last_step(estimator, X)
        sizes = estimator.partition_.sizes_
        return -keys_scanned(*_routes(estimator, X, self.k), sizes, self.recall)

    def __repr__(self) -> str:
        return f"keys_scanned_scorer(recall={self.recall}, k={self.k})"


def _last_step(estimator, X):
    """The last step of a pipeline, and the queries as they reach it."""
    if not isinstance(estimator, Pipeline):
        return estimator, X
    return estimator[-1], estimator[:-1].transform(X) if len(estimator) > 1 else X


def _routes(router, X, k: int):
    """Scores of the lists, and the lists of each query's best keys."""
    _, best = router.search(X, k)
    return router.predict_partitions(X), router.partition_.labels_[best]
