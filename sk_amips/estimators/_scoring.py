"""What early stopping watches on validation queries."""

from __future__ import annotations

from collections.abc import Callable

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
    scoring = estimator.scoring
    n_partitions = estimator.partition_.n_partitions
    if scoring == "auto" and searched:
        scoring = "routing_recall" if n_partitions > 1 else "match_rate"
    if scoring == "routing_recall":
        if n_partitions == 1:
            raise ValueError("scoring='routing_recall' needs several partitions.")
        lists, p = valid.field("best_lists"), n_watched(n_partitions)

        def metric():
            scores = estimator._in_blocks(queries)
            return routing_recall(scores, lists, p, sample_weight=weight)

    elif scoring == "match_rate":
        exact, _ = estimator._top_k(
            queries, 1, memory=estimator.memory, progress=watch.labels(len(queries))
        )

        def metric():
            found, _ = estimator._answer(queries, 1)
            return match_rate(exact, found, sample_weight=weight)

    else:
        return {}
    return {f"valid_{scoring}": metric}
