"""Networks put on top of what the keys already say about their lists."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ._ellipsoids import Ellipsoids
from ._homogenize import DirectionalKeyNet, RadialSupportNet
from ._support_net import SupportNet

__all__ = ["CentroidKeyNet", "ResidualSupportNet"]


class ResidualSupportNet(nn.Module):
    """Sum of a SupportNet and the support functions of fixed ellipsoids.

    A sum of convex functions is convex, and one of 1-homogeneous functions is
    1-homogeneous: the sum is what the network is.

    Parameters
    ----------
    net : SupportNet or RadialSupportNet
        What is trained.
    base : Ellipsoids
        One ellipsoid a partition.

    Examples
    --------
    The network corrects what is known of the list: here, a ball of radius 3.

    >>> import torch
    >>> from sk_amips.nn import Ellipsoids, ResidualSupportNet, SupportNet
    >>> ball = Ellipsoids(torch.zeros(1, 1, 2), torch.tensor([3.0]))
    >>> net = SupportNet(2, [8], activation="relu", bias=False)
    >>> both, x = ResidualSupportNet(net, ball), torch.tensor([[0.0, 2.0]])
    >>> torch.equal(both(x), net(x) + 6)
    True
    >>> both.is_convex, both.is_homogeneous
    (True, True)
    """

    def __init__(self, net: SupportNet | RadialSupportNet, base: Ellipsoids):
        super().__init__()
        self.net = net
        self.base = base

    @property
    def is_convex(self) -> bool:
        """Whether every output is convex in the input."""
        return self.net.is_convex

    @property
    def is_homogeneous(self) -> bool:
        """Whether ``f(t x) = t f(x)`` for all ``t > 0``."""
        return self.net.is_homogeneous

    def set_linear(self, weight: Tensor) -> None:
        """See :meth:`SupportNet.set_linear`."""
        self.net.set_linear(weight)

    def forward(self, x: Tensor) -> Tensor:
        """Support values, ``(n, d) -> (n, c)``."""
        return self.net(x) + self.base(x)

    def scores(self, x: Tensor) -> Tensor:
        """Support values, ``(n, d) -> (n, c)``."""
        return self(x)

    def scores_and_keys(
        self, x: Tensor, partitions: Tensor | Literal["best"] | None = None
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`SupportNet.scores_and_keys`."""
        if isinstance(partitions, str):
            partitions = self(x).argmax(dim=1, keepdim=True)
        scores, keys = self.net.scores_and_keys(x, partitions)
        base_scores, base_keys = self.base.scores_and_keys(x, partitions)
        return scores + base_scores, keys + base_keys


class CentroidKeyNet(nn.Module):
    r"""One predicted key that ranks all partitions by their centroids.

    Partition ``j`` has score :math:`\langle g(x), \mu_j \rangle`: the predicted key
    takes the place of the query in an inverted file. Scores are not support values.

    Parameters
    ----------
    net : DirectionalKeyNet
        The network ``g``, of one head.
    n_partitions : int
        Number of partitions.

    Attributes
    ----------
    centroids : Tensor of shape (n_partitions, d)
        A buffer, of zeros at first.

    Examples
    --------
    >>> import torch
    >>> from sk_amips.nn import CentroidKeyNet, DirectionalKeyNet, KeyNet
    >>> centroids = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> g = KeyNet(2, [8], generator=torch.Generator().manual_seed(0))
    >>> net = CentroidKeyNet(DirectionalKeyNet(g), n_partitions=3)
    >>> net.load_state_dict({**net.state_dict(), "centroids": centroids})
    <All keys matched successfully>
    >>> scores, keys = net.scores_and_keys(torch.tensor([[0.6, 0.8]]))
    >>> torch.allclose(scores, keys[:, 0] @ centroids.T)
    True
    """

    def __init__(self, net: DirectionalKeyNet, n_partitions: int):
        super().__init__()
        self.net = net
        shape = (n_partitions, net.net.in_features)
        self.register_buffer("centroids", torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Predicted best key, ``(n, d) -> (n, 1, d)``."""
        return self.net(x)

    def scores(self, x: Tensor) -> Tensor:
        """Scores of the partitions, ``(n, d) -> (n, c)``."""
        return self.scores_and_keys(x)[0]

    def scores_and_keys(self, x: Tensor, partitions=None) -> tuple[Tensor, Tensor]:
        """Scores of the partitions, and the one predicted key.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Queries.
        partitions : Ignored
            All share the key.

        Returns
        -------
        scores : Tensor of shape (n, c)
            Inner products of the predicted key with the centroids.
        keys : Tensor of shape (n, 1, d)
            The predicted key.
        """
        keys = self.net(x)
        return keys.squeeze(1) @ self.centroids.T, keys
