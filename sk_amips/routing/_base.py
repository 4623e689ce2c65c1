"""What everything that searches keys through lists shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy
from numbers import Integral

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, check_scalar, validate_data

from .._saveable import Saveable
from .._validation import as_keys, check_same_width, key_norms, row_blocks, row_norms
from ..exact import probe_search
from ..exact._search import check_k, top_k
from ..metrics import match_rate
from ..partition import LISTS, Partition, as_partition, n_lists, spherical_kmeans

# Floats of a block of scores.
BLOCK_SIZE = 2**24


class BaseRouter(Saveable, BaseEstimator, ABC):
    """Keys in lists, a score of every list for a query, and the search that it steers.

    Subclasses set ``keys_`` and ``partition_`` by :meth:`_take_keys`, and say how to
    score lists in :meth:`_list_scores`.

    Examples
    --------
    Of any router one list visited gives a key of the list predicted best, and all of
    them the best key there is:

    >>> import numpy as np
    >>> from sk_amips import CentroidRouter, exact_search
    >>> rng = np.random.default_rng(0)
    >>> keys, queries = rng.normal(size=(500, 16)), rng.normal(size=(100, 16))
    >>> router = CentroidRouter(keys, random_state=0).fit(queries)
    >>> first = router.predict_partitions(queries).argmax(axis=1)
    >>> _, indices = router.search(queries, n_probe=1)
    >>> np.array_equal(router.partition_.labels_[indices[:, 0]], first)
    True
    >>> np.array_equal(router.search(queries)[1], exact_search(keys, queries)[1])
    True
    """

    _parameter_constraints: dict = {
        "keys": ["array-like", "sparse matrix", None],
        "n_partitions": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions(set(LISTS)),
        ],
        "partition": ["array-like", Partition, None],
        "device": [str, torch.device],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    # Parameters that clones share.
    _by_reference = ("keys", "partition")
    # Fitted attributes that going on with a fit changes in place.
    _changed_by_fitting = ("random_state_",)

    @abstractmethod
    def _list_scores(self, X: np.ndarray) -> np.ndarray:
        """Score of every list for each of some checked queries, ``(n, c)``."""

    def predict_partitions(self, X) -> np.ndarray:
        """Predict the support value of every partition.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        scores : ndarray of shape (n_queries, n_partitions)
            Predicted largest inner product with the keys of each partition.
        """
        X = self._check_queries(X)
        return self._in_blocks(X).astype(X.dtype, copy=False)

    def predict(self, X) -> np.ndarray:
        """Predict the score of the best key.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        support : ndarray of shape (n_queries,)
            Predicted support values, in the precision of ``X``: those of the best
            partition.
        """
        return self.predict_partitions(X).max(axis=1)

    def search(self, X, k: int = 1, n_probe: int | None = None):
        """Find the keys of largest inner product with each query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        k : int, default=1
            Number of keys wanted for each query.
        n_probe : int or None, default=None
            Number of partitions to visit, in the order of their predicted support
            values. None visits all of them: then the result is exact.

        Returns
        -------
        scores : ndarray of shape (n_queries, k)
            Inner products of the queries with the keys found, descending.
        indices : ndarray of shape (n_queries, k), dtype int64
            Rows of ``keys``; equal scores are in order of their index. Where the
            visited partitions hold fewer than ``k`` keys, -1 with score -inf.
        """
        return self._search(self._check_queries(X), k, n_probe)

    def kneighbors(
        self,
        X,
        n_neighbors: int = 5,
        return_distance: bool = True,
        *,
        n_probe: int | None = None,
    ):
        """Find keys in the form of scikit-learn's neighbors.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        n_neighbors : int, default=5
            Number of keys wanted for each query.
        return_distance : bool, default=True
            Whether to return distances too.
        n_probe : int or None, default=None
            As in :meth:`search`.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            *Negative inner products*, ascending: the nearest key is the one of largest
            inner product. Only with ``return_distance=True``.
        indices : ndarray of shape (n_queries, n_neighbors), dtype int64
            Rows of ``keys``.
        """
        X = self._check_queries(X)
        self._check_keys_are_there()
        check_k(n_neighbors, len(self.keys_), "n_neighbors")
        scores, indices = self._search(X, n_neighbors, n_probe)
        return (-scores, indices) if return_distance else indices

    def score(self, X, y=None, sample_weight=None) -> float:
        """Match rate: share of queries whose exact best key is found in the first list.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        y : Ignored
            The exact best keys are searched. Ties with the best key are matches.
        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries.

        Returns
        -------
        score : float
            Between 0 and 1.
        """
        X = self._check_queries(X)
        self._check_keys_are_there()
        exact, _ = self._exact(X, 1)
        found, _ = self._answer(X, 1)
        return match_rate(exact, found, sample_weight=sample_weight)

    def _exact(self, X: np.ndarray, k: int):
        """Exact search of checked queries that may come again with other fits."""
        check_k(k, len(self.keys_))
        return self._top_k(X, k, memory=getattr(self, "memory", None))

    def to_torch(self, what: str = "predict") -> torch.nn.Module:
        """Make a torch module of a method, to export, to script, or to go on with.

        Parameters
        ----------
        what : {"predict", "transform", "partitions"}, default="predict"
            Which method; "partitions" stands for :meth:`predict_partitions`.

        Returns
        -------
        module : :class:`~sk_amips.serving.QueryModule`
            From float32 queries to what the method returns, on the CPU, with weights of
            its own.

        Raises
        ------
        ValueError
            If there is no such method.
        """
        from ..serving import query_module

        check_is_fitted(self)
        return query_module(self, what)

    def to_onnx(self, path, what: str = "predict") -> None:
        """Write a method as an ONNX file: see :func:`sk_amips.serving.export_onnx`.

        Parameters
        ----------
        path : str or path-like
            File to write.
        what : {"predict", "transform", "partitions"}, default="predict"
            Which method; "partitions" stands for :meth:`predict_partitions`.

        Raises
        ------
        ImportError
            If ``onnx`` or ``onnxscript`` is not installed.
        ValueError
            If there is no such method.
        """
        from ..serving import export_onnx

        check_is_fitted(self)
        export_onnx(self, path, what)

    def _answer(self, X: np.ndarray, k: int):
        """Keys found for checked queries with the least work, as of :meth:`search`."""
        return self._search(X, k, n_probe=1)

    def _search(self, X: np.ndarray, k: int, n_probe: int | None):
        """:meth:`search` of checked queries."""
        self._check_keys_are_there()
        check_k(k, len(self.keys_))
        n_partitions = self.partition_.n_partitions
        if n_probe is not None:
            check_scalar(n_probe, "n_probe", (int, np.integer), min_val=1)
        if n_probe is None or n_probe >= n_partitions:
            return self._top_k(X, k)
        found = []
        for rows in row_blocks(len(X), max(1, BLOCK_SIZE // n_partitions)):
            predicted = self._in_blocks(X[rows])
            probes = np.argsort(-predicted, axis=1, kind="stable")[:, :n_probe]
            found.append(probe_search(self.keys_, X[rows], self.partition_, probes, k))
        scores, indices = zip(*found, strict=True)
        return np.concatenate(scores), np.concatenate(indices)

    def _in_blocks(self, X: np.ndarray, function: Callable | None = None) -> np.ndarray:
        """:meth:`_list_scores`, or another function, within a bounded memory."""
        function = self._list_scores if function is None else function
        size = max(1, BLOCK_SIZE // self._floats_per_query())
        return np.concatenate([function(X[rows]) for rows in row_blocks(len(X), size)])

    def _floats_per_query(self) -> int:
        """Floats that :meth:`_list_scores` holds for a query."""
        return self.partition_.n_partitions

    @contextmanager
    def _fitting(self, *, going_on: bool = False):
        """A copy of the estimator to fit, whose state is taken over if that succeeds.

        Until then the estimator predicts and searches as before, and so it does when
        the fit fails or is interrupted. ``going_on`` starts from the fitted state.
        """
        twin = object.__new__(type(self))
        vars(twin).update(
            {k: v for k, v in vars(self).items() if going_on or not k.endswith("_")}
        )
        if going_on:
            for name in self._changed_by_fitting:
                setattr(twin, name, deepcopy(getattr(self, name)))
        yield twin
        self.__dict__ = vars(twin)

    def _take_keys(self, X: np.ndarray) -> None:
        """Set keys, norms and lists, for training queries that may be the keys too."""
        if self.keys is None:
            self._check_keys_are_there()
        keys = X if self.keys is None else as_keys(self.keys)
        check_same_width(keys, X)
        self.key_norms_ = key_norms(keys, allow_zero=self.keys is None)
        self.random_state_ = self._random()
        self.keys_ = keys
        if self.partition is not None:
            self.partition_ = as_partition(keys, self.partition)
        else:
            n_partitions = self._n_partitions(keys)
            self.partition_ = spherical_kmeans(
                keys,
                n_partitions,
                seed=self._seed(),
                n_jobs=self.n_jobs,
                device=self.device,
            )

    # Whether files said that there are keys, and nobody gave them.
    _lacks_keys = False

    def _check_keys_are_there(self) -> None:
        """Raise if the keys were left behind where the estimator was loaded."""
        if self._lacks_keys:
            raise ValueError(
                "The keys were not saved with this estimator, nor given when it was "
                "loaded: sk_amips.load(path, keys=...)."
            )

    def _check_partition_unchanged(self) -> None:
        """Raise if the parameters ask for other lists than those of ``partition_``."""
        if self.partition is not None:
            labels = as_partition(self.keys_, self.partition).labels_
            unchanged = np.array_equal(labels, self.partition_.labels_)
        else:
            n_partitions = self._n_partitions(self.keys_)
            unchanged = n_partitions == self.partition_.n_partitions
        if not unchanged:
            raise ValueError(
                f"the partition changed from {self.partition_}: fit anew with "
                "warm_start=False."
            )

    def _n_partitions(self, keys: np.ndarray) -> int:
        return n_lists(self.n_partitions, len(keys))

    def _top_k(self, X: np.ndarray, k: int, **kwargs):
        return top_k(
            self.keys_,
            X,
            k,
            max_norm=self.key_norms_.max,
            n_jobs=self.n_jobs,
            device=self._device(),
            **kwargs,
        )

    def _check_queries(self, X) -> np.ndarray:
        check_is_fitted(self)
        return self._checked(X, reset=False)

    @staticmethod
    def _directions(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Norms of queries, ``(n, 1)``, and their directions in their precision."""
        norms = row_norms(X)
        return norms, (X / np.where(norms > 0, norms, 1.0)).astype(X.dtype, copy=False)

    def _checked(self, X, *, reset: bool) -> np.ndarray:
        return validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)

    def _device(self) -> str | torch.device:
        """Where to compute."""
        return self.device

    def _random(self) -> np.random.RandomState:
        """What ``random_state`` stands for."""
        return check_random_state(self.random_state)

    def _seed(self) -> int:
        return int(self.random_state_.randint(np.iinfo(np.int32).max))

    def __sklearn_clone__(self):
        # Large parameters go into the clone as they are; the rest is copied as usual.
        shared = {name: getattr(self, name) for name in self._by_reference}
        bare = object.__new__(type(self))
        vars(bare).update(vars(self), **dict.fromkeys(shared))
        return BaseEstimator.__sklearn_clone__(bare).set_params(**shared)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags
