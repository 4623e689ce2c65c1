"""Scorers of the order of lists and of the work that it spares."""

from __future__ import annotations

from ._pipeline import as_router
from ._routing import keys_scanned, lists_for, routing_recall
from ._scorer import Scorer
from ._weights import weighted_mean
from ._work import index_macs, probed_macs

__all__ = ["neg_keys_scanned_scorer", "neg_macs_scorer", "routing_recall_scorer"]


class routing_recall_scorer(Scorer):
    """Scorer of a router: share of the k best keys that are in the first lists.

    Of an index, its router is meant.

    Parameters
    ----------
    p : int
        Number of lists visited.
    k : int, default=1
        Number of keys wanted for each query.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips import CentroidRouter
    >>> from sk_amips.metrics import routing_recall_scorer
    >>> keys = np.random.default_rng(0).normal(size=(500, 16))
    >>> router = CentroidRouter(keys, n_partitions=20, random_state=0).fit(keys)
    >>> routing_recall_scorer(p=20)(router, keys)
    1.0
    """

    def __init__(self, p: int, k: int = 1):
        self.p = p
        self.k = k

    def _measure(self, estimator, X, sample_weight) -> float:
        routes = _routes(estimator, X, self.k)
        return routing_recall(*routes, self.p, sample_weight=sample_weight)


class neg_keys_scanned_scorer(Scorer):
    """Scorer of a router: the negative share of keys scanned at a routing recall.

    Parameters
    ----------
    recall : float, default=0.95
        Share of the k best keys that must be found. Of an index, the recall that it is
        asked for: what it finds is as calibrated.
    k : int, default=1
        Number of keys wanted for each query.

    Examples
    --------
    A fair comparison of routers is one grid search.

    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import Pipeline
    >>> from sk_amips import CentroidRouter, LinearRouter
    >>> from sk_amips.metrics import neg_keys_scanned_scorer
    >>> search = GridSearchCV(
    ...     Pipeline([("router", CentroidRouter())]),
    ...     {
    ...         "router": [CentroidRouter(), LinearRouter()],
    ...         "router__n_partitions": [10, 20],
    ...     },
    ...     scoring=neg_keys_scanned_scorer(recall=0.95),
    ... )
    """

    def __init__(self, recall: float = 0.95, k: int = 1):
        self.recall = recall
        self.k = k

    def _measure(self, estimator, X, sample_weight) -> float:
        if hasattr(estimator, "visited"):
            _, n_keys = estimator.visited(X, self.k, target_recall=self.recall)
            return -weighted_mean(n_keys, sample_weight) / len(estimator.keys_)
        routes, sizes = _routes(estimator, X, self.k), estimator.partition_.sizes_
        return -keys_scanned(*routes, sizes, self.recall, sample_weight=sample_weight)


class neg_macs_scorer(Scorer):
    """Scorer of a router: minus the multiply-accumulates of a query at a recall.

    Those of the keys scanned and those of the router itself, so that a larger network
    has to spare more.

    Parameters
    ----------
    recall : float, default=0.95
        Share of the k best keys that must be found. Of an index, the recall that it is
        asked for: what it finds is as calibrated.
    k : int, default=1
        Number of keys wanted for each query.

    See Also
    --------
    macs_per_query : The same for a given number of lists.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sk_amips import SupportNetRegressor
    >>> from sk_amips.metrics import neg_macs_scorer
    >>> search = GridSearchCV(
    ...     SupportNetRegressor(n_partitions="auto"),
    ...     {"hidden_layer_sizes": [(64,), (256,)]},
    ...     scoring=neg_macs_scorer(recall=0.95, k=10),
    ... )
    """

    def __init__(self, recall: float = 0.95, k: int = 1):
        self.recall = recall
        self.k = k

    def _measure(self, estimator, X, sample_weight) -> float:
        if hasattr(estimator, "visited"):
            search = {"k": self.k, "target_recall": self.recall}
            return -index_macs(estimator, X, sample_weight, **search)
        scores, best_lists = _routes(estimator, X, self.k)
        n_probe = lists_for(scores, best_lists, self.recall, sample_weight)
        return -probed_macs(estimator, scores, n_probe, sample_weight)


def _routes(estimator, X, k: int):
    """Scores of the lists, and the lists of each query's best keys."""
    router = as_router(estimator)
    _, best = router._exact(router._check_queries(X), k)
    return router.predict_partitions(X), router.partition_.labels_[best]
