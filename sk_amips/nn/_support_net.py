"""SupportNet: an input-convex network for support functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ._layers import InjectedStack
from ._rectifiers import RECTIFIERS

__all__ = ["SupportNet"]


class SupportNet(InjectedStack):
    r"""Input-convex network :math:`f: R^d \to R^c` whose gradient predicts keys.

    Output ``j`` stands for the support function :math:`\sigma_j(x) = \max_k \langle x,
    k \rangle` of the keys of partition ``j``; its gradient in ``x`` is the best key.
    The layers are :math:`z_0 = a(W_0 x + b_0)`, :math:`z_{i+1} = a(W_i z_i + V_i x +
    b_i)` with :math:`W_i \ge 0` after the first, and the last one is linear [1]_ [2]_.

    Parameters
    ----------
    in_features : int
        Width ``d`` of queries and keys.
    hidden_sizes : sequence of int
        Widths of the hidden states.
    out_features : int, default=1
        Number ``c`` of outputs, one a partition.
    activation : str or nn.Module, default="soft_leaky_relu"
        "soft_leaky_relu", "leaky_relu", "relu", or a module that computes ``a``.
    rectifier : {"softplus", "exp", "abs", "relu"} or None, default="softplus"
        Map that keeps the :math:`W_i` non-negative. With None they are free and the
        network is **not** convex.
    inject_every : int or None, default=1
        The input enters every so many layers; None: only the first layer.
    inject_output : bool, default=False
        Whether the last layer also reads the input, which adds a linear function of
        ``x`` to each output (see :meth:`set_linear`).
    bias : bool, default=True
        Without biases and with a homogeneous activation (leaky ReLU, ReLU) the network
        is exactly 1-homogeneous.
    init : {"plain", "log_normal", "principled"}, default="principled"
        Initialisation of the :math:`W_i`: signed; with the weights of
        :func:`principled_non_negative`; or with its weights and biases.
    scale : float, default=1.0
        Constant factor of the outputs, such as the typical norm of a key.
    generator : torch.Generator or None, default=None
        Source of randomness of the initialisation; None: torch's global one.

    References
    ----------
    .. [1] Amos, Xu and Kolter, "Input Convex Neural Networks", ICML 2017.
    .. [2] Olausson, Monteiro, Klein and Cuturi, "Amortizing Maximum Inner Product
       Search with Learned Support Functions", arXiv:2603.08001.

    Examples
    --------
    >>> import torch
    >>> from sk_amips.nn import SupportNet
    >>> rng = torch.Generator().manual_seed(0)
    >>> net = SupportNet(8, [32], 3, activation="relu", bias=False, generator=rng)
    >>> x, y = torch.randn(2, 100, 8, generator=rng)
    >>> bool((net((x + y) / 2) <= (net(x) + net(y)) / 2 + 1e-5).all())  # convex
    True
    >>> scores, keys = net.scores_and_keys(x)
    >>> keys.shape
    torch.Size([100, 3, 8])
    >>> products = (keys @ x.unsqueeze(-1)).squeeze(-1)
    >>> torch.allclose(products, scores, atol=1e-5)  # 1-homogeneous: Euler's identity
    True
    """

    def __init__(
        self,
        in_features: int,
        hidden_sizes: Sequence[int],
        out_features: int = 1,
        *,
        activation: str | nn.Module = "soft_leaky_relu",
        rectifier: str | None = "softplus",
        inject_every: int | None = 1,
        inject_output: bool = False,
        bias: bool = True,
        init: str = "principled",
        scale: float = 1.0,
        generator: torch.Generator | None = None,
    ):
        super().__init__(
            in_features,
            hidden_sizes,
            out_features,
            activation=activation,
            rectifier=rectifier,
            inject_every=inject_every,
            inject_output=inject_output,
            bias=bias,
            init=init,
            generator=generator,
        )
        self.rectifier = rectifier
        self.register_buffer("scale", torch.tensor(float(scale)))

    @property
    def is_convex(self) -> bool:
        """Whether every output is convex in the input, whatever the parameters."""
        return RECTIFIERS[self.rectifier].non_negative

    @property
    def is_homogeneous(self) -> bool:
        """Whether ``f(t x) = t f(x)`` for all ``t > 0``, whatever the parameters."""
        return self.activation.is_homogeneous and self.first.bias is None

    @torch.no_grad()
    def set_linear(self, weight: Tensor) -> None:
        """Set the linear function of the input in the last layer.

        Parameters
        ----------
        weight : Tensor of shape (out_features, in_features)
            In units of the output, for instance the centroids of the partitions.
        """
        injection = self._injection(len(self.layers) - 1)
        if injection is None:
            raise ValueError("set_linear needs a net with inject_output=True.")
        injection.raw_weight.copy_(weight.to(self.scale) / self.scale)

    def forward(self, x: Tensor) -> Tensor:
        """Support values, ``(n, d) -> (n, c)``."""
        return self.scale * super().forward(x)

    def scores(self, x: Tensor) -> Tensor:
        """Support values, ``(n, d) -> (n, c)``."""
        return self(x)

    def scores_and_keys(
        self, x: Tensor, partitions: Tensor | Literal["best"] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Support values and their gradients in ``x``, the predicted best keys.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Queries.
        partitions : Tensor of shape (n, p), dtype int64, or "best", optional
            Partitions whose gradient is wanted; "best": that of the largest score, so
            that p = 1; all when None.

        Returns
        -------
        scores : Tensor of shape (n, c)
            Of all partitions.
        keys : Tensor of shape (n, p or c, d)
            Gradients of the scores of the partitions asked for.
        """
        values = self.preactivations(x)
        if isinstance(partitions, str):
            partitions = values[-1].argmax(dim=1, keepdim=True)
        gradients = self.jacobian_rows(values[:-1], partitions)
        return self.scale * values[-1], self.scale * gradients
