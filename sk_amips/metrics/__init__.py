"""How good found keys are, how good routing is, and scorers for grid searches.

Scorers search the exact best keys of the queries that they are given. With the
parameter ``memory`` of an estimator, the candidates of a search share the results.
"""

from ._key_error import relative_key_error
from ._recall import match_rate, mean_reciprocal_rank, recall_at_k
from ._router_scorers import (
    neg_keys_scanned_scorer,
    neg_macs_scorer,
    routing_recall_scorer,
)
from ._routing import keys_scanned, routing_recall
from ._scorers import (
    match_rate_scorer,
    mean_reciprocal_rank_scorer,
    neg_relative_key_error_scorer,
    recall_at_k_scorer,
)
from ._work import macs_per_query

__all__ = [
    "keys_scanned",
    "macs_per_query",
    "match_rate",
    "match_rate_scorer",
    "mean_reciprocal_rank",
    "mean_reciprocal_rank_scorer",
    "neg_keys_scanned_scorer",
    "neg_macs_scorer",
    "neg_relative_key_error_scorer",
    "recall_at_k",
    "recall_at_k_scorer",
    "relative_key_error",
    "routing_recall",
    "routing_recall_scorer",
]
