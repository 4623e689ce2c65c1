"""What early stopping watches on validation queries."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..metrics import match_rate, routing_recall
from ..training import TrainingData
from ._watch import FitWatch

__all__ = ["validation_metrics"]


def n_watched(n_partitions: int) -> int:
    """Lists within which routing recall is watched: half the root of their number."""
    return max(1, round(n_partitions**0.5 / 2))


def validation_metrics(
    estimator, valid: TrainingData, *, searched: bool, watch: FitWatch
) -> dict[str, Callable[[], float]]:
    """What is evaluated after every epoch of training; nothing for the loss.

    Where targets are not ``searched`` but the user's, "auto" is their loss.
    """
    queries, weight = valid.field("queries"), valid.field("weight")
    processes = estimator._processes()
    # Every process evaluates its queries; what they agree on stops all of them.
    own = processes.part(len(queries))
    own_queries = queries[own]
    own_weight = None if weight is None else weight[own]
    share = len(own_queries) if weight is None else own_weight.sum(dtype=np.float64)
    scoring = estimator.scoring
    n_partitions = estimator.partition_.n_partitions
    if scoring == "auto" and searched:
        scoring = "routing_recall" if n_partitions > 1 else "match_rate"
    if scoring == "routing_recall":
        if n_partitions == 1:
            raise ValueError("scoring='routing_recall' needs several partitions.")
        lists, p = valid.field("best_lists")[own], n_watched(n_partitions)

        def metric():
            scores = estimator._in_blocks(own_queries)
            return routing_recall(scores, lists, p, sample_weight=own_weight)

    elif scoring == "match_rate":
        if len(own_queries):
            exact, _ = estimator._top_k(
                own_queries,
                1,
                memory=estimator.memory,
                progress=watch.labels(len(own_queries)),
            )

        def metric():
            found, _ = estimator._answer(own_queries, 1)
            return match_rate(exact, found, sample_weight=own_weight)

    else:
        return {}
    return {f"valid_{scoring}": partial(processes.mean, metric, share)}
