"""Confidence interval of a mean recall."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

__all__ = ["recall_interval"]


def recall_interval(
    recall: np.ndarray, groups: np.ndarray, confidence: float
) -> tuple[float, float]:
    r"""Wilson's interval of a mean, for as many trials as groups are worth.

    Queries of a group, and the k keys of a query, are not independent. A mean ``r``
    whose standard error over groups is ``s`` says as much as :math:`r (1 - r) / s^2`
    independent trials [2]_, for which there is a binomial interval [1]_. With one key a
    query and every query a group, that is the number of queries, less one.

    Parameters
    ----------
    recall : ndarray of shape (n_queries,)
        Of each query, between 0 and 1.
    groups : ndarray of shape (n_queries,)
        Group of each query, from 0 on.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    lower, upper : float
        Between 0 and 1.

    References
    ----------
    .. [1] Wilson, "Probable Inference, the Law of Succession, and Statistical
       Inference", Journal of the American Statistical Association, 1927.
    .. [2] Korn and Graubard, "Confidence Intervals for Proportions with Small Expected
       Number of Positive Counts Estimated from Survey Data", Survey Methodology, 1998.
    """
    mean, n_groups = recall.mean(), groups.max() + 1
    residuals = np.bincount(groups, weights=recall - mean)
    variance = n_groups / (n_groups - 1) * np.square(residuals / len(recall)).sum()
    # Where groups do not differ, each is a trial.
    spread = mean * (1 - mean)
    n_trials = spread / variance if variance > 0 and spread > 0 else n_groups
    z2 = norm.ppf(0.5 + confidence / 2) ** 2
    center = (mean + z2 / (2 * n_trials)) / (1 + z2 / n_trials)
    half = np.sqrt(z2 * (spread / n_trials + z2 / (4 * n_trials**2)))
    half /= 1 + z2 / n_trials
    return max(0.0, float(center - half)), min(1.0, float(center + half))
