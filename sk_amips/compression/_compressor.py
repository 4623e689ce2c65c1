"""DatabaseCompressor: the keys that can win under a query log."""

from __future__ import annotations

from copy import copy
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    check_scalar,
    validate_data,
)

from .._samples import usable_queries
from .._saveable import Saveable
from .._validation import as_keys, check_same_width, key_norms, squared_norms
from ..exact._search import check_k, top_k
from ..partition import LISTS, Partition, as_partition, n_lists, spherical_kmeans
from ._ranking import Ranking

__all__ = ["DatabaseCompressor"]

# Least share of the lists that the keys left out are split into.
_LEFT_OUT = 0.2


class DatabaseCompressor(Saveable, BaseEstimator):
    """Keep the keys that can be best under the law of the queries.

    The exact best keys of every query of a log say which keys win, and which come
    close: a key is worth the more, the more often and the higher it ranks. The first
    ones in that order are kept, as many as a recall takes, or a given number. How many
    best keys of new queries are kept is estimated from the log alone: each query judges
    an order that its own group had no part in.

    Parameters
    ----------
    keys : array-like of shape (n_keys, n_features)
        Keys of any norm, by reference.
    target_recall : float, default=0.95
        Share of the k best keys of new queries that is to be kept.
    n_kept : int, float or None, default=None
        Number of keys to keep, at least ``k``, or share of all, of which ``k`` are
        kept at least, in place of a recall.
    k : int, default=1
        Number of best keys that recall is about.
    n_neighbors : int, default=32
        Number of best keys of each query that are worth something; at least ``k``.
    device : {"auto", "cpu", "cuda"} or torch device, default="auto"
        Where exact searches run.
    n_jobs : int or None, default=None
        Jobs of the exact searches.

    Attributes
    ----------
    kept_ : ndarray of shape (n_kept,), dtype int64
        Rows of the keys that are kept, ascending.
    kept_keys_ : ndarray of shape (n_kept, n_features)
        These keys: the compressed database.
    ranking_ : ndarray of shape (n_keys,), dtype int64
        All keys, from the one most worth keeping.
    recall_ : float
        Estimated share of the k best keys of new queries that is kept.
    standard_error_ : float
        Of ``recall_``; groups are independent, queries of one group need not be. With
        less than some thirty groups it is itself uncertain.
    keys_ : ndarray or memmap of shape (n_keys, n_features)
        All keys, by reference.
    n_features_in_ : int
        Number of features of queries and keys.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where the queries had names.

    See Also
    --------
    learnability_report : Whether few keys win, before anything is compressed.

    Notes
    -----
    The estimate is the mean over queries of what a jackknife over groups finds: for new
    queries of new groups of the same law it errs by about ``standard_error_``, and is
    pessimistic by the little that one more group would add. Where most queries have a
    best key of their own, nearly all keys have to be kept: ``recall_`` says so.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips import DatabaseCompressor
    >>> rng = np.random.default_rng(0)
    >>> keys = rng.normal(size=(2000, 16))
    >>> queries = keys[rng.integers(100, size=3000)] + 0.3 * rng.normal(size=(3000, 16))
    >>> compressor = DatabaseCompressor(keys, target_recall=0.9).fit(queries[:2500])
    >>> compressor.kept_keys_.shape[0] < 500
    True
    >>> abs(compressor.score(queries[2500:]) - compressor.recall_) < 0.03
    True
    """

    _parameter_constraints: dict = {
        "keys": ["array-like"],
        "target_recall": [Interval(Real, 0, 1, closed="neither")],
        "n_kept": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
            None,
        ],
        "k": [Interval(Integral, 1, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "n_jobs": [Integral, None],
    }

    # Metadata routing passes groups on unless told otherwise, as to splitters.
    __metadata_request__fit = {"groups": True}

    def __init__(
        self,
        keys,
        *,
        target_recall=0.95,
        n_kept=None,
        k=1,
        n_neighbors=32,
        device="auto",
        n_jobs=None,
    ):
        self.keys = keys
        self.target_recall = target_recall
        self.n_kept = n_kept
        self.k = k
        self.n_neighbors = n_neighbors
        self.device = device
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, sample_weight=None, groups=None):
        """Rank the keys, and keep the first of them.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Logged queries. Zero queries, to which all keys are equal, count for
            nothing.
        y : Ignored
            The exact best keys are searched.
        sample_weight : array-like of shape (n_queries,), default=None
            How often each query was asked; of weight zero, it counts for nothing.
        groups : array-like of shape (n_queries,), default=None
            Group of each query, such as the user or the document it comes from. New
            queries are taken to come from new groups. None: queries are independent.

        Returns
        -------
        self : object
            The fitted compressor.

        Raises
        ------
        ValueError
            If shapes do not fit, values are not finite, ``k`` is larger than the number
            of keys or than ``n_neighbors``, more keys are to be kept than there are or
            fewer than ``k``, a weight is negative, or fewer than two groups have
            queries.
        """
        # A fit that fails leaves the estimator as it was.
        twin = copy(self)
        twin._fit(X, sample_weight, groups)
        self.__dict__ = vars(twin)
        return self

    def _fit(self, X, sample_weight, groups) -> None:
        """:meth:`fit`, in place."""
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        keys = as_keys(self.keys)
        check_same_width(keys, X)
        self._check_numbers(len(keys))
        weight = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        # Queries of weight zero are left out as zero queries are.
        counts = np.where(weight[:, None] > 0, X, 0) if not weight.all() else X
        rows, groups = usable_queries(counts, groups, None, None)
        if len(rows) < len(X):
            X, weight = X[rows], weight[rows]
        self.keys_ = keys
        self._max_norm = key_norms(keys, allow_zero=True).max
        self._k = self.k
        best = self._best(X, min(self.n_neighbors, len(keys)))
        # Nothing of the log, which would tell each query of its own group.
        prior = squared_norms(keys)
        self._ranking = Ranking(best, groups, weight, prior, self.k)
        self.ranking_ = self._ranking.order
        n_kept = self._number_kept()
        self.kept_ = np.sort(self.ranking_[:n_kept])
        self.kept_keys_ = keys[self.kept_]
        self.recall_ = float(self._ranking.recall(n_kept))
        self.standard_error_ = self._ranking.standard_error(n_kept)

    def _check_numbers(self, n_keys: int) -> None:
        """Raise if parameters ask for more keys than there are."""
        check_k(self.k, n_keys)
        if self.k > self.n_neighbors:
            raise ValueError(
                f"n_neighbors must be at least k={self.k}, got {self.n_neighbors}."
            )
        if not isinstance(self.n_kept, Integral):
            return
        if not self.k <= self.n_kept <= n_keys:
            raise ValueError(
                f"n_kept must lie between k={self.k} and the number of keys, {n_keys}: "
                f"got {self.n_kept}."
            )

    def _number_kept(self) -> int:
        if self.n_kept is None:
            n_kept = self._ranking.n_kept(self.target_recall)
        elif isinstance(self.n_kept, Integral):
            n_kept = int(self.n_kept)
        else:
            n_kept = round(self.n_kept * len(self.keys_))
        return max(self.k, n_kept)  # a search for k keys has to find k

    def _best(self, X, k) -> np.ndarray:
        """Exact k best keys of checked queries."""
        return self._top_k(self.keys_, X, k)[1]

    def _top_k(self, keys, X, k):
        return top_k(
            keys, X, k, max_norm=self._max_norm, n_jobs=self.n_jobs, device=self.device
        )

    def predict_recall(self, n_kept):
        """Estimate the recall if another number of keys was kept.

        Parameters
        ----------
        n_kept : int or array-like of int
            Numbers of keys, in the order of ``ranking_``.

        Returns
        -------
        recall : float or ndarray
            Share of the k best keys of new queries among so many.

        Raises
        ------
        ValueError
            If a number is no integer, negative, or larger than the number of keys.
        """
        check_is_fitted(self)
        n_kept, n_keys = np.asarray(n_kept), len(self.keys_)
        if n_kept.size == 0:
            return np.empty(n_kept.shape)
        if n_kept.dtype.kind not in "iu":
            raise ValueError(f"n_kept must be integers, got {n_kept}.")
        if not (n_kept.min() >= 0 and n_kept.max() <= n_keys):
            raise ValueError(f"n_kept must lie between 0 and {n_keys}, got {n_kept}.")
        recall = self._ranking.recall(n_kept)
        return float(recall) if recall.ndim == 0 else recall

    def get_support(self, indices: bool = False) -> np.ndarray:
        """Which keys are kept, as of scikit-learn's feature selectors.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return rows in place of a mask.

        Returns
        -------
        support : ndarray
            Boolean mask of shape (n_keys,), or ``kept_``.
        """
        check_is_fitted(self)
        if indices:
            return self.kept_
        mask = np.zeros(len(self.keys_), dtype=bool)
        mask[self.kept_] = True
        return mask

    def search(self, X, k: int = 1):
        """Find the kept keys of largest inner product with each query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        k : int, default=1
            Number of keys wanted for each query, at most as many as are kept.

        Returns
        -------
        scores : ndarray of shape (n_queries, k)
            Inner products of the queries with the keys found, descending.
        indices : ndarray of shape (n_queries, k), dtype int64
            Rows of ``keys``; equal scores are in order of their index.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        check_k(k, len(self.kept_))
        scores, indices = self._top_k(self.kept_keys_, X, k)
        return scores, self.kept_[indices]

    def score(self, X, y=None, sample_weight=None) -> float:
        """Share of the exact k best keys of queries that are kept.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        y : Ignored
            The exact best keys are searched.
        sample_weight : array-like of shape (n_queries,), default=None
            How often each query was asked.

        Returns
        -------
        score : float
            Between 0 and 1. Of equal keys the one with the lowest index is best. Zero
            queries, to which all keys are equal, count for nothing, as in :meth:`fit`.

        Raises
        ------
        ValueError
            If no query counts.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        weight = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        rows = np.flatnonzero(X.any(axis=1) & (weight > 0))
        if not len(rows):
            raise ValueError("No query is left that is not zero and has a weight.")
        best = self._best(X[rows], self._k)
        kept = self.get_support()[best].mean(axis=1)
        return float(np.average(kept, weights=weight[rows]))

    def partition(self, n_partitions="sqrt", *, random_state=None) -> Partition:
        """Put the kept keys in lists, and those left out in lists of their own.

        A router over such lists falls back on the latter where it expects a better key
        there, and nothing is lost for good. It pays where few keys win; where many do,
        lists that mix both take less work. The lists know the queries of :meth:`fit`:
        let others calibrate an index over them.

        Parameters
        ----------
        n_partitions : int, "sqrt" or "auto", default="sqrt"
            Number of lists, of both kinds together; "sqrt" takes the square root of the
            number of keys, "auto" twice that.
        random_state : int, RandomState instance or None, default=None
            Seed of the clustering.

        Returns
        -------
        partition : Partition
            Of all keys, for the parameter ``partition`` of a router; the lists of kept
            keys come first.
        """
        check_is_fitted(self)
        n_keys, n_kept = len(self.keys_), len(self.kept_)
        if n_partitions in LISTS:
            n_partitions = max(2, n_lists(n_partitions, n_keys))
        check_scalar(
            n_partitions, "n_partitions", Integral, min_val=2, max_val=max(2, n_keys)
        )
        rng = check_random_state(random_state)
        first, second = rng.randint(np.iinfo(np.int32).max, size=2).tolist()
        if n_kept == n_keys:
            return spherical_kmeans(self.keys_, min(n_partitions, n_keys), seed=first)
        # As the square roots of their keys, so that those left out have longer lists.
        most = min(n_kept, round(n_partitions * (1 - _LEFT_OUT)), n_partitions - 1)
        n_first = int(np.clip(round(n_partitions * (n_kept / n_keys) ** 0.5), 1, most))
        left_out = np.flatnonzero(~self.get_support())
        n_second = min(n_partitions - n_first, len(left_out))
        labels = np.empty(n_keys, dtype=np.int32)
        kept = spherical_kmeans(self.kept_keys_, n_first, seed=first)
        rest = spherical_kmeans(self.keys_[left_out], n_second, seed=second)
        labels[self.kept_] = kept.labels_
        labels[left_out] = n_first + rest.labels_
        return as_partition(self.keys_, labels)

    _private_state: ClassVar[tuple[str, ...]] = ("_k", "_max_norm", "_ranking")

    def _to_state(self) -> dict:
        state = super()._to_state()
        if "kept_" in state:
            state["_ranking"] = vars(self._ranking)
            del state["kept_keys_"]
        return state

    def _restore(self, state: dict) -> None:
        super()._restore(state)
        if "kept_" in state:
            self._ranking = Ranking.restored(**state["_ranking"])
            self.kept_keys_ = self.keys_[self.kept_]

    def __sklearn_clone__(self):
        # Keys go into the clone by reference; the rest is copied as usual.
        bare = object.__new__(type(self))
        vars(bare).update(vars(self), keys=None)
        return BaseEstimator.__sklearn_clone__(bare).set_params(keys=self.keys)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags
