"""Recall and cost of a fitted estimator, from little work to much."""

from __future__ import annotations

import numpy as np

from ..index import AmortizedNeighbors
from ..metrics import recall_at_k
from ..metrics._routing import _check, _ranks
from ..metrics._work import n_macs
from ._fitted import as_router

__all__ = ["TARGETS", "recall_curve", "sweep"]

# Recalls that an index is asked for.
TARGETS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
# Points of a curve over numbers of lists.
_N_POINTS = 12


def sweep(estimator, X, exact, cost: str, targets=None, n_probes=None):
    """Mean cost of a query, and recall@k, at each setting of a search.

    Parameters
    ----------
    estimator : AmortizedNeighbors or router
        Fitted.
    X : array-like of shape (n_queries, n_features)
    exact : tuple of ndarrays of shape (n_queries, k)
        Scores and indices of the exact best keys.
    cost : {"keys", "macs", "lists"}
    targets : sequence of float, default=None
        Recalls to ask an index for; nothing to a router.
    n_probes : sequence of int, default=None
        Numbers of lists to visit, by a router or where ``targets`` is None.

    Returns
    -------
    costs, recall : ndarray of shape (n_settings,)
    """
    router = as_router(estimator)
    if isinstance(estimator, AmortizedNeighbors):
        searches = _searches(estimator, targets, n_probes)
        points = [_searched(estimator, X, exact, search) for search in searches]
    else:
        points = _routed(router, X, exact, _probes(router, n_probes))
    n_lists, n_keys, recall = np.array(points, dtype=float).T
    costs = {
        "keys": n_keys / len(router.keys_),
        "lists": n_lists,
        "macs": n_macs(router) + n_keys * router.n_features_in_,
    }
    return costs[cost], recall


def recall_curve(list_scores, best_lists) -> np.ndarray:
    """Routing recall@p for all p from one on."""
    list_scores, best_lists = _check(list_scores, best_lists)
    ranks = _ranks(list_scores, best_lists).ravel()
    counts = np.bincount(ranks, minlength=list_scores.shape[1])
    return np.cumsum(counts) / len(ranks)


def _searches(index, targets, n_probes) -> list[dict]:
    """Arguments of each search of an index."""
    # Compressed lists are calibrated for one recall alone.
    if targets is None and n_probes is None and index.lists == "flat":
        targets = TARGETS
    if targets is not None:
        if not len(targets):
            raise ValueError("targets must hold at least one recall, got none.")
        return [{"target_recall": float(target)} for target in targets]
    return [{"n_probe": int(p)} for p in _probes(index, n_probes)]


def _searched(index, X, exact, search: dict) -> tuple[float, float, float]:
    """Lists visited, keys in them, and recall of one search."""
    k = exact[0].shape[1]
    n_lists, n_keys = index.visited(X, k, **search)
    recall = recall_at_k(exact[0], *index.search(X, k, **search))
    return n_lists.mean(), n_keys.mean(), recall


def _probes(estimator, n_probes) -> np.ndarray:
    """Numbers of lists to visit."""
    n_lists = estimator.partition_.n_partitions
    if n_lists == 1:
        raise ValueError(
            f"{type(estimator).__name__} has a single list, and so no curve: set "
            "n_partitions."
        )
    if n_probes is None:
        n_probes = np.geomspace(1, n_lists, _N_POINTS).round()
    n_probes = np.asarray(n_probes)
    if not n_probes.size or (n_probes != n_probes.round()).any() or n_probes.min() < 1:
        raise ValueError(
            f"n_probes must be whole numbers of lists, at least 1: got {n_probes}."
        )
    return np.unique(np.minimum(n_probes, n_lists).astype(np.intp))


def _routed(router, X, exact, probes) -> list[tuple[float, float, float]]:
    """As :func:`_searched`, for several numbers of lists at once, without searching."""
    scores = router.predict_partitions(X)
    order = np.argsort(-scores, axis=1, kind="stable")
    n_keys = np.cumsum(router.partition_.sizes_[order], axis=1).mean(axis=0)
    recall = recall_curve(scores, router.partition_.labels_[exact[1]])
    return [(p, n_keys[p - 1], recall[p - 1]) for p in probes]
