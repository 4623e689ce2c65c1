"""What early stopping watches on validation queries."""

from __future__ import annotations

from collections.abc import Callable

from ..metrics import match_rate, routing_recall
from ..training import TrainingData

__all__ = ["monitored", "n_watched", "validation_metrics"]


def monitored(estimator) -> str:
    """Entry of the history that early stopping watches."""
    scoring = estimator.scoring
    several = estimator.partition_.n_partitions > 1
    if scoring == "auto":
        scoring = "routing_recall" if several else "match_rate"
    if scoring == "routing_recall" and not several:
        raise ValueError("scoring='routing_recall' needs several partitions.")
    return f"valid_{scoring}"


def n_watched(n_partitions: int) -> int:
    """Lists within which routing recall is watched: half the root of their number."""
    return max(1, round(n_partitions**0.5 / 2))


def validation_metrics(
    estimator, valid: TrainingData
) -> dict[str, Callable[[], float]]:
    """Metrics of an estimator in training, to be evaluated after every epoch."""
    name = monitored(estimator)
    queries = valid.field("queries")
    if name == "valid_routing_recall":
        lists = valid.field("winner")
        p = n_watched(estimator.partition_.n_partitions)
        return {
            name: lambda: routing_recall(
                estimator.predict_partitions(queries), lists, p
            )
        }
    if name == "valid_match_rate":
        exact, _ = estimator._top_k(queries, 1)
        return {name: lambda: match_rate(exact, estimator._answer(queries, 1)[0])}
    return {}
