"""What scorers for scikit-learn's searches share."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import MetadataRequest

from ._pipeline import last_step

__all__ = ["Scorer"]


class Scorer(BaseEstimator, ABC):
    """Callable ``scorer(estimator, X)`` whose parameters are those of an estimator.

    So it is shown, cloned, pickled and compared as one, and asks for weights as
    scikit-learn's scorers do.
    """

    @abstractmethod
    def _measure(self, estimator, X, sample_weight) -> float:
        """Score of a fitted estimator that ends no pipeline; larger is better."""

    def __call__(self, estimator, X, y=None, *, sample_weight=None) -> float:
        """Score of a fitted estimator, larger is better.

        Parameters
        ----------
        estimator : estimator
            It may end a pipeline, or be what a search for parameters has found best.
        X : array-like of shape (n_queries, n_features)
            Queries.
        y : Ignored
            The exact best keys are searched.
        sample_weight : array-like of shape (n_queries,), default=None
            Weights of the queries.

        Returns
        -------
        score : float
            Larger is better.

        Raises
        ------
        TypeError
            If the estimator searches no keys.
        """
        step, X = last_step(estimator, X)
        if not (hasattr(step, "_check_queries") and hasattr(step, "_exact")):
            raise TypeError(
                f"{type(self).__name__} needs a router or an index, or a fitted "
                f"pipeline or search that ends in one: got {type(step).__name__}."
            )
        return float(self._measure(step, X, sample_weight))

    def set_score_request(self, *, sample_weight: bool | str | None):
        """Say whether ``sample_weight`` is passed on to this scorer.

        Parameters
        ----------
        sample_weight : bool, str or None
            Whether it is passed on, under which other name, or None: an error is
            raised where it is given.

        Returns
        -------
        self : object
            The scorer.

        Raises
        ------
        RuntimeError
            If scikit-learn's metadata routing is not enabled.
        """
        if not get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "set_score_request needs metadata routing: "
                "sklearn.set_config(enable_metadata_routing=True). Without it, "
                "searches pass sample_weight to all scorers."
            )
        self._metadata_request = self._request(sample_weight)
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Get what this scorer asks for.

        Returns
        -------
        routing : MetadataRequest
            Whether ``sample_weight`` is wanted.
        """
        return getattr(self, "_metadata_request", None) or self._request(None)

    def _request(self, sample_weight) -> MetadataRequest:
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_weight", alias=sample_weight)
        return request

    def _accept_sample_weight(self) -> bool:
        # scikit-learn asks where metadata routing is not enabled.
        return True
