"""LinearRouter: a linear score for each list, learned from queries."""

from __future__ import annotations

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight

from .._validation import row_blocks
from ..exact import partition_search
from ._base import BaseRouter


class LinearRouter(BaseRouter):
    r"""Rank lists by linear scores that are learned from logged queries.

    ``loss="ridge"`` regresses the support value of every list on the query's direction
    by least squares with an L2 penalty; ``loss="cross_entropy"`` is the multinomial
    logistic regression of the list that holds the best key [1]_.

    Parameters
    ----------
    keys : array-like of shape (n_keys, n_features) or None, default=None
        Keys of any norm but zero, by reference. None takes the training queries.
    n_partitions : int, "sqrt" or "auto", default="sqrt"
        Number of lists into which the keys are split by spherical k-means; "sqrt" takes
        the square root of the number of keys, "auto" twice that.
    partition : Partition or array-like of shape (n_keys,), default=None
        Lists to use in place of k-means, whatever ``n_partitions`` is: another
        estimator's ``partition_``, or the list of each key.
    loss : {"ridge", "cross_entropy"}, default="ridge"
        What is minimised. Scores, and so :meth:`predict`, are support values with
        "ridge" alone; with "cross_entropy" they only tell the order of the lists.
    alpha : float, default=0.3
        Strength of the L2 penalty beside the loss summed over the queries.
    max_iter : int, default=100
        Iterations of the logistic regression.
    fit_intercept : bool, default=True
        Whether scores have constants. Without them lists are ordered by inner products
        alone, as :meth:`AmortizedNeighbors.to_faiss` needs it; "ridge" only.
    rank : int or None, default=None
        Rank of the weights, so that a query's scores take ``rank * (n_features +
        n_partitions)`` multiplications: reduced-rank regression [2]_, whose scores of
        the training queries are the nearest of that rank. "ridge" only. None: full.
    device : {"auto", "cpu", "cuda"} or torch device, default="auto"
        Where exact searches run.
    n_jobs : int or None, default=None
        Jobs of the exact search.
    random_state : int, RandomState instance or None, default=None
        Seed of the partition.

    Attributes
    ----------
    coef_ : ndarray of shape (n_partitions, n_features)
        Weights of the query's direction.
    factors_ : tuple of ndarray of shape (n_partitions, rank) and (rank, n_features)
        Of which ``coef_`` is the product; only with a ``rank`` below the full one.
    intercept_ : ndarray of shape (n_partitions,)
        Constants, zero with ``fit_intercept=False``. A list that never held the best
        key of a training query comes after all others, in the order of the centroids.
    keys_ : ndarray or memmap of shape (n_keys, n_features)
        The keys, by reference.
    key_norms_ : KeyNorms
        Largest and root-mean-square norm of the keys.
    partition_ : Partition
        The lists of keys.
    n_samples_seen_ : int
        Number of queries learned from.
    random_state_ : RandomState instance
        Source of further randomness.
    n_features_in_ : int
        Number of features of queries and keys.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where the queries had names.

    References
    ----------
    .. [1] Vecchiato, Lucchese, Nardini and Bruch, "A Learning-to-Rank Formulation of
       Clustering-Based Approximate Nearest Neighbor Search", SIGIR 2024.
    .. [2] Izenman, "Reduced-Rank Regression for the Multivariate Linear Model", Journal
       of Multivariate Analysis 5, 1975.

    Examples
    --------
    Queries about few topics teach more of the lists than the keys tell:

    >>> import numpy as np
    >>> from sk_amips import CentroidRouter, LinearRouter
    >>> rng = np.random.default_rng(0)
    >>> keys, topics = rng.normal(size=(500, 16)), rng.normal(size=(8, 16))
    >>> queries = topics[rng.integers(8, size=2000)] + 0.5 * rng.normal(size=(2000, 16))
    >>> centroids = CentroidRouter(keys, random_state=0).fit(queries)
    >>> router = LinearRouter(keys, partition=centroids.partition_).fit(queries[:1000])
    >>> router.score(queries[1000:]) > centroids.score(queries[1000:]) + 0.1
    True
    """

    _parameter_constraints: dict = {
        **BaseRouter._parameter_constraints,
        "loss": [StrOptions({"cross_entropy", "ridge"})],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "fit_intercept": ["boolean"],
        "rank": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        keys=None,
        *,
        n_partitions="sqrt",
        partition=None,
        loss="ridge",
        alpha=0.3,
        max_iter=100,
        fit_intercept=True,
        rank=None,
        device="auto",
        n_jobs=None,
        random_state=None,
    ):
        self.keys = keys
        self.n_partitions = n_partitions
        self.partition = partition
        self.loss = loss
        self.alpha = alpha
        self.max_iter = max_iter
        self.fit_intercept = fit_intercept
        self.rank = rank
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_weight=None):
        """Learn from logged queries, whose best keys are searched exactly.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries. Their norms do not matter.
        y : Ignored
            Present for scikit-learn's convention.
        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries, such as their counts in a log.

        Returns
        -------
        self : object
            The fitted router.
        """
        if self.loss == "cross_entropy":
            if not self.fit_intercept:
                raise ValueError("fit_intercept=False needs loss='ridge'.")
            if self.rank is not None:
                raise ValueError("rank needs loss='ridge'.")
        with self._fitting() as twin:
            X = twin._checked(X, reset=True)
            if sample_weight is not None:
                sample_weight = _check_sample_weight(
                    sample_weight, X, ensure_non_negative=True
                )
            twin._take_keys(X)
            learn = twin._learn_all if twin.loss == "ridge" else twin._learn_winner
            twin.coef_, twin.intercept_ = learn(X, sample_weight)
            twin.n_samples_seen_ = len(X)
        return self

    def _learn_winner(self, X: np.ndarray, sample_weight):
        """Logistic regression of the list with the best key."""
        # Zero queries have no winner, and what has no weight does not win.
        counts = X.any(axis=1)
        if sample_weight is not None:
            counts &= sample_weight > 0
            sample_weight = sample_weight[counts]
        X = X[counts]
        winner = self.partition_.labels_[self._top_k(X, 1)[1][:, 0]]
        classes = np.unique(winner)
        coef = self.partition_.centroids_ / np.float64(self.key_norms_.rms or 1.0)
        intercept = np.zeros(len(coef))
        if len(classes) < 2:
            coef[classes] = 0.0
        else:
            model = LogisticRegression(C=1 / self.alpha, max_iter=self.max_iter)
            with warnings.catch_warnings():
                # As many iterations as asked for; the last steps change no order.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(self._directions(X)[1], winner, sample_weight=sample_weight)
            # Of two classes, scikit-learn has the score of the second alone.
            coef[classes] = 0.0
            learned = classes[-len(model.coef_) :]
            coef[learned], intercept[learned] = model.coef_, model.intercept_
        # Lists that never won come last, in the order of their centroids: below all
        # others for every query of norm one.
        others = np.setdiff1d(np.arange(len(coef)), classes)
        reach = np.linalg.norm(coef, axis=1) + np.abs(intercept)
        intercept[others] = -2 * reach.max() - 1
        return coef, intercept

    def _learn_all(self, X: np.ndarray, sample_weight):
        """Ridge regression of all support values."""
        unit = self._directions(X)[1]
        scores, _ = partition_search(
            self.keys_,
            unit,
            self.partition_,
            n_jobs=self.n_jobs,
            device=self.device,
        )
        model = Ridge(alpha=self.alpha, fit_intercept=self.fit_intercept)
        model.fit(unit, scores, sample_weight=sample_weight)
        coef = np.atleast_2d(model.coef_)
        intercept = np.broadcast_to(model.intercept_, len(coef)).copy()
        if self.rank is None or self.rank >= min(coef.shape):
            return coef, intercept
        return self._reduced(coef, intercept, unit, sample_weight)

    def _reduced(self, coef, intercept, unit: np.ndarray, sample_weight):
        """Weights of lower rank, and constants that keep the mean scores."""
        weight = np.ones(len(unit)) if sample_weight is None else sample_weight
        mean = np.zeros(unit.shape[1])
        if self.fit_intercept:
            mean = np.average(unit, axis=0, weights=weight)
        moments = np.zeros((unit.shape[1], unit.shape[1]))
        for rows in row_blocks(len(unit)):
            some = unit[rows] - mean
            moments += (some * weight[rows, None]).T @ some
        # Axes along which the scores of the queries differ most, the largest last.
        axes = np.linalg.eigh(coef @ moments @ coef.T)[1][:, -self.rank :]
        self.factors_ = axes, axes.T @ coef
        low = axes @ self.factors_[1]
        return low, intercept + (coef - low) @ mean

    def _list_scores(self, X: np.ndarray) -> np.ndarray:
        norms, unit = self._directions(X)
        scores = unit
        for factor in reversed(getattr(self, "factors_", (self.coef_,))):
            scores = scores @ factor.T
        scores = scores + self.intercept_
        return np.where(norms > 0, norms, 1.0) * scores
