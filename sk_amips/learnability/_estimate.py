"""Estimates of what can be learned, from exact best keys and untrained routers."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from .._samples import two_parts, usable_queries
from .._validation import as_keys, check_same_width, key_norms
from ..exact._search import top_k
from ..metrics import keys_scanned
from ..metrics._work import n_macs
from ..nn import unit_rows
from ..partition import LISTS
from ..routing import CentroidRouter, LinearRouter, OptimisticRouter
from ._missing_mass import MissingMass
from ._report import LearnabilityReport, MissingMassCurve

__all__ = ["learnability_report"]

_RECALLS = (0.8, 0.9, 0.95, 0.99)
# Queries that judge routers, and that the linear one learns from.
_N_TEST, _N_TRAIN = 4096, 8192
# Queries, and keys, that are told from each other.
_N_SHIFT = 2000
# Sizes of samples of the queries.
_FRACTIONS = 2.0 ** np.arange(-6, 1)
# From which gains of a linear router on some, and much, is expected of a network.
_SOME, _MUCH = 1.1, 1.4
# Queries below which nothing is expected.
_FEWEST = 100


@validate_params(
    {
        "n_partitions": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions(set(LISTS)),
        ],
        "target_recall": [Interval(Real, 0, 1, closed="neither")],
        "max_queries": [Interval(Integral, 2, None, closed="left"), None],
        "device": [str, torch.device],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def learnability_report(
    keys,
    queries,
    *,
    groups=None,
    n_partitions: int | str = "sqrt",
    target_recall: float = 0.95,
    max_queries: int | None = 100_000,
    device: str | torch.device = "auto",
    n_jobs: int | None = None,
    random_state=None,
) -> LearnabilityReport:
    """Estimate how much a query log can teach, before anything is trained.

    The best key of every query is searched exactly, once. How often keys are best tells
    how many new queries will have a best key that the log has never seen. A sample of
    the queries tells how many keys are scanned with lists that were not trained, and
    whether a linear router, the cheapest that learns, needs fewer.

    Parameters
    ----------
    keys : array-like of shape (n_keys, n_features)
        Keys of any norm but zero, by reference.
    queries : array-like of shape (n_queries, n_features)
        Logged queries, each as often as it was asked: what is new is told from what
        comes once. Zero queries, to which all keys are equal, are left out.
    groups : array-like of shape (n_queries,), default=None
        Group of each query, such as the user or the document it comes from. New queries
        are taken to come from new groups. None: queries are independent.
    n_partitions : int, "sqrt" or "auto", default="sqrt"
        Number of lists into which the keys are split by spherical k-means; "sqrt" takes
        the square root of the number of keys, "auto" twice that.
    target_recall : float, default=0.95
        Share of the best keys that a search has to find.
    max_queries : int or None, default=100_000
        Number of queries to search the best key of. Of more, random groups with as many
        are taken, and the report is about a log of that size. None: no limit.
    device : {"auto", "cpu", "cuda"} or torch device, default="auto"
        Where exact searches run.
    n_jobs : int or None, default=None
        Jobs of the exact searches.
    random_state : int, RandomState instance or None, default=None
        Seed of the lists and of the samples.

    Returns
    -------
    report : LearnabilityReport
        What was found; ``print(report)`` shows it as a table.

    Raises
    ------
    ValueError
        If shapes do not fit, values are not finite, a key is zero, or fewer than two
        groups have queries.

    Notes
    -----
    A query's best key is new where it is the best key in no other group; the share of
    these queries estimates the missing mass. Without groups it is the estimate of Good
    and Turing [1]_, the number of keys that are best exactly once over the number of
    queries, whose error is of order ``n_queries ** -0.5`` for any distribution [2]_.

    References
    ----------
    .. [1] Good, "The Population Frequencies of Species and the Estimation of Population
       Parameters", Biometrika 40, 1953.
    .. [2] McAllester and Schapire, "On the Convergence Rate of Good-Turing Estimators",
       COLT 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips import learnability_report
    >>> rng = np.random.default_rng(0)
    >>> keys = rng.normal(size=(400, 16))
    >>> queries = keys[rng.integers(50, size=1000)] + rng.normal(size=(1000, 16))
    >>> report = learnability_report(keys, queries, random_state=0)
    >>> print(f"{report.missing_mass:.0%} of new queries have a best key of their own")
    7% of new queries have a best key of their own
    """
    keys = as_keys(keys)
    queries = check_array(queries, dtype=[np.float64, np.float32], input_name="queries")
    check_same_width(keys, queries)
    max_norm = key_norms(keys).max
    rng = check_random_state(random_state)
    rows, groups = usable_queries(queries, groups, max_queries, rng)
    if len(rows) < len(queries):
        queries = queries[rows]
    searches = {"device": device, "n_jobs": n_jobs}
    # Before the long search, which a wrong number of lists would waste.
    centroids = CentroidRouter(keys, n_partitions=n_partitions, random_state=rng)
    partition = centroids.fit(queries[:1]).partition_
    best = top_k(keys, queries, 1, max_norm=max_norm, **searches)[1][:, 0]

    test, train = two_parts(groups, _N_TEST, _N_TRAIN, rng)
    optimistic = OptimisticRouter(keys, partition=partition).fit(queries[:1])
    linear = LinearRouter(keys, partition=partition, **searches).fit(queries[train])
    routers = {"centroids": centroids, "optimistic": optimistic, "linear": linear}
    recalls = np.union1d(_RECALLS, target_recall)
    lists = partition.labels_[best[test]]
    scanned = {}
    for name, router in routers.items():
        scores = router.predict_partitions(queries[test])
        scanned[name] = np.array(
            [keys_scanned(scores, lists, partition.sizes_, rate) for rate in recalls]
        )
    at_target = np.searchsorted(recalls, target_recall)
    gain = float(scanned["centroids"][at_target] / scanned["linear"][at_target])

    wins = MissingMass(best, groups)
    return LearnabilityReport(
        n_keys=len(keys),
        n_queries=wins.n_queries,
        n_groups=wins.n_groups,
        missing_mass=float(wins(wins.n_groups - 1)),
        missing_mass_error=wins.standard_error,
        missing_mass_curve=_curve(wins),
        winning_keys=wins.n_winners / len(keys),
        shift=_shift(keys, queries, groups, rng),
        recalls=recalls,
        keys_scanned=scanned,
        ranking_work={name: n_macs(r) / keys.size for name, r in routers.items()},
        target_recall=target_recall,
        linear_gain=gain,
        n_test=len(test),
        expected_gain=_expected(gain, len(test)),
    )


def _expected(gain: float, n_test: int) -> str:
    """What a trained network may be expected to spare, by what a linear router does."""
    if n_test < _FEWEST:
        return "unknown"
    return "little" if gain < _SOME else "some" if gain < _MUCH else "much"


def _curve(wins: MissingMass) -> MissingMassCurve:
    """Missing mass for fewer queries and, extrapolated, for more."""
    n_groups = np.minimum(np.rint(_FRACTIONS * wins.n_groups), wins.n_groups - 1)
    factors = np.array([2.0, 4.0])
    return MissingMassCurve(
        n_queries=np.rint(np.r_[_FRACTIONS, factors] * wins.n_queries).astype(np.int64),
        missing_mass=np.r_[wins(n_groups), wins.extrapolate(factors)],
        extrapolated=np.r_[_FRACTIONS, factors] > 1,
    )


def _shift(
    keys: np.ndarray,
    queries: np.ndarray,
    groups: np.ndarray,
    rng: np.random.RandomState,
) -> float:
    """How well a linear classifier tells queries from keys, on halves held out."""
    if len(keys) < 2:
        return np.nan
    halves = two_parts(groups, _N_SHIFT // 2, _N_SHIFT // 2, rng)
    some = rng.choice(len(keys), min(_N_SHIFT, len(keys)), replace=False)
    parts = []
    for ours, theirs in zip(halves, np.array_split(some, 2), strict=True):
        rows = np.concatenate([queries[ours], keys[np.sort(theirs)]])
        parts.append((unit_rows(rows)[1], np.arange(len(rows)) < len(ours)))
    areas = []
    for (X, y), (held_out, truth) in (parts, parts[::-1]):
        scores = LogisticRegression(max_iter=1000).fit(X, y).decision_function(held_out)
        areas.append(roc_auc_score(truth, scores))
    # Queries that are keys themselves are, held out, taken for what they were not.
    return max(0.5, float(np.mean(areas)))
