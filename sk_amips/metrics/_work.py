"""How much arithmetic a query takes."""

from __future__ import annotations

from numbers import Integral

from sklearn.utils.validation import check_is_fitted, check_scalar

from ._pipeline import as_router, last_step
from ._routing import keys_in_first
from ._weights import checked_weight, weighted_mean

__all__ = ["index_macs", "macs_per_query", "n_macs", "n_weights", "probed_macs"]


def macs_per_query(
    estimator,
    X=None,
    *,
    n_probe: int | None = None,
    k: int | None = None,
    target_recall: float | None = None,
    sample_weight=None,
) -> float:
    """Multiply-accumulates that a search spends on a query, in the mean.

    Those of the router itself, one for each weight of its network and each feature of
    the keys that it predicts for lists, and ``n_features`` for every key in the lists
    that are visited. Scoring all keys takes ``keys.size``.

    Parameters
    ----------
    estimator : estimator
        Fitted router or :class:`~sk_amips.AmortizedNeighbors`, or a pipeline that ends
        in one.
    X : array-like of shape (n_queries, n_features), default=None
        Queries that are searched. None: only what ranking the lists takes.
    n_probe : int or None, default=None
        Lists visited, as in ``search``. A router that visits all is not asked.
    k : int or None, default=None
        Keys wanted, as in ``search`` of an index; a router visits equally many lists
        whatever it is.
    target_recall : float or None, default=None
        As in ``search`` of an index.
    sample_weight : array-like of shape (n_queries,), default=None
        Weights of the queries.

    Returns
    -------
    macs : float
        At least 0.

    Raises
    ------
    TypeError
        If the estimator is neither.
    ValueError
        If a search is described and there are no queries, these, their weights or the
        search are no valid ones, or a recall is asked of a router, which promises none.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips import CentroidRouter
    >>> from sk_amips.metrics import macs_per_query
    >>> keys = np.random.default_rng(0).normal(size=(500, 16))
    >>> router = CentroidRouter(keys, n_partitions=20, random_state=0).fit(keys)
    >>> macs_per_query(router)  # 20 centroids of 16 features
    320.0
    >>> macs_per_query(router, keys, n_probe=3) < macs_per_query(router, keys)
    True
    """
    estimator, X = last_step(estimator, X)
    check_is_fitted(estimator)
    if X is None:
        if not (n_probe is k is target_recall is sample_weight is None):
            raise ValueError(
                "n_probe, k, target_recall and sample_weight need queries: got X=None."
            )
        return float(n_macs(as_router(estimator)))
    if hasattr(estimator, "visited"):
        search = {"k": k, "target_recall": target_recall, "n_probe": n_probe}
        return index_macs(estimator, X, sample_weight, **search)
    as_router(estimator)
    if target_recall is not None:
        raise ValueError(
            "target_recall needs an AmortizedNeighbors, which is calibrated for it: "
            f"got a {type(estimator).__name__}."
        )
    for name, value in {"n_probe": n_probe, "k": k}.items():
        if value is not None:
            check_scalar(value, name, Integral, min_val=1)
    X = estimator._check_queries(X)
    checked_weight(sample_weight, X)
    if n_probe is None:
        return float(estimator.keys_.size)
    scores = estimator.predict_partitions(X)
    return probed_macs(estimator, scores, n_probe, sample_weight)


def probed_macs(router, list_scores, n_probe: int, sample_weight) -> float:
    """Mean MACs of a search by a router; where it visits all lists, it is not asked."""
    if n_probe >= router.partition_.n_partitions:
        return float(router.keys_.size)
    n_keys = keys_in_first(list_scores, router.partition_.sizes_, n_probe)
    n_scored = weighted_mean(n_keys, sample_weight)
    return float(n_macs(router) + router.keys_.shape[1] * n_scored)


def index_macs(index, X, sample_weight, **search) -> float:
    """Mean MACs of a search by an index."""
    n_scored = weighted_mean(index.visited(X, **search)[1], sample_weight)
    return float(n_macs(index.router_) + index.keys_.shape[1] * n_scored)


def n_macs(router) -> int:
    """Multiply-accumulates that a router spends on a query."""
    products = 0
    # A key is predicted for each list, whose product with the query is its score.
    if not getattr(router, "shared_head", True) and router.partition_.n_partitions > 1:
        products = router.partition_.centroids_.size
    return n_weights(router) + products


def n_weights(router) -> int:
    """Numbers that a router multiplies a query with, and adds."""
    if hasattr(router, "net_"):
        state = router.net_.module_.state_dict().values()
        return sum(tensor.numel() for tensor in state)
    if hasattr(router, "coef_"):
        return sum(f.size for f in getattr(router, "factors_", (router.coef_,)))
    n_factors = router.ellipsoids_.factors.numel() if hasattr(router, "rank") else 0
    return router.partition_.centroids_.size + n_factors
