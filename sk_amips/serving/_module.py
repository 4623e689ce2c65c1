"""What an estimator says of queries, as one torch module."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from ..nn import split_direction

__all__ = ["WHAT", "QueryModule", "query_module"]

WHAT = ("predict", "transform", "partitions")


class QueryModule(nn.Module):
    """From queries of any norm to scores or keys, in float32.

    Parameters
    ----------
    lists : nn.Module
        With ``scores(u)`` and, for keys, ``scores_and_keys(u, "best")`` of directions.
    what : {"score", "key", "lists"}
        The best score, the best key, or the scores of all lists.

    Examples
    --------
    >>> import torch
    >>> from sk_amips.nn import RadialSupportNet, SupportNet
    >>> from sk_amips.serving import QueryModule
    >>> net = RadialSupportNet(SupportNet(4, [8], out_features=3))
    >>> served, x = QueryModule(net, "score"), torch.randn(5, 4)
    >>> torch.allclose(served(2 * x), 2 * served(x))
    True
    """

    def __init__(self, lists: nn.Module, what: str):
        super().__init__()
        self.lists = lists
        self.what = what
        # What multiplies the scores of a query without direction.
        self.norm_of_zero = float(isinstance(lists, _Affine))

    def forward(self, queries: Tensor) -> Tensor:
        """Scores ``(n,)``, keys ``(n, d)`` or scores of lists ``(n, c)``."""
        norm, u = split_direction(queries)
        norm = torch.where(norm > 0, norm, self.norm_of_zero)
        if self.what == "key":
            return self.lists.scores_and_keys(u, "best")[1].squeeze(1)
        scores = norm * self.lists.scores(u)
        return scores if self.what == "lists" else scores.amax(dim=1)


class _Affine(nn.Module):
    """Scores that are linear in the query, in one step or two, and constants."""

    def __init__(self, factors, intercept, spread: nn.Module | None = None):
        super().__init__()
        for i, factor in enumerate(factors):
            self.register_buffer(f"factor_{i}", _float32(factor))
        self.n_factors = len(factors)
        self.register_buffer("intercept", _float32(intercept))
        self.spread = spread

    def scores(self, u: Tensor) -> Tensor:
        """Scores of all lists, ``(n, d) -> (n, c)``."""
        scores = u
        for i in reversed(range(self.n_factors)):
            scores = scores @ getattr(self, f"factor_{i}").T
        scores = scores + self.intercept
        return scores if self.spread is None else scores + self.spread.scores(u)


def query_module(router, what: str) -> QueryModule:
    """The module of a fitted router, on the CPU and with weights of its own.

    Parameters
    ----------
    router : BaseRouter
        Fitted.
    what : {"predict", "transform", "partitions"}
        Which of its methods to be; "partitions" stands for ``predict_partitions``.

    Returns
    -------
    module : QueryModule
        In evaluation mode.

    Raises
    ------
    ValueError
        If the router has no such method.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sk_amips import LinearRouter
    >>> from sk_amips.serving import query_module
    >>> rng = np.random.default_rng(0)
    >>> keys, queries = rng.normal(size=(300, 8)), rng.normal(size=(50, 8))
    >>> router = LinearRouter(keys, n_partitions=10).fit(queries)
    >>> scores = query_module(router, "partitions")(torch.from_numpy(queries).float())
    >>> np.allclose(scores, router.predict_partitions(queries), atol=1e-5)
    True
    """
    if what not in WHAT:
        raise ValueError(f"what must be one of {WHAT}, got {what!r}.")
    if what == "transform" and not hasattr(router, "transform"):
        raise ValueError(f"{type(router).__name__} maps no queries: it has no network.")
    kind = {"predict": "score", "transform": "key", "partitions": "lists"}[what]
    if what == "predict" and getattr(router, "_predicts_keys", False):
        kind = "key"
    return QueryModule(_lists(router), kind).eval()


def _lists(router) -> nn.Module:
    if hasattr(router, "net_"):
        return deepcopy(router.net_.module_).cpu().requires_grad_(False)
    centroids = router.partition_.centroids_
    if hasattr(router, "coef_"):
        factors = getattr(router, "factors_", (router.coef_,))
        return _Affine(factors, router.intercept_)
    spread = getattr(router, "ellipsoids_", None)
    spread = None if spread is None else deepcopy(spread).float()
    return _Affine((centroids,), torch.zeros(len(centroids)), spread)


def _float32(array) -> Tensor:
    return torch.as_tensor(array).to(torch.float32).clone()
