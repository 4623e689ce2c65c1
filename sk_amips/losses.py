r"""Losses for support values and best keys.

With ``f`` a SupportNet, ``g`` a KeyNet, :math:`\sigma(x)` the support value and
:math:`k^*(x)` the best key of a query ``x`` in :math:`R^d`:

* score regression, :math:`(f(x) - \sigma(x))^2`;
* gradient matching, :math:`\|\nabla f(x) - k^*(x)\|^2 / d`, which for a KeyNet is key
  regression, :math:`\|g(x) - k^*(x)\|^2 / d`;
* score consistency, :math:`(\langle g(x), x \rangle - \sigma(x))^2`, which vanishes at
  the truth by Euler's identity :math:`\langle \nabla \sigma(x), x \rangle = \sigma(x)`.

Each is a mean over rows and, where there are several, over partitions. The form is that
of Olausson, Monteiro, Klein and Cuturi, arXiv:2603.08001. A router of several
partitions has two more: score regression that weighs the partitions which can win, and
the cross-entropy of the one that does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "AmipsLoss",
    "gradient_matching",
    "routing_cross_entropy",
    "score_consistency",
    "score_regression",
    "top_weighted_score_regression",
]


def _weighted_mean(errors: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over rows, of weight ``(n,)``, of the mean over the other axes."""
    errors = errors.flatten(1).mean(dim=1)
    return (errors if weight is None else weight * errors).mean()


def _difference(predicted: Tensor, targets: Tensor) -> Tensor:
    # Broadcasting (n, 1) against (n,) would compare every query with every other.
    if predicted.shape != targets.shape:
        raise ValueError(
            "predictions and targets must have one shape, got "
            f"{tuple(predicted.shape)} and {tuple(targets.shape)}."
        )
    return predicted - targets


def score_regression(
    scores: Tensor, targets: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Mean squared error of predicted support values.

    Parameters
    ----------
    scores, targets : Tensor of shape (n, c)
        Predicted and true support values, one a partition.
    weight : Tensor of shape (n,), optional
        Weight of each row; the mean is over rows, not over the weights' sum.

    Returns
    -------
    loss : Tensor of shape ()
    """
    return _weighted_mean(_difference(scores, targets).square(), weight)


def gradient_matching(
    keys: Tensor, targets: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Mean squared distance to the best keys, per coordinate.

    Parameters
    ----------
    keys, targets : Tensor of shape (n, p, d)
        Gradients of a SupportNet, or keys predicted by a KeyNet, and the best keys.
    weight : Tensor of shape (n,), optional
        Weight of each row.

    Returns
    -------
    loss : Tensor of shape ()
    """
    return _weighted_mean(_difference(keys, targets).square(), weight)


def score_consistency(
    keys: Tensor, queries: Tensor, targets: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Mean squared error of the scores that predicted keys have with their queries.

    Parameters
    ----------
    keys : Tensor of shape (n, c, d)
        Predicted keys, one a partition.
    queries : Tensor of shape (n, d)
    targets : Tensor of shape (n, c)
        True support values.
    weight : Tensor of shape (n,), optional
        Weight of each row.

    Returns
    -------
    loss : Tensor of shape ()
    """
    return score_regression((keys @ queries.unsqueeze(-1)).squeeze(-1), targets, weight)


def top_weighted_score_regression(
    scores: Tensor,
    targets: Tensor,
    temperature: float,
    weight: Tensor | None = None,
    floor: float = 0.05,
) -> Tensor:
    r"""Score regression in which partitions that can win count most.

    The squared error of partition ``j`` has weight :math:`e^{(\sigma_j - \sigma) / T} +
    floor`, where :math:`\sigma` is the largest of the :math:`\sigma_j`.

    Parameters
    ----------
    scores, targets : Tensor of shape (n, c)
        Predicted and true support values, one a partition.
    temperature : float
        The ``T`` above, in units of the scores.
    weight : Tensor of shape (n,), optional
        Weight of each row.
    floor : float, default=0.05
        Weight of a partition that cannot win.

    Returns
    -------
    loss : Tensor of shape ()
    """
    gap = targets - targets.amax(dim=1, keepdim=True)
    errors = _difference(scores, targets).square()
    return _weighted_mean((torch.exp(gap / temperature) + floor) * errors, weight)


def routing_cross_entropy(
    scores: Tensor,
    targets: Tensor,
    temperature: float = 0.02,
    weight: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of the softmax of predicted scores with the partition that wins.

    Parameters
    ----------
    scores, targets : Tensor of shape (n, c)
        Predicted and true support values, one a partition.
    temperature : float, default=0.02
        Divides the scores ahead of the softmax, in units of the scores.
    weight : Tensor of shape (n,), optional
        Weight of each row.

    Returns
    -------
    loss : Tensor of shape ()
    """
    errors = F.cross_entropy(
        scores / temperature, targets.argmax(dim=1), reduction="none"
    )
    return (errors if weight is None else weight * errors).mean()


class AmipsLoss(nn.Module):
    """Weighted sum of a score loss, a key loss and a routing loss.

    The score loss is score regression for a SupportNet and score consistency for a
    KeyNet; the key loss is gradient matching. Both arise from the pair that
    ``scores_and_keys`` of either network returns. With several partitions there is
    also the routing cross-entropy.

    Parameters
    ----------
    score_weight, key_weight : float, default=1.0
        Weights of score loss and key loss.
    routing_weight : float, default=0.0
        Weight of the routing cross-entropy.
    score_temperature : float or None, default=None
        Temperature of :func:`top_weighted_score_regression`; None: all partitions
        count alike.
    scale : float, default=1.0
        Unit of scores and keys, such as the typical norm of a key: they are divided by
        it, so that the loss does not depend on the unit of the keys.
    """

    def __init__(
        self,
        score_weight: float = 1.0,
        key_weight: float = 1.0,
        *,
        routing_weight: float = 0.0,
        score_temperature: float | None = None,
        scale: float = 1.0,
    ):
        super().__init__()
        self.score_weight = score_weight
        self.key_weight = key_weight
        self.routing_weight = routing_weight
        self.score_temperature = score_temperature
        self.scale = scale

    def terms(
        self,
        scores: Tensor,
        score_targets: Tensor,
        keys: Tensor | None = None,
        key_targets: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Each term of the loss by its name, times its weight.

        Parameters
        ----------
        scores, score_targets : Tensor of shape (n, c)
        keys, key_targets : Tensor of shape (n, p, d), optional
            Without either the key loss is left out.
        weight : Tensor of shape (n,), optional

        Returns
        -------
        terms : dict of str to Tensor of shape ()
            Of ``score``, ``key`` and ``routing`` those that are in use.
        """
        terms = {}
        # Ahead of the squares, which could overflow.
        scores, score_targets = scores / self.scale, score_targets / self.scale
        several = scores.shape[1] > 1
        if several and self.score_temperature is not None:
            error = top_weighted_score_regression(
                scores, score_targets, self.score_temperature, weight
            )
        else:
            error = score_regression(scores, score_targets, weight)
        terms["score"] = self.score_weight * error
        if keys is not None and key_targets is not None:
            keys, key_targets = keys / self.scale, key_targets / self.scale
            terms["key"] = self.key_weight * gradient_matching(
                keys, key_targets, weight
            )
        if several and self.routing_weight > 0:
            terms["routing"] = self.routing_weight * routing_cross_entropy(
                scores, score_targets, weight=weight
            )
        return terms

    def forward(self, *args, **kwargs) -> Tensor:
        """Sum of :meth:`terms`."""
        return sum(self.terms(*args, **kwargs).values())
