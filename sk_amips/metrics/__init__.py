"""How good found keys are, how good routing is, and scorers for grid searches."""

from ._recall import match_rate, recall_at_k, relative_key_error
from ._routing import keys_scanned, routing_recall
from ._scorers import keys_scanned_scorer, recall_at_k_scorer, routing_recall_scorer

__all__ = [
    "keys_scanned",
    "keys_scanned_scorer",
    "match_rate",
    "recall_at_k",
    "recall_at_k_scorer",
    "relative_key_error",
    "routing_recall",
    "routing_recall_scorer",
]
