"""KeyNet: a network that predicts the best key itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ._layers import InjectedStack
from ._taken import taken

__all__ = ["KeyNet"]


class KeyNet(InjectedStack):
    r"""Network :math:`g: R^d \to R^{c \times d}` that predicts best keys [1]_.

    Head ``j`` predicts the best key of partition ``j``; by Euler's identity
    :math:`\langle g_j(x), x \rangle` predicts its score.

    Parameters
    ----------
    in_features : int
        Width ``d`` of queries and keys.
    hidden_sizes : sequence of int
        Widths of the hidden states.
    n_heads : int, default=1
        Number ``c`` of keys predicted, one a partition.
    activation : str or nn.Module, default="soft_leaky_relu"
        "soft_leaky_relu", "leaky_relu", "relu", or a module.
    inject_every : int or None, default=1
        The input enters every so many layers; None: only the first layer.
    residual : bool, default=False
        Whether the input is added to each predicted key.
    scale : float, default=1.0
        Constant factor of the predicted keys, such as the typical norm of a key.
    generator : torch.Generator or None, default=None
        Source of randomness of the initialisation; None: torch's global one.

    References
    ----------
    .. [1] Olausson, Monteiro, Klein and Cuturi, "Amortizing Maximum Inner Product
       Search with Learned Support Functions", arXiv:2603.08001.

    Examples
    --------
    >>> import torch
    >>> from sk_amips.nn import KeyNet
    >>> generator = torch.Generator().manual_seed(0)
    >>> net = KeyNet(8, [32], n_heads=3, generator=generator)
    >>> scores, keys = net.scores_and_keys(torch.ones(5, 8))
    >>> keys.shape
    torch.Size([5, 3, 8])
    >>> torch.allclose(scores, keys.sum(dim=2))  # inner products with ones
    True
    """

    def __init__(
        self,
        in_features: int,
        hidden_sizes: Sequence[int],
        n_heads: int = 1,
        *,
        activation: str | nn.Module = "soft_leaky_relu",
        inject_every: int | None = 1,
        residual: bool = False,
        scale: float = 1.0,
        generator: torch.Generator | None = None,
    ):
        super().__init__(
            in_features,
            hidden_sizes,
            n_heads * in_features,
            activation=activation,
            rectifier=None,
            inject_every=inject_every,
            inject_output=False,
            bias=True,
            init="plain",
            generator=generator,
        )
        self.n_heads = n_heads
        self.residual = residual
        self.register_buffer("scale", torch.tensor(float(scale)))

    @torch.no_grad()
    def set_constant(self, keys: Tensor) -> None:
        """Set the constant part of the predicted keys.

        Parameters
        ----------
        keys : Tensor of shape (n_heads, in_features)
            For instance the centroids of the partitions.
        """
        self.layers[-1].bias.copy_((keys.to(self.scale) / self.scale).reshape(-1))

    def forward(self, x: Tensor) -> Tensor:
        """Predicted best keys, ``(n, d) -> (n, c, d)``."""
        keys = super().forward(x).unflatten(1, (self.n_heads, self.in_features))
        if self.residual:
            keys = keys + x.unsqueeze(1)
        return self.scale * keys

    def heads(self, x: Tensor, partitions: Tensor) -> Tensor:
        """Predicted best keys of some partitions, on a CPU without the others.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Queries.
        partitions : Tensor of shape (n, p), dtype int64
            Partitions of each query whose key is wanted.

        Returns
        -------
        keys : Tensor of shape (n, p, d)
            In the order of ``partitions``.
        """
        if x.is_cuda or torch.compiler.is_compiling():
            # One large product is faster there than hundreds of small ones, and its
            # shape does not depend on the partitions.
            return taken(self(x), partitions)
        n, p = partitions.shape
        state = self.activation(self.hidden_preactivations(x)[-1])
        layer = self.layers[-1]
        shape = (self.n_heads, self.in_features)
        # Rows are brought together by head: each head is one product, and the unbound
        # weights have one gradient, where indexing would fill one for each head.
        order = partitions.flatten().argsort(stable=True)
        counts = torch.bincount(partitions.flatten(), minlength=self.n_heads).tolist()
        keys = [
            torch.addmm(bias, rows, weight.T)
            for rows, weight, bias in zip(
                state[order // p].split(counts),
                layer.weight.unflatten(0, shape).unbind(0),
                layer.bias.unflatten(0, shape).unbind(0),
                strict=True,
            )
            if len(rows) > 0
        ]
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order), device=order.device)
        keys = torch.cat(keys)[places].unflatten(0, (n, p))
        if self.residual:
            keys = keys + x.unsqueeze(1)
        return self.scale * keys

    def scores(self, x: Tensor) -> Tensor:
        """Scores ``<g(x), x>`` of the predicted keys, ``(n, d) -> (n, c)``."""
        return self.scores_and_keys(x)[0]

    def scores_and_keys(
        self, x: Tensor, partitions: Tensor | Literal["best"] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Scores ``<g(x), x>`` and predicted best keys.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Queries.
        partitions : Tensor of shape (n, p), dtype int64, or "best", optional
            Partitions whose key is wanted; "best": that of the largest score, so that
            p = 1; all when None.

        Returns
        -------
        scores : Tensor of shape (n, c)
            Of the keys of all partitions.
        keys : Tensor of shape (n, p or c, d)
            Predicted best keys of the partitions asked for.
        """
        keys = self(x)
        scores = (keys @ x.unsqueeze(-1)).squeeze(-1)
        if isinstance(partitions, str):
            partitions = scores.argmax(dim=1, keepdim=True)
        if partitions is not None:
            keys = taken(keys, partitions)
        return scores, keys
