"""Searching a fitted index."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, check_scalar, validate_data

from .._memmaps import release
from .._saveable import Saveable
from .._validation import row_blocks
from ..exact._search import check_k
from ..metrics import recall_at_k
from ._calibrate import Calibration
from ._engine import Found
from ._rules import BoundStop, Budget, FixedProbes, Rule

__all__ = ["SearchesKeys"]

# Numbers of an array whose checking matters.
_SMALL = 2**16


class SearchesKeys(Saveable, BaseEstimator):
    """What can be asked of a fitted :class:`AmortizedNeighbors`."""

    def search(self, X, k=None, *, target_recall=None, n_probe=None):
        """Find the keys of largest inner product with each query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        k : int, default=None
            Number of keys wanted for each query; None: that of the constructor.
        target_recall : float, default=None
            In place of the constructor's.
        n_probe : int, default=None
            In place of the constructor's.

        Returns
        -------
        scores : ndarray of shape (n_queries, k)
            Inner products of the queries with the keys found, descending.
        indices : ndarray of shape (n_queries, k), dtype int64
            Rows of ``keys``; equal scores are in order of their index. Where the lists
            to visit hold fewer than ``k`` keys, others are visited too.

        Raises
        ------
        ValueError
            If a recall is asked for more keys than any calibration was made for.
        """
        X = self._check_queries(X)
        k = self.k if k is None else k
        found = self._search(X, k, target_recall, n_probe)
        return found.scores[:, :k], found.indices[:, :k]

    def kneighbors(self, X, n_neighbors=None, return_distance=True):
        """Find keys in the form of scikit-learn's neighbors.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        n_neighbors : int, default=None
            Number of keys wanted for each query; None: ``k``.
        return_distance : bool, default=True
            Whether to return distances too.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            *Negative inner products*, ascending. Only with ``return_distance=True``.
        indices : ndarray of shape (n_queries, n_neighbors), dtype int64
            Rows of ``keys``.
        """
        scores, indices = self.search(X, n_neighbors)
        return (-scores, indices) if return_distance else indices

    def kneighbors_graph(self, X, n_neighbors=None, mode="connectivity"):
        """Find keys as a sparse matrix of queries and keys.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        n_neighbors : int, default=None
            Number of keys wanted for each query; None: ``k``.
        mode : {"connectivity", "distance"}, default="connectivity"
            Whether entries are one, or negative inner products.

        Returns
        -------
        graph : csr_matrix of shape (n_queries, n_keys)
            In each row an entry for every key that was found, the best one first.
        """
        if mode not in ("connectivity", "distance"):
            raise ValueError(
                f"mode must be 'connectivity' or 'distance', got {mode!r}."
            )
        distances, indices = self.kneighbors(X, n_neighbors)
        there = indices >= 0
        ends = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        values = distances[there]
        if mode == "connectivity":
            values = np.ones_like(values)
        shape = len(indices), len(self.keys_)
        return sparse.csr_matrix((values, indices[there], ends), shape=shape)

    def predict(self, X):
        """Find the best key of each query, as the last step of a pipeline does.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        indices : ndarray of shape (n_queries,), dtype int64
            Rows of ``keys``.
        """
        return self.search(X)[1][:, 0]

    def score(self, X, y=None, sample_weight=None):
        """Recall@k: share of the k exact best keys that a search finds.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        y : Ignored
            The exact best keys are searched. Ties with the k-th best key are hits.
        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries.

        Returns
        -------
        recall : float
            Between 0 and 1.
        """
        X = self._check_queries(X)
        exact, _ = self._exact(X, self.k)
        return recall_at_k(exact, *self._answer(X, self.k), sample_weight=sample_weight)

    def visited(self, X, k=None, *, target_recall=None, n_probe=None):
        """Count what a search visits.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        k : int, default=None
            As in :meth:`search`.
        target_recall : float, default=None
            As in :meth:`search`.
        n_probe : int, default=None
            As in :meth:`search`.

        Returns
        -------
        n_lists, n_keys : ndarray of shape (n_queries,), dtype int64
            Lists visited for each query, and keys in them; none for a zero query.
        """
        return tuple(self._count("count_visits", X, k, target_recall, n_probe))

    def predict_recall(self, *, max_lists=None, max_keys=None, k=None) -> float:
        """Predict the recall@k that a budget alone would reach.

        Parameters
        ----------
        max_lists, max_keys : int, default=None
            Budget for a query.
        k : int, default=None
            Number of keys wanted; None: that of the constructor.

        Returns
        -------
        recall : float
            That of the calibration queries, before what compressed lists lose.
        """
        check_is_fitted(self)
        k = self.k if k is None else k
        calibration = self._calibration(k)
        rank, n_keys = calibration.rank[:, :k], calibration.n_keys[:, :k]
        found = np.ones(rank.shape, dtype=bool)
        if max_lists is not None:
            check_scalar(max_lists, "max_lists", Integral, min_val=1)
            found &= rank < max_lists
        if max_keys is not None:
            check_scalar(max_keys, "max_keys", Integral, min_val=1)
            found &= (n_keys <= max_keys) | (rank == 0)
        return float(found.mean())

    def _is_exact(self) -> bool:
        rules = self.n_probe, self.target_recall, self.max_lists, self.max_keys
        return all(rule is None for rule in rules)

    def _calibration(self, k: int) -> Calibration:
        able = [n for n in self.calibrations_ if n >= k]
        if not able:
            raise ValueError(
                f"There is no calibration for k={k}: call calibrate(X, k={k}) first."
            )
        return self.calibrations_[min(able)]

    def _rule(self, k, target_recall, n_probe) -> tuple[Rule, int]:
        """The rule of a search, and the number of keys it is made for."""
        if target_recall is not None and n_probe is not None:
            raise ValueError("Give n_probe or target_recall, not both.")
        if target_recall is None and n_probe is None:
            target_recall, n_probe = self.target_recall, self.n_probe
        rule = None
        if n_probe is not None:
            check_scalar(n_probe, "n_probe", Integral, min_val=1)
            rule = FixedProbes(n_probe)
        elif target_recall is not None:
            check_scalar(
                target_recall,
                "target_recall",
                Real,
                min_val=0,
                max_val=1,
                include_boundaries="neither",
            )
            calibration = self._calibration(k)
            if self.lists != "flat" and target_recall != self.target_recall:
                raise ValueError(
                    f"{self.lists!r} lists are calibrated for target_recall="
                    f"{self.target_recall} alone, got {target_recall}."
                )
            rule = calibration.rule(target_recall, k)
            k = calibration.rank.shape[1]
        elif self._is_exact():
            if self._bounds is None:
                raise ValueError("Fit anew to search without a target.")
            likely = self.calibrations_[1].first_rule(self._target())
            rule = BoundStop(likely, self._bounds)
        if self.max_lists is not None or self.max_keys is not None:
            rule = Budget(rule, self.max_lists, self.max_keys, self.partition_.sizes_)
        return rule, k

    def _count(self, what: str, X, k, target_recall, n_probe) -> np.ndarray:
        """Counts of the engine for each query, zeros for zero ones."""
        X = self._check_queries(X)
        k = self.k if k is None else k
        check_k(k, len(self.keys_))
        rule, k = self._rule(k, target_recall, n_probe)
        some = X.any(axis=1)
        found = getattr(self._engine, what)(X[some], k, rule)
        counts = np.zeros((*found.shape[:-1], len(X)), dtype=np.int64)
        counts[..., some] = found
        return counts

    def _search(self, X, k, target_recall, n_probe) -> Found:
        check_k(k, len(self.keys_))
        rule, k = self._rule(k, target_recall, n_probe)
        size = self._engine.block
        some = np.flatnonzero(X.any(axis=1))
        if len(some) == len(X) <= size:
            return self._engine.search(X, k, rule)
        found = Found.of_zero(X, k)

        def fill(block: slice) -> None:
            rows = some[block]
            part = self._engine.search(X[rows], k, rule)
            found.scores[rows], found.indices[rows] = part
            release(self.keys_)

        # Processes would fill copies of the results.
        parallel = Parallel(n_jobs=self.n_jobs, require="sharedmem")
        parallel(delayed(fill)(block) for block in row_blocks(len(some), size))
        return found

    def _exact(self, X: np.ndarray, k: int):
        """Exact search of checked queries, whatever the index promises."""
        return self.learned_router_._exact(X, k)

    def _answer(self, X: np.ndarray, k: int):
        """Keys found for checked queries as the parameters say."""
        found = self._search(X, k, None, None)
        return found.scores[:, :k], found.indices[:, :k]

    def _check_queries(self, X) -> np.ndarray:
        check_is_fitted(self)
        return self._checked(X, reset=False)

    def _checked(self, X, *, reset: bool) -> np.ndarray:
        if not reset and self._is_plain(X):
            return X
        return validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)

    def _is_plain(self, X) -> bool:
        """Whether an array is what checking would return, told in a few microseconds.

        Checking takes a hundred: for one query, as long as the search.
        """
        return (
            type(X) is np.ndarray
            and X.dtype in (np.float32, np.float64)
            and X.ndim == 2
            and 0 < X.size <= _SMALL
            and X.shape[1] == self.n_features_in_
            and not hasattr(self, "feature_names_in_")
            and bool(np.isfinite(X).all())
        )
