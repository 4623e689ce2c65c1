"""Rectifiers: maps from free parameters to non-negative weights, and back.

A weight that must stay non-negative is stored as a free parameter and rectified each
time it is used. ``inverse`` gives the free parameter of a wanted positive weight,
which is how an initialisation chosen for the weights reaches the parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["RECTIFIERS", "Rectifier"]


class Rectifier(NamedTuple):
    """A map onto the non-negative numbers with its inverse on the positive ones."""

    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]
    non_negative: bool = True


def _identity(x: Tensor) -> Tensor:
    return x


def _inverse_softplus(w: Tensor) -> Tensor:
    # log(e^w - 1), written so that neither a tiny nor a large w overflows.
    return w + torch.log(-torch.expm1(-w))


RECTIFIERS: dict[str | None, Rectifier] = {
    "softplus": Rectifier(F.softplus, _inverse_softplus),
    "exp": Rectifier(torch.exp, torch.log),
    "abs": Rectifier(torch.abs, _identity),
    "relu": Rectifier(torch.relu, _identity),
    None: Rectifier(_identity, _identity, non_negative=False),
}
