"""Prediction and search with a fitted network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_scalar

from .._validation import row_blocks, squared_norms
from ..exact import probe_search
from ..exact._rescore import rescore, sort_by_score
from ..exact._search import check_k, top_k
from ..metrics import match_rate
from ..nn import unit_rows

# Floats of a block of network outputs.
_BLOCK_SIZE = 2**24


class SearchMixin(OneToOneFeatureMixin, TransformerMixin):
    """Search and scoring of an estimator that has ``net_`` and ``keys_``."""

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
        norms, scores = self._evaluate(X, _scores)
        return (norms * scores).astype(X.dtype)

    def transform(self, X) -> np.ndarray:
        """Map queries to the best keys that the network predicts for them.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        mapped : ndarray of shape (n_queries, n_features)
            Predicted key: of a SupportNet the gradient, of a KeyNet the output; with
            several partitions, that of the one with the largest predicted score.
        """
        return self._predicted_keys(self._check_queries(X))

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
        check_k(n_neighbors, len(self.keys_), "n_neighbors")
        scores, indices = self._search(X, n_neighbors, n_probe)
        return (-scores, indices) if return_distance else indices

    def score(self, X, y=None, sample_weight=None) -> float:
        """Match rate: share of queries whose exact best key the network finds.

        The network answers with the least work. With several partitions that is the
        best key of the one it ranks first, ``search(X, n_probe=1)``; with one
        partition, the key nearest to the predicted key ``transform(X)`` in Euclidean
        distance. Ties with the best key are matches.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        y : Ignored
            The exact best keys are searched.
        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries.

        Returns
        -------
        score : float
            Between 0 and 1.
        """
        exact, _ = self.search(X)
        found, _ = self._answer(X, 1)
        return match_rate(exact, found, sample_weight=sample_weight)

    def _search(self, X: np.ndarray, k: int, n_probe: int | None):
        """:meth:`search` of checked queries."""
        check_k(k, len(self.keys_))
        n_partitions = self.partition_.n_partitions
        if n_probe is not None:
            check_scalar(n_probe, "n_probe", (int, np.integer), min_val=1)
        if n_probe is None or n_probe >= n_partitions:
            return self._top_k(X, k)
        found = []
        for rows in row_blocks(len(X), max(1, _BLOCK_SIZE // n_partitions)):
            predicted = self._evaluate(X[rows], _scores)[1]
            probes = np.argpartition(-predicted, n_probe - 1, axis=1)[:, :n_probe]
            found.append(probe_search(self.keys_, X[rows], self.partition_, probes, k))
        scores, indices = zip(*found, strict=True)
        return np.concatenate(scores), np.concatenate(indices)

    def _answer(self, X, k: int):
        """Keys that the network finds with the least work, as of :meth:`search`.

        With several partitions they come from the first partition alone. With one
        partition they are the keys nearest to the predicted key in Euclidean distance.
        """
        X = self._check_queries(X)
        if self.partition_.n_partitions > 1:
            return self._search(X, k, n_probe=1)
        check_k(k, len(self.keys_))
        # Nearest is largest <y, key> - ||key||^2 / 2; in units of the largest key's
        # norm, so that no square leaves float32's range.
        unit = self.key_norms_.max
        offset = -0.5 * squared_norms(self.keys_) / unit
        _, indices = self._top_k(self._predicted_keys(X) / unit, k, offset=offset)
        scores, indices = sort_by_score(rescore(self.keys_, X, indices), indices, k)
        return scores.astype(X.dtype), indices

    def _predicted_keys(self, X: np.ndarray) -> np.ndarray:
        return self._evaluate(X, _best_predicted_key)[1].astype(X.dtype)

    def _check_queries(self, X) -> np.ndarray:
        check_is_fitted(self)
        return self._checked(X, reset=False)

    def _top_k(self, X: np.ndarray, k: int, **kwargs):
        return top_k(
            self.keys_,
            X,
            k,
            max_norm=self.key_norms_.max,
            n_jobs=self.n_jobs,
            device=self.device,
            **kwargs,
        )

    def _evaluate(
        self, X: np.ndarray, function: Callable
    ) -> tuple[np.ndarray, np.ndarray]:
        """Norms of the queries and ``function(module, directions)``, in blocks."""
        module = self.net_.module_.eval()
        device = self.net_.device
        widest = max(self.n_features_in_, *self.net_.module__hidden_sizes)
        step = max(1, _BLOCK_SIZE // (self.partition_.n_partitions * widest))
        norms, outputs = [], []
        with torch.no_grad():
            for rows in row_blocks(len(X), step):
                norm, unit = unit_rows(X[rows])
                output = function(module, torch.from_numpy(unit).to(device))
                norms.append(norm)
                outputs.append(output.cpu().numpy())
        return np.concatenate(norms), np.concatenate(outputs)


def _scores(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return module.scores(x)


def _best_predicted_key(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return module.scores_and_keys(x, "best")[1].squeeze(1)
