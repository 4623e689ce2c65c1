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
    """Norms and directions of vectors; a zero vector stays zero.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Vectors of any norm; no square of theirs overflows.

    Returns
    -------
    norm : Tensor of shape (n, 1)
        Euclidean norms.
    unit : Tensor of shape (n, d)
        Vectors of norm one, or zero.

    Examples
    --------
    >>> import torch
    >>> from sk_amips.nn import split_direction
    >>> norm, unit = split_direction(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    >>> norm
    tensor([[5.],
            [0.]])
    >>> unit
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    # Dividing by the largest coordinate first keeps the squares from overflowing.
    largest = x.abs().amax(dim=1, keepdim=True)
    x = x / torch.where(largest > 0, largest, torch.ones_like(largest))
    norm = x.norm(dim=1, keepdim=True)
    return largest * norm, x / torch.where(norm > 0, norm, torch.ones_like(norm))


def unit_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Norms in float64 and directions in float32 of the rows of a matrix.

    Parameters
    ----------
    x : ndarray of shape (n, d)
        Rows of any norm, not modified.

    Returns
    -------
    norm : ndarray of shape (n, 1), dtype float64
        Euclidean norms.
    unit : ndarray of shape (n, d), dtype float32
        Rows of norm one; a zero row stays zero.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.nn import unit_rows
    >>> norm, unit = unit_rows(np.array([[3e200, 4e200]]))
    >>> norm
    array([[5.e+200]])
    >>> unit
    array([[0.6, 0.8]], dtype=float32)
    """
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

    Examples
    --------
    >>> import torch
    >>> from sk_amips.nn import RadialSupportNet, SupportNet
    >>> h = SupportNet(2, [8], generator=torch.Generator().manual_seed(0))
    >>> f, u = RadialSupportNet(h), torch.tensor([[0.6, 0.8]])
    >>> torch.allclose(f(u), h(u)), torch.allclose(f(3 * u), 3 * f(u))
    (True, True)
    >>> scores, keys = f.scores_and_keys(3 * u)
    >>> torch.allclose((keys @ (3 * u).T).squeeze(2), scores)  # Euler's identity
    True
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

    Examples
    --------
    A longer query has the same best key, with a larger score:

    >>> import torch
    >>> from sk_amips.nn import DirectionalKeyNet, KeyNet
    >>> g = KeyNet(2, [8], generator=torch.Generator().manual_seed(0))
    >>> net, x = DirectionalKeyNet(g), torch.tensor([[0.6, 0.8]])
    >>> torch.allclose(net(3 * x), net(x))
    True
    >>> torch.allclose(net.scores(3 * x), 3 * net.scores(x))
    True
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
