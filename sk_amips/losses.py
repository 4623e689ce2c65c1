r"""Losses for support values and best keys.

With ``f`` a SupportNet, ``g`` a KeyNet, :math:`\sigma(x)` the support value and
:math:`k^*(x)` the best key of a query ``x`` in :math:`R^d`:

* score regression, :math:`(f(x) - \sigma(x))^2`;
* gradient matching, :math:`\|\nabla f(x) - k^*(x)\|^2 / d`, which for a KeyNet is key
  regression, :math:`\|g(x) - k^*(x)\|^2 / d`;
* score consistency, :math:`(\langle g(x), x \rangle - \sigma(x))^2`, which vanishes at
  the truth by Euler's identity :math:`\langle \nabla \sigma(x), x \rangle = \sigma(x)`.

Each is a mean over rows and, where there are several, over partitions. The form is that
of Olausson, Monteiro, Klein and Cuturi, arXiv:2603.08001.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["AmipsLoss", "gradient_matching", "score_consistency", "score_regression"]


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


class AmipsLoss(nn.Module):
    """``score_weight`` x score loss + ``key_weight`` x key loss.

    The score loss is score regression for a SupportNet and score consistency for a
    KeyNet; the key loss is gradient matching. Both arise from the pair that
    ``scores_and_keys`` of either network returns.

    Parameters
    ----------
    score_weight, key_weight : float, default=1.0
        Weights of the two terms.
    scale : float, default=1.0
        Unit of scores and keys, such as the typical norm of a key: errors are divided
        by its square, so that the loss does not depend on the unit of the keys.
    """

    def __init__(
        self, score_weight: float = 1.0, key_weight: float = 1.0, scale: float = 1.0
    ):
        super().__init__()
        self.score_weight = score_weight
        self.key_weight = key_weight
        self.scale = scale

    def forward(
        self,
        scores: Tensor,
        score_targets: Tensor,
        keys: Tensor | None = None,
        key_targets: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Weighted sum of the two losses.

        Parameters
        ----------
        scores, score_targets : Tensor of shape (n, c)
        keys, key_targets : Tensor of shape (n, p, d), optional
            Without either the key loss is left out.
        weight : Tensor of shape (n,), optional

        Returns
        -------
        loss : Tensor of shape ()
        """
        # Ahead of the squares, which could overflow.
        scores, score_targets = scores / self.scale, score_targets / self.scale
        loss = self.score_weight * score_regression(scores, score_targets, weight)
        if keys is not None and key_targets is not None:
            keys, key_targets = keys / self.scale, key_targets / self.scale
            loss = loss + self.key_weight * gradient_matching(keys, key_targets, weight)
        return loss
