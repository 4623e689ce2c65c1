"""Whether a trained router pays, beside others over the same lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..metrics._work import n_macs
from ..routing import CentroidRouter, LinearRouter, OptimisticRouter
from ..routing._optimistic import RANK
from ._bounds import ListBounds
from ._calibrate import calibrate, choose_stop
from ._engine import Engine
from ._list_scores import list_scorer
from ._rules import BoundStop

__all__ = ["LINEAR", "Candidate", "best_of_all", "can_tell", "candidates", "names"]

# Queries from which on routers can be told apart, and those of them that a recall
# has to leave over if its work is to be judged.
_FEWEST, _LEFT_OVER = 100, 5
# Shares of the misses allowed at which work is compared: one quantile alone is noisy.
_NEARBY = (0.6, 0.8, 1.0, 1.25, 1.6)
# Training queries that a linear router learns from.
LINEAR = 2**14


@dataclass
class Candidate:
    """A router, and the work with which it reaches a recall.

    Attributes
    ----------
    router : estimator
    engine : Engine
        The search that it steers.
    stop : tuple of (float or None, float or None)
        Share and band with which it takes the least work; see ``Calibration``.
    keys_scanned : float
        Mean over queries.
    macs : float
        Multiply-accumulates with those of the router itself.
    judged : float
        The same, as a geometric mean over recalls near the one asked for.
    """

    router: object
    engine: Engine
    stop: tuple[float | None, float | None]
    keys_scanned: float
    macs: float
    judged: float

    def work(self) -> dict[str, float]:
        """What a report says of it."""
        return {"keys_scanned": self.keys_scanned, "macs": self.macs}


def can_tell(routers: list, n_queries: int) -> bool:
    """Whether there are others to compare a router with, and queries to do it by."""
    learned = any(hasattr(r, "net_") or hasattr(r, "coef_") for r in routers)
    several = routers[0].partition_.n_partitions > 1
    return learned and several and n_queries >= _FEWEST


def names(routers: list) -> list[str]:
    """What routers are called in a report."""
    if len(routers) == 1:
        return ["router"]
    return [f"router {i}" for i in range(len(routers))]


def best_of_all(found: dict[str, Candidate]) -> str:
    """Name of the candidate that takes the least work."""
    return min(found, key=lambda name: found[name].judged)


def candidates(
    routers: list,
    engine: Engine,
    X: np.ndarray,
    best_lists: np.ndarray,
    target_recall: float,
    *,
    simpler: bool = True,
    bounds: ListBounds | None = None,
    X_train: np.ndarray | None = None,
) -> dict[str, Candidate]:
    """Routers, and simpler ones over the same lists.

    Parameters
    ----------
    routers : list of estimators
        The first of them trained.
    engine : Engine
        The search that the first one steers.
    X : ndarray of shape (n, d)
        Queries, none of them zero, that nothing was learned from.
    best_lists : ndarray of shape (n, k)
        Lists of their k best keys.
    target_recall : float
    simpler : bool, default=True
        Whether to try any but the given ones.
    bounds : ListBounds or None, default=None
        Where results are exact: those that say which lists can be left out.
    X_train : ndarray of shape (n_training, d) or None, default=None
        Queries in random order that a linear router can learn from as well.

    Returns
    -------
    found : dict of str to Candidate
        "router", or of several "router 0", "router 1" and so on, "centroids", "linear"
        where a network has learned from ``X_train``, and "optimistic" where its own
        work leaves it a chance.
    """

    def tried(some):
        own = engine
        if some is not routers[0]:
            own = Engine(engine.keys, engine.lists, list_scorer(some))
        stop = choose_stop(own, X, best_lists, target_recall)
        if bounds is None:
            keys = _scanned(own, X, best_lists, stop, target_recall)
        else:
            keys = _scanned_for_sure(own, X, best_lists, target_recall, bounds)
        macs = n_macs(some) + X.shape[1] * keys
        judged = float(np.exp(np.log(macs[1:]).mean()))
        return Candidate(some, own, stop, float(keys[0]), float(macs[0]), judged)

    found = {
        name: tried(some) for name, some in zip(names(routers), routers, strict=True)
    }
    if not simpler:
        return found
    router = routers[0]
    found["centroids"] = tried(_other(CentroidRouter, router))
    if X_train is not None and any(hasattr(some, "net_") for some in routers):
        found["linear"] = tried(_other(LinearRouter, router, X_train[:LINEAR]))
    own = (min(RANK, X.shape[1]) + 1) * router.partition_.centroids_.size
    if own < min(one.macs for one in found.values()):
        found["optimistic"] = tried(_other(OptimisticRouter, router))
    return found


def _scanned(engine, X, best_lists, stop, target_recall) -> np.ndarray:
    """Mean numbers of keys scanned for a recall, and for others near it."""
    calibration = calibrate(engine, X, best_lists, *stop)
    # Recalls that leave hardly a query over say little.
    missed = max(1 - target_recall, _LEFT_OVER / len(X))
    recalls = [target_recall, *(max(0.0, 1 - share * missed) for share in _NEARBY)]
    rules = [calibration.likely_rule(recall) for recall in recalls]
    k = best_lists.shape[1]
    return np.array([engine.count_visits(X, k, rule)[1].mean() for rule in rules])


def _scanned_for_sure(engine, X, best_lists, target_recall, bounds) -> np.ndarray:
    """Mean number of keys scanned for exact results, in the same form."""
    k, first = best_lists.shape[1], best_lists[:, :1]
    stop = choose_stop(engine, X, first, target_recall)
    likely = calibrate(engine, X, first, *stop).first_rule(target_recall)
    rule = BoundStop(likely, bounds)
    return np.full(2, engine.count_visits(X, k, rule)[1].mean())


def _other(kind: type, router, X_train: np.ndarray | None = None):
    """A router of another kind over the same keys and lists."""
    params = {"partition": router.partition_, "device": router.device}
    if router.keys is None:  # keys that are queries may be zero
        return kind(n_jobs=router.n_jobs, **params).fit(router.keys_)
    if X_train is None:
        X_train = router.keys_[:1]
    return kind(router.keys_, n_jobs=router.n_jobs, **params).fit(X_train)
