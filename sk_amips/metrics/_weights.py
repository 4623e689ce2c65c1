"""Means over queries that count more than once."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import _check_sample_weight

__all__ = ["checked_weight", "weighted_mean"]


def checked_weight(sample_weight, values: np.ndarray) -> np.ndarray:
    """Weight of each query, float64, one where None; raise if some are negative."""
    return _check_sample_weight(
        sample_weight, values, dtype=np.float64, ensure_non_negative=True
    )


def weighted_mean(values: np.ndarray, sample_weight) -> float:
    """Mean of a value for each query."""
    if sample_weight is None:
        return float(values.mean())
    return float(np.average(values, weights=checked_weight(sample_weight, values)))
