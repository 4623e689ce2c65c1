"""Homogenization: a network that sees only the direction of its input.

A support function is positively 1-homogeneous and its gradient is 0-homogeneous. A
bias-free :class:`SupportNet` with a homogeneous activation has that by construction
(*exact* homogenization); the wrappers here give it to any other network.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from .._tensors import as_tensor
from ._key_net import KeyNet
from ._support_net import SupportNet

__all__ = ["DirectionalKeyNet", "RadialSupportNet", "split_direction", "unit_rows"]


def split_direction(x: Tensor) -> tuple[Tensor, Tensor]:
    """Norms ``(n, 1)`` and unit vectors ``(n, d)``; a zero vector stays zero."""
    # Dividing by the largest coordinate first keeps the squares from overflowing.
    largest = x.abs().amax(dim=1, keepdim=True)
    x = x / torch.where(largest > 0, largest, torch.ones_like(largest))
    norm = x.norm(dim=1, keepdim=True)
    return largest * norm, x / torch.where(norm > 0, norm, torch.ones_like(norm))


def unit_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """:func:`split_direction` of a matrix: float64 norms, float32 unit vectors."""
    if x.dtype != np.float32:
        norm, unit = split_direction(torch.from_numpy(np.array(x, dtype=np.float64)))
    else:
        # Squares of float32 stay in float64's range.
        rows = as_tensor(x).double()
        norm = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        unit = rows.div_(torch.where(norm > 0, norm, 1.0))
    return norm.numpy(), unit.to(torch.float32).numpy()


class RadialSupportNet(nn.Module):
    r"""Radial homogenization :math:`f(x) = \|x\| \, h(x / \|x\|)` of a SupportNet.

    It is exactly 1-homogeneous and agrees with ``h`` on the unit sphere. With
    :math:`u = x / \|x\|` its gradient is :math:`h(u) u + (I - u u^\top) \nabla h(u)`.
    Convexity of ``h`` is not kept in general.

    Parameters
    ----------
    net : SupportNet
        The network ``h``.
    """

    is_convex = False
    is_homogeneous = True

    def __init__(self, net: SupportNet):
        super().__init__()
        self.net = net

    def set_linear(self, weight: Tensor) -> None:
        """See :meth:`SupportNet.set_linear`."""
        self.net.set_linear(weight)

    def forward(self, x: Tensor) -> Tensor:
        """Support values, ``(n, d) -> (n, c)``."""
        norm, u = split_direction(x)
        return norm * self.net(u)

    def scores(self, x: Tensor) -> Tensor:
        """Support values, ``(n, d) -> (n, c)``."""
        return self(x)

    def scores_and_keys(
        self, x: Tensor, partitions: Tensor | Literal["best"] | None = None
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`SupportNet.scores_and_keys`."""
        norm, u = split_direction(x)
        values, gradients = self.net.scores_and_keys(u, partitions)
        if isinstance(partitions, str):
            chosen = values.amax(dim=1, keepdim=True)
        else:
            chosen = values if partitions is None else values.gather(1, partitions)
        radial = chosen - (gradients @ u.unsqueeze(-1)).squeeze(-1)
        return norm * values, gradients + radial.unsqueeze(-1) * u.unsqueeze(1)


class DirectionalKeyNet(nn.Module):
    r"""A KeyNet made 0-homogeneous by reading :math:`x / \|x\|`.

    Parameters
    ----------
    net : KeyNet
        The network that reads unit vectors.
    """

    def __init__(self, net: KeyNet):
        super().__init__()
        self.net = net

    def set_constant(self, keys: Tensor) -> None:
        """See :meth:`KeyNet.set_constant`."""
        self.net.set_constant(keys)

    def forward(self, x: Tensor) -> Tensor:
        """Predicted best keys, ``(n, d) -> (n, c, d)``."""
        return self.net(split_direction(x)[1])

    def heads(self, x: Tensor, partitions: Tensor) -> Tensor:
        """See :meth:`KeyNet.heads`."""
        return self.net.heads(split_direction(x)[1], partitions)

    def scores(self, x: Tensor) -> Tensor:
        """Scores of the predicted keys, ``(n, d) -> (n, c)``."""
        return self.scores_and_keys(x)[0]

    def scores_and_keys(
        self, x: Tensor, partitions: Tensor | Literal["best"] | None = None
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`KeyNet.scores_and_keys`."""
        norm, u = split_direction(x)
        scores, keys = self.net.scores_and_keys(u, partitions)
        return norm * scores, keys
