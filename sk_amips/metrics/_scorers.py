"""Scorers of the keys found or predicted, for searches that need no ``y``."""

from __future__ import annotations

from ._key_error import relative_key_error
from ._recall import match_rate, mean_reciprocal_rank, recall_at_k
from ._scorer import Scorer

__all__ = [
    "match_rate_scorer",
    "mean_reciprocal_rank_scorer",
    "neg_relative_key_error_scorer",
    "recall_at_k_scorer",
]

# Lower-case classes: used like scikit-learn's make_scorer.


class match_rate_scorer(Scorer):
    """Scorer of the match rate: share of best keys that are found.

    Parameters
    ----------
    n_probe : int, None or "auto", default="auto"
        Partitions visited, as in ``search``. "auto" takes the least work, as the
        estimator's ``score`` does: the first partition, with a single one the keys
        nearest to the predicted key, and of an index what its own parameters say.

    Examples
    --------
    Scorers of one search can be about several things.

    >>> from sklearn.model_selection import GridSearchCV
    >>> from sk_amips import KeyNetRegressor
    >>> from sk_amips.metrics import match_rate_scorer, neg_relative_key_error_scorer
    >>> search = GridSearchCV(
    ...     KeyNetRegressor(),
    ...     {"lr": [1e-3, 3e-3]},
    ...     scoring={
    ...         "match_rate": match_rate_scorer(),
    ...         "key_error": neg_relative_key_error_scorer(),
    ...     },
    ...     refit="match_rate",
    ... )
    """

    def __init__(self, n_probe="auto"):
        self.n_probe = n_probe

    def _measure(self, estimator, X, sample_weight) -> float:
        true_scores, _ = estimator._exact(estimator._check_queries(X), 1)
        found_scores, _ = _found(estimator, X, 1, self.n_probe)
        return match_rate(true_scores, found_scores, sample_weight=sample_weight)


class recall_at_k_scorer(Scorer):
    """Scorer of recall@k.

    Parameters
    ----------
    k : int
        Number of keys asked for.
    n_probe : int, None or "auto", default="auto"
        Partitions visited, as in ``search``. "auto" takes the least work, as the
        estimator's ``score`` does: the first partition, with a single one the keys
        nearest to the predicted key, and of an index what its own parameters say.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sk_amips import KeyNetRegressor
    >>> from sk_amips.metrics import recall_at_k_scorer
    >>> search = GridSearchCV(
    ...     KeyNetRegressor(), {"lr": [1e-3, 3e-3]}, scoring=recall_at_k_scorer(10)
    ... )
    """

    def __init__(self, k: int, n_probe="auto"):
        self.k = k
        self.n_probe = n_probe

    def _measure(self, estimator, X, sample_weight) -> float:
        true_scores, _ = estimator._exact(estimator._check_queries(X), self.k)
        found = _found(estimator, X, self.k, self.n_probe)
        return recall_at_k(true_scores, *found, sample_weight=sample_weight)


class mean_reciprocal_rank_scorer(Scorer):
    """Scorer of predicted keys: the rank of the best key among those nearest to them.

    It tells how good a network is in front of another vector index, which ranks keys by
    their distance to ``transform(X)``. (``search`` ranks by the true score: there the
    best key comes first, if at all.)

    Parameters
    ----------
    k : int, default=10
        Number of keys looked at.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips import KeyNetRegressor
    >>> from sk_amips.metrics import mean_reciprocal_rank_scorer
    >>> keys = np.random.default_rng(0).normal(size=(50, 4))
    >>> net = KeyNetRegressor(keys, max_epochs=1, random_state=0).fit(keys)
    >>> 0 <= mean_reciprocal_rank_scorer(k=5)(net, keys) <= 1
    True
    """

    def __init__(self, k: int = 10):
        self.k = k

    def _measure(self, estimator, X, sample_weight) -> float:
        _check_predicts_keys(estimator, self)
        X = estimator._check_queries(X)
        true_scores, _ = estimator._exact(X, 1)
        nearest = estimator._nearest(X, self.k)
        return mean_reciprocal_rank(true_scores, *nearest, sample_weight=sample_weight)


class neg_relative_key_error_scorer(Scorer):
    """Scorer of predicted keys: minus their relative squared distance to the best.

    A network that predicts the sum of the ``top_k`` best keys is measured by their
    mean.

    Parameters
    ----------
    average : {"mean_of_ratios", "ratio_of_means"}, default="mean_of_ratios"
        As in :func:`relative_key_error`.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips import KeyNetRegressor
    >>> from sk_amips.metrics import neg_relative_key_error_scorer
    >>> rng = np.random.default_rng(0)
    >>> keys, queries = rng.normal(size=(50, 4)), rng.normal(size=(100, 4))
    >>> net = KeyNetRegressor(keys, max_epochs=1, random_state=0).fit(queries)
    >>> neg_relative_key_error_scorer()(net, queries) < 0
    True
    """

    def __init__(self, average: str = "mean_of_ratios"):
        self.average = average

    def _measure(self, estimator, X, sample_weight) -> float:
        _check_predicts_keys(estimator, self)
        n_summed = estimator.n_summed_
        X = estimator._check_queries(X)
        _, rows = estimator._exact(X, n_summed)
        return -relative_key_error(
            estimator._predicted_keys(X) / n_summed,
            estimator.keys_[rows].mean(axis=1),
            X,
            average=self.average,
            sample_weight=sample_weight,
        )


def _found(estimator, X, k: int, n_probe):
    """Scores and indices of a search."""
    if isinstance(n_probe, str):
        if n_probe != "auto":
            raise ValueError(f"n_probe must be an int, None or 'auto': {n_probe!r}.")
        return estimator._answer(estimator._check_queries(X), k)
    return estimator.search(X, k, n_probe=n_probe)


def _check_predicts_keys(estimator, scorer) -> None:
    if not hasattr(estimator, "transform"):
        raise TypeError(
            f"{type(scorer).__name__} needs an estimator that predicts keys, such as "
            f"KeyNetRegressor: got {type(estimator).__name__}."
        )
