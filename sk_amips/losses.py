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
partitions has two things more: weights of the partitions, by which those that can win
count most, and the cross-entropy of the one that does.
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
    "top_weights",
]


def _weighted_mean(
    errors: Tensor, weight: Tensor | None, partition_weight: Tensor | None = None
) -> Tensor:
    """Mean over rows, of weight ``(n,)``, and partitions, of weight ``(n, c)``."""
    if partition_weight is not None:
        errors = partition_weight * errors
    errors = errors.mean(dim=1)
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
    scores: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    partition_weight: Tensor | None = None,
) -> Tensor:
    """Mean squared error of predicted support values.

    Parameters
    ----------
    scores, targets : Tensor of shape (n, c)
        Predicted and true support values, one a partition.
    weight : Tensor of shape (n,), optional
        Weight of each row; the mean is over rows, not over the weights' sum.
    partition_weight : Tensor of shape (n, c), optional
        Weight of each partition in a row, such as :func:`top_weights`.

    Returns
    -------
    loss : Tensor of shape ()
        Mean over rows and partitions.

    Examples
    --------
    >>> import torch
    >>> from sk_amips.losses import score_regression
    >>> scores, targets = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]])
    >>> score_regression(scores, targets)
    tensor(2.)
    >>> score_regression(scores, targets, partition_weight=torch.tensor([[1.0, 0.5]]))
    tensor(1.)
    """
    errors = _difference(scores, targets).square()
    return _weighted_mean(errors, weight, partition_weight)


def gradient_matching(
    keys: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    partition_weight: Tensor | None = None,
) -> Tensor:
    """Mean squared distance to the best keys, per coordinate.

    Parameters
    ----------
    keys, targets : Tensor of shape (n, p, d)
        Gradients of a SupportNet, or keys predicted by a KeyNet, and the best keys.
    weight : Tensor of shape (n,), optional
        Weight of each row.
    partition_weight : Tensor of shape (n, p), optional
        Weight of each partition in a row.

    Returns
    -------
    loss : Tensor of shape ()
        Mean over rows, partitions and coordinates.

    Examples
    --------
    It can be differentiated in the parameters of the network behind the gradients:

    >>> import torch
    >>> from sk_amips.losses import gradient_matching
    >>> from sk_amips.nn import SupportNet
    >>> net = SupportNet(2, [8], generator=torch.Generator().manual_seed(0))
    >>> _, keys = net.scores_and_keys(torch.tensor([[1.0, 0.0]]))
    >>> gradient_matching(keys, keys.detach())
    tensor(0., grad_fn=<MeanBackward0>)
    >>> gradient_matching(keys, keys.detach() + 0.5)
    tensor(0.2500, grad_fn=<MeanBackward0>)
    """
    errors = _difference(keys, targets).square().mean(dim=2)
    return _weighted_mean(errors, weight, partition_weight)


def score_consistency(
    keys: Tensor,
    queries: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    partition_weight: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the scores that predicted keys have with their queries.

    Parameters
    ----------
    keys : Tensor of shape (n, c, d)
        Predicted keys, one a partition.
    queries : Tensor of shape (n, d)
        Queries.
    targets : Tensor of shape (n, c)
        True support values.
    weight : Tensor of shape (n,), optional
        Weight of each row.
    partition_weight : Tensor of shape (n, c), optional
        Weight of each partition in a row.

    Returns
    -------
    loss : Tensor of shape ()
        Mean over rows and partitions.

    Examples
    --------
    Only the part of a key along its query matters:

    >>> import torch
    >>> from sk_amips.losses import score_consistency
    >>> queries, support = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0]])
    >>> score_consistency(torch.tensor([[[2.0, 7.0]]]), queries, support)
    tensor(0.)
    >>> score_consistency(torch.tensor([[[1.0, 7.0]]]), queries, support)
    tensor(1.)
    """
    scores = (keys @ queries.unsqueeze(-1)).squeeze(-1)
    return score_regression(scores, targets, weight, partition_weight)


def top_weights(
    targets: Tensor,
    temperature: float,
    threshold: Tensor | None = None,
    floor: float = 0.05,
) -> Tensor:
    r"""Weights by which partitions that can win count most.

    Partition ``j`` has weight :math:`\min(1, e^{(\sigma_j - \tau) / T}) + floor`.

    Parameters
    ----------
    targets : Tensor of shape (n, c)
        True support values, one a partition.
    temperature : float
        The ``T`` above, in units of the scores.
    threshold : Tensor of shape (n, 1), optional
        The :math:`\tau` above: the score of the k-th best key, where k keys are wanted.
        Without it, that of the best.
    floor : float, default=0.05
        Weight of a partition that cannot win.

    Returns
    -------
    weights : Tensor of shape (n, c)
        Between ``floor`` and ``1 + floor``.

    Examples
    --------
    The best partition counts most, one that is far behind next to nothing:

    >>> import torch
    >>> from sk_amips.losses import top_weights
    >>> top_weights(torch.tensor([[0.9, 0.8, 0.1]]), temperature=0.1)
    tensor([[1.0500, 0.4179, 0.0503]])
    """
    if threshold is None:
        threshold = targets.amax(dim=1, keepdim=True)
    gap = (targets - threshold) / temperature
    return torch.exp(gap.clamp(max=0.0)) + floor


def routing_cross_entropy(
    scores: Tensor,
    winner: Tensor,
    temperature: float = 0.02,
    weight: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of the softmax of predicted scores with the partition that wins.

    Parameters
    ----------
    scores : Tensor of shape (n, c)
        Predicted scores, one a partition.
    winner : Tensor of shape (n,), dtype int64
        Partition of the best key.
    temperature : float, default=0.02
        Divides the scores ahead of the softmax, in units of the scores.
    weight : Tensor of shape (n,), optional
        Weight of each row.

    Returns
    -------
    loss : Tensor of shape ()
        Mean over rows.

    Examples
    --------
    Scores that tell nothing of four partitions cost log 4, the right ones little:

    >>> import torch
    >>> from sk_amips.losses import routing_cross_entropy
    >>> winner = torch.tensor([2])
    >>> routing_cross_entropy(torch.zeros(1, 4), winner)
    tensor(1.3863)
    >>> routing_cross_entropy(torch.tensor([[0.0, 0.0, 0.1, 0.0]]), winner)
    tensor(0.0200)
    """
    errors = F.cross_entropy(scores / temperature, winner, reduction="none")
    return (errors if weight is None else weight * errors).mean()


class AmipsLoss(nn.Module):
    """Weighted sum of a score loss, a key loss and a routing loss.

    Parameters
    ----------
    score_weight, key_weight : float, default=1.0
        Weights of score loss and key loss; the key loss is gradient matching.
    routing_weight : float, default=0.0
        Weight of the routing cross-entropy.
    consistency : bool, default=False
        Whether the score loss is score consistency, of predicted keys as a KeyNet's,
        and not score regression, of predicted scores as a SupportNet's.
    scale : float, default=1.0
        Unit of scores and keys, such as the typical norm of a key: they are divided by
        it, so that the loss does not depend on the unit of the keys.

    Examples
    --------
    At the truth all terms vanish:

    >>> import torch
    >>> from sk_amips.losses import AmipsLoss
    >>> queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> keys = torch.tensor([[[2.0, 0.5]], [[0.5, 3.0]]])
    >>> support = torch.tensor([[2.0], [3.0]])
    >>> loss = AmipsLoss(key_weight=10.0, consistency=True)
    >>> loss(None, support, keys, keys, queries=queries)
    tensor(0.)
    >>> loss.terms(None, support, keys + 0.5, keys, queries=queries)
    {'score': tensor(0.2500), 'key': tensor(2.5000)}
    """

    def __init__(
        self,
        score_weight: float = 1.0,
        key_weight: float = 1.0,
        *,
        routing_weight: float = 0.0,
        consistency: bool = False,
        scale: float = 1.0,
    ):
        super().__init__()
        self.score_weight = score_weight
        self.key_weight = key_weight
        self.routing_weight = routing_weight
        self.consistency = consistency
        self.scale = scale

    def terms(
        self,
        scores: Tensor | None,
        score_targets: Tensor,
        keys: Tensor | None = None,
        key_targets: Tensor | None = None,
        weight: Tensor | None = None,
        *,
        queries: Tensor | None = None,
        winner: Tensor | None = None,
        score_partition_weight: Tensor | None = None,
        key_partition_weight: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Each term of the loss by its name, times its weight.

        Parameters
        ----------
        scores : Tensor of shape (n, c) or None
            Predicted scores; None does for the consistency of keys.
        score_targets : Tensor of shape (n, c), or (n, p) for consistency
            Support values.
        keys, key_targets : Tensor of shape (n, p, d), optional
            Predicted and best keys. Without either the key loss is left out.
        weight : Tensor of shape (n,), optional
            Weight of each row.
        queries : Tensor of shape (n, d), optional
            Needed for consistency alone.
        winner : Tensor of shape (n,), dtype int64, optional
            Partition of the best key; without it the routing loss is left out.
        score_partition_weight, key_partition_weight : Tensor, optional
            Weights of the partitions, of the shapes of score targets and (n, p).

        Returns
        -------
        terms : dict of str to Tensor of shape ()
            Of ``score``, ``key`` and ``routing`` those that are in use.
        """
        terms = {}
        # Ahead of the squares, which could overflow.
        score_targets = score_targets / self.scale
        if scores is not None:
            scores = scores / self.scale
        if keys is not None:
            keys = keys / self.scale
        if self.consistency and keys is not None:
            error = score_consistency(
                keys, queries, score_targets, weight, score_partition_weight
            )
        else:
            error = score_regression(
                scores, score_targets, weight, score_partition_weight
            )
        terms["score"] = self.score_weight * error
        if keys is not None and key_targets is not None:
            error = gradient_matching(
                keys, key_targets / self.scale, weight, key_partition_weight
            )
            terms["key"] = self.key_weight * error
        if winner is not None and self.routing_weight > 0:
            error = routing_cross_entropy(scores, winner, weight=weight)
            terms["routing"] = self.routing_weight * error
        return terms

    def forward(self, *args, **kwargs) -> Tensor:
        """Sum of :meth:`terms`."""
        return sum(self.terms(*args, **kwargs).values())
