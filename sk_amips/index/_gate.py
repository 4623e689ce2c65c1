"""Whether a trained router pays, beside routers that nothing trains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..routing import CentroidRouter, OptimisticRouter
from ..routing._optimistic import RANK
from ._calibrate import calibrate, choose_stop
from ._engine import Engine
from ._list_scores import list_scorer
from ._report import n_macs

__all__ = ["Candidate", "candidates"]


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
    """

    router: object
    engine: Engine
    stop: tuple[float | None, float | None]
    keys_scanned: float
    macs: float

    def work(self) -> dict[str, float]:
        """What a report says of it."""
        return {"keys_scanned": self.keys_scanned, "macs": self.macs}


def is_trained(router) -> bool:
    """Whether a router has learned from queries."""
    return hasattr(router, "net_") or hasattr(router, "coef_")


def candidates(
    router, engine: Engine, X: np.ndarray, best_lists: np.ndarray, target_recall: float
) -> dict[str, Candidate]:
    """A router and, if it is trained, the untrained ones over the same lists.

    Parameters
    ----------
    router : estimator
    engine : Engine
        The search that it steers.
    X : ndarray of shape (n, d)
        Queries, none of them zero, that nothing was learned from.
    best_lists : ndarray of shape (n, k)
        Lists of their k best keys.
    target_recall : float

    Returns
    -------
    found : dict of str to Candidate
        "router", "centroids", and "optimistic" where its own work leaves it a chance.
    """

    def tried(some, engine):
        stop = choose_stop(engine, X, best_lists, target_recall)
        rule = calibrate(engine, X, best_lists, *stop).likely_rule(target_recall)
        keys = float(engine.count_visits(X, best_lists.shape[1], rule)[1].mean())
        return Candidate(some, engine, stop, keys, n_macs(some) + X.shape[1] * keys)

    found = {"router": tried(router, engine)}
    if not is_trained(router):
        return found
    plain = _untrained(CentroidRouter, router)
    found["centroids"] = tried(plain, _with(engine, plain))
    own = (min(RANK, X.shape[1]) + 1) * plain.partition_.centroids_.size
    if own < min(one.macs for one in found.values()):
        optimistic = _untrained(OptimisticRouter, router)
        found["optimistic"] = tried(optimistic, _with(engine, optimistic))
    return found


def _with(engine: Engine, router) -> Engine:
    return Engine(engine.keys, engine.lists, list_scorer(router))


def _untrained(kind: type, router):
    """A router of another kind over the same keys and lists."""
    params = {"partition": router.partition_, "device": router.device}
    if router.keys is None:  # keys that are queries may be zero
        return kind(n_jobs=router.n_jobs, **params).fit(router.keys_)
    return kind(router.keys_, n_jobs=router.n_jobs, **params).fit(router.keys_[:1])
