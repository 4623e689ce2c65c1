"""Support functions of ellipsoids."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ._homogenize import split_direction
from ._taken import taken

__all__ = ["Ellipsoids"]


class Ellipsoids(nn.Module):
    r"""Support functions :math:`\sqrt{\|A_j x\|^2 + r_j^2 \|x\|^2}` of ellipsoids.

    They are convex and 1-homogeneous, and their gradients are points of the ellipsoids,
    which are centred at the origin. Nothing in them is trained.

    Parameters
    ----------
    factors : Tensor of shape (c, r, d)
        The :math:`A_j`: rows are the axes, of the lengths of the semi-axes.
    radii : Tensor of shape (c,)
        The :math:`r_j`, which round the ellipsoids off in all other directions.
    scale : float, default=1.0
        Constant factor, the unit of axes and radii.

    Examples
    --------
    >>> import torch
    >>> from sk_amips.nn import Ellipsoids
    >>> disc = Ellipsoids(torch.zeros(1, 1, 2), torch.tensor([3.0]))
    >>> disc.scores(torch.tensor([[0.0, 2.0]]))
    tensor([[6.]])
    """

    is_convex = True
    is_homogeneous = True

    def __init__(self, factors: Tensor, radii: Tensor, *, scale: float = 1.0):
        super().__init__()
        self.register_buffer("factors", factors)
        self.register_buffer("radii", radii)
        self.register_buffer("scale", torch.tensor(scale, dtype=factors.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Support values, ``(n, d) -> (n, c)``."""
        norm, u = split_direction(x)
        return self.scale * norm * self._values(u, self._along_axes(u))

    def scores(self, x: Tensor) -> Tensor:
        """Support values, ``(n, d) -> (n, c)``."""
        return self(x)

    def scores_and_keys(
        self, x: Tensor, partitions: Tensor | Literal["best"] | None = None
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`SupportNet.scores_and_keys`."""
        norm, u = split_direction(x)
        along = self._along_axes(u)
        scores = values = self._values(u, along)
        radii, factors = self.radii.expand_as(scores), self.factors
        if len(factors) == 1:
            # All is the one there is, and needs no axes for each query.
            partitions = None
        if isinstance(partitions, str):
            partitions = scores.argmax(dim=1, keepdim=True)
        if partitions is None:
            points = torch.einsum("ncr,crd->ncd", along, factors)
        else:
            values, radii = values.gather(1, partitions), radii.gather(1, partitions)
            along = taken(along, partitions)
            points = torch.einsum("npr,nprd->npd", along, factors[partitions])
        points = points + radii.square().unsqueeze(-1) * u.unsqueeze(1)
        # Where the value is zero so is the numerator.
        values = torch.where(values > 0, values, torch.ones_like(values))
        return self.scale * norm * scores, self.scale * points / values.unsqueeze(-1)

    def _along_axes(self, x: Tensor) -> Tensor:
        """Products with the axes, ``(n, d) -> (n, c, r)``."""
        return (x @ self.factors.flatten(0, 1).T).unflatten(1, self.factors.shape[:2])

    def _values(self, x: Tensor, along: Tensor) -> Tensor:
        rest = self.radii.square() * x.square().sum(dim=1, keepdim=True)
        return (along.square().sum(dim=2) + rest).sqrt()
