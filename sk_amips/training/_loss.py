"""The loss of a batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..losses import AmipsLoss
from ._precision import Precision

__all__ = ["BatchLoss", "Step"]

Predicted = tuple[Tensor | None, Tensor | None]


class Step(NamedTuple):
    """The loss of a batch, on its device: the terms that it has, and their sum."""

    names: tuple[str, ...]
    terms: Tensor
    loss: Tensor
    predicted: Predicted | None


class BatchLoss:
    """The terms of the loss of a batch.

    Parameters
    ----------
    module : nn.Module
        A network with ``scores`` and ``scores_and_keys``.
    criterion : AmipsLoss
    learns_keys : bool
        Whether there is a use for its keys.
    precision : Precision, optional
        Of the network; without it, that of its weights.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: AmipsLoss,
        learns_keys: bool,
        precision: Precision | None = None,
    ):
        self.module = module
        self.criterion = criterion
        self.learns_keys = learns_keys
        self.precision = precision

    def predict(self, x: dict[str, Tensor]) -> Predicted:
        """Scores and, if there is a use for them, keys of a batch."""
        if not self.learns_keys:
            return self.module.scores(x["x"]), None
        needs_scores = not self.criterion.consistency or self.criterion.routing_weight
        if "partitions" in x and not needs_scores:
            return None, self.module.heads(**x)
        return self.module.scores_and_keys(**x)

    def terms(
        self, predicted: Predicted, x: dict[str, Tensor], y: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Each term of the loss by its name."""
        scores, keys = predicted
        return self.criterion.terms(scores, keys=keys, queries=x["x"], **y)

    def __call__(self, x: dict[str, Tensor], y: dict[str, Tensor]) -> Step:
        if self.precision is None:
            predicted = self.predict(x)
        else:
            with self.precision.autocast():
                scores, keys = self.predict(x)
            # Differences of nearly equal numbers are not for half precision.
            predicted = (
                None if scores is None else scores.float(),
                None if keys is None else keys.float(),
            )
        terms = self.terms(predicted, x, y)
        values = torch.stack([term.detach() for term in terms.values()])
        return Step(tuple(terms), values, sum(terms.values()), predicted)
