"""What a router spares, against plain centroids at the same recall."""

from __future__ import annotations

import math

import numpy as np

from ..metrics._work import n_macs
from ._calibrate import Calibration, calibrate
from ._engine import Engine
from ._list_scores import centroid_scorer
from ._rules import FixedProbes, Rule

__all__ = ["work_report"]


def work_report(
    engine: Engine,
    router,
    X: np.ndarray,
    best_lists: np.ndarray,
    calibration: Calibration,
    target_recall: float,
    *,
    is_new: bool,
) -> dict:
    """Work for a recall, ours and that of plain centroids with fixed probes.

    Parameters
    ----------
    engine : Engine
    router : estimator
    X : ndarray of shape (n, d)
        Calibration queries.
    best_lists : ndarray of shape (n, k)
        Lists of their k best keys.
    calibration : Calibration
    target_recall : float
    is_new : bool
        Whether the router has been trained in this fit.
    """
    k = best_lists.shape[1]
    ours = _work(engine, X, k, calibration.rule(target_recall), n_macs(router))
    margin = calibration.margin(target_recall)
    ours["recall"] = float((calibration.critical <= margin).mean())
    plain = Engine(engine.keys, engine.lists, centroid_scorer(router))
    ranks = calibrate(plain, X, best_lists, 1.0, None).rank
    n_probe = int(np.quantile(ranks, target_recall, method="inverted_cdf")) + 1
    centroids = router.partition_.centroids_.size
    base = _work(plain, X, k, FixedProbes(n_probe), centroids)
    base["recall"] = float((ranks < n_probe).mean())
    spared = base["macs"] - ours["macs"]
    spent = _learning_macs(engine.keys, router)
    pays_back = spared > 0 and is_new
    report = {
        "k": k,
        "target_recall": target_recall,
        "n_calibration": len(X),
        "margin": margin,
        "share": calibration.share,
        "band": calibration.band,
        "router": ours,
        "centroids": base,
        "keys_ratio": base["keys_scanned"] / ours["keys_scanned"],
        "macs_ratio": base["macs"] / ours["macs"],
        "worth_it": spared > 0,
        "break_even": math.ceil(spent / spared) if pays_back else None,
    }
    if engine.shards is not None:
        touched = engine.count_shards(X, k, calibration.rule(target_recall))
        report |= {"shards_touched": float(touched.mean()), "toll": calibration.toll}
    return report


def _work(engine: Engine, X: np.ndarray, k: int, rule: Rule, router_macs: int) -> dict:
    n_lists, n_keys = engine.count_visits(X, k, rule)
    macs = router_macs + X.shape[1] * float(n_keys.mean())
    return {
        "lists_visited": float(n_lists.mean()),
        "keys_scanned": float(n_keys.mean()),
        "macs": macs,
    }


def _learning_macs(keys: np.ndarray, router) -> int:
    """Work of exact labels, and of passes forth and back of a network."""
    if not hasattr(router, "net_") and not hasattr(router, "coef_"):
        return 0  # nothing is learned
    passes = 3 * getattr(router, "n_iter_", 0)
    return router.n_samples_seen_ * (keys.size + passes * n_macs(router))
