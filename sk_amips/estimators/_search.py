"""Prediction with a fitted network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.base import OneToOneFeatureMixin, RegressorMixin, TransformerMixin

from .._validation import squared_norms
from ..exact._rescore import rescore, sort_by_score
from ..exact._search import check_k
from ..nn import unit_rows
from ..routing._base import BaseRouter
from ._shared_fit import SharedFit


class NetRouter(OneToOneFeatureMixin, TransformerMixin, RegressorMixin, SharedFit):
    """Router whose scores, and mapped queries, are those of a network in ``net_``."""

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
            several partitions, that of the one with the largest predicted score. Of
            ``n_summed_`` > 1 keys, the sum.
        """
        return self._predicted_keys(self._check_queries(X))

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
        return BaseRouter.score(self, X, y, sample_weight)

    def _answer(self, X: np.ndarray, k: int):
        """Keys found for checked queries with the least work, as of :meth:`search`.

        With several partitions they come from the first partition alone. With one
        partition they are the keys nearest to the predicted key in Euclidean distance.
        """
        if self.partition_.n_partitions > 1:
            return self._search(X, k, n_probe=1)
        scores, indices = sort_by_score(*self._nearest(X, k), k)
        return scores.astype(X.dtype), indices

    def _nearest(self, X: np.ndarray, k: int):
        """True scores, and rows, of the keys nearest to the predicted one, in order."""
        check_k(k, len(self.keys_))
        # Nearest is largest <y, key> - ||key||^2 / 2; in units of the largest key's
        # norm, so that no square leaves float32's range.
        unit = self.key_norms_.max
        offset = -0.5 * squared_norms(self.keys_) / unit
        predicted = self._predicted_keys(X) / (unit * self.n_summed_)
        _, indices = self._top_k(predicted, k, offset=offset)
        return rescore(self.keys_, X, indices), indices

    _changed_by_fitting = ("random_state_", "net_")

    def _list_scores(self, X: np.ndarray) -> np.ndarray:
        norms, scores = self._evaluate(X, _scores)
        return norms * scores

    def _predicted_keys(self, X: np.ndarray) -> np.ndarray:
        def predict(X):
            return self._evaluate(X, _best_predicted_key)[1]

        return self._in_blocks(X, predict).astype(X.dtype)

    def _evaluate(
        self, X: np.ndarray, function: Callable
    ) -> tuple[np.ndarray, np.ndarray]:
        """Norms of the queries, and ``function(module, directions)``."""
        norms, unit = unit_rows(X)
        x = torch.from_numpy(unit).to(self.net_.device)
        with torch.no_grad():
            return norms, function(self.net_.module_.eval(), x).cpu().numpy()


def _scores(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return module.scores(x)


def _best_predicted_key(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return module.scores_and_keys(x, "best")[1].squeeze(1)
