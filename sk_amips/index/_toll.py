"""What a shard has to be worth more than a list of one that is touched anyway."""

from __future__ import annotations

import numpy as np

from ._calibrate import calibrate
from ._engine import Engine

__all__ = ["choose_toll"]

# Tolls that are tried, as shares of the mean distance from mean to best prediction.
_TOLLS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3)
# Work with a toll over that without, at most.
_WORK = 1.1


def choose_toll(
    engine: Engine,
    X: np.ndarray,
    best_lists: np.ndarray,
    stop: tuple[float | None, float | None],
    target_recall: float,
    router_macs: int,
) -> float:
    """The toll with which queries touch fewest shards, at 1.1 times the work at most.

    Parameters
    ----------
    engine : Engine
    X : ndarray of shape (n, d)
        Queries, none of them zero, apart from those of the calibration.
    best_lists : ndarray of shape (n, k)
        Lists of their k best keys.
    stop : tuple of (float or None, float or None)
        Share and band; see ``Calibration``.
    target_recall : float
        What these queries reach with each of the tolls.
    router_macs : int
        Multiply-accumulates of the router, part of the work of a query.

    Returns
    -------
    toll : float
        Zero where no other one spares a shard.
    """
    X, best_lists = X[: engine.block], best_lists[: engine.block]
    k = best_lists.shape[1]

    def tried(toll):
        calibration = calibrate(engine, X, best_lists, *stop, toll)
        rule = calibration.likely_rule(target_recall)
        n_keys = engine.count_visits(X, k, rule)[1].mean()
        work = router_macs + X.shape[1] * n_keys
        return engine.count_shards(X, k, rule).mean(), work, toll

    _, scores = engine.predict(X)
    spread = float((scores.max(axis=0) - scores.mean(axis=0)).mean())
    found = [free := tried(0.0)]
    for share in _TOLLS:
        found.append(tried(share * spread))
        if found[-1][1] > 2 * free[1]:  # larger ones cost more
            break
    return min(one for one in found if one[1] <= _WORK * free[1])[2]
