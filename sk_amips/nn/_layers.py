"""The skeleton that both networks share: layers into which the input is injected."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._activations import make_activation
from ._initialization import lecun_normal, principled_non_negative
from ._rectifiers import RECTIFIERS

__all__ = ["Affine", "InjectedStack", "injected_layers"]


class Affine(nn.Module):
    """Affine layer whose weight may pass through a rectifier.

    Parameters
    ----------
    in_features, out_features : int
        Widths.
    bias : bool, default=True
        Whether to add a bias.
    rectifier : {"softplus", "exp", "abs", "relu"} or None, default=None
        Map from the stored parameter to the weight that is used.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        rectifier: str | None = None,
    ):
        super().__init__()
        self.rectifier = rectifier
        self.raw_weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    @property
    def weight(self) -> Tensor:
        """The weight in use, ``(out_features, in_features)``, after the rectifier."""
        return RECTIFIERS[self.rectifier].forward(self.raw_weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        out_features, in_features = self.raw_weight.shape
        return (
            f"{in_features}, {out_features}, bias={self.bias is not None}, "
            f"rectifier={self.rectifier!r}"
        )


def injected_layers(n_hidden: int, inject_every: int | None) -> list[int]:
    """List the layers after the first that read the input once more.

    Layer ``i`` of ``0..n_hidden - 1`` maps the ``i``-th hidden state onwards; every
    ``inject_every``-th of them reads the input, the last, linear one does not.

    Parameters
    ----------
    n_hidden : int
        Number of hidden layers.
    inject_every : int or None
        The input enters every so many layers; None: only the first layer.

    Returns
    -------
    layers : list of int
        Numbers of the layers, ascending.

    Examples
    --------
    >>> from sk_amips.nn import injected_layers
    >>> injected_layers(4, 1), injected_layers(4, 2), injected_layers(4, None)
    ([0, 1, 2], [1], [])
    """
    if inject_every is None:
        return []
    return [i for i in range(n_hidden - 1) if (i + 1) % inject_every == 0]


class InjectedStack(nn.Module):
    r"""Multi-layer net, :math:`z_{i+1} = a(W_i z_i + V_i x + b_i)`, last layer linear.

    Parameters
    ----------
    in_features : int
        Width of the input.
    hidden_sizes : sequence of int
        Widths of the hidden states, at least one.
    out_features : int
        Width of the output.
    activation : str or nn.Module
        See :func:`make_activation`.
    rectifier : {"softplus", "exp", "abs", "relu"} or None
        Rectifier of the :math:`W_i` (not of the first layer or of the :math:`V_i`).
    inject_every : int or None
        The input enters every ``inject_every``-th layer; None: only the first.
    inject_output : bool
        Whether the last, linear layer reads the input too.
    bias : bool
        Whether layers have biases.
    init : {"plain", "log_normal", "principled"}
        Initialisation of the :math:`W_i`: the signed one of all other layers; the
        weights of :func:`principled_non_negative`; or its weights and its biases.
    generator : torch.Generator or None
        Source of randomness of the initialisation; None: torch's global one.
    """

    def __init__(
        self,
        in_features: int,
        hidden_sizes: Sequence[int],
        out_features: int,
        *,
        activation: str | nn.Module,
        rectifier: str | None,
        inject_every: int | None,
        inject_output: bool,
        bias: bool,
        init: str,
        generator: torch.Generator | None,
    ):
        super().__init__()
        hidden_sizes = list(hidden_sizes)
        if not hidden_sizes:
            raise ValueError("hidden_sizes must hold at least one width, got none.")
        if rectifier not in RECTIFIERS:
            raise ValueError(
                f"rectifier must be one of {list(RECTIFIERS)}, got {rectifier!r}."
            )
        if init not in ("plain", "log_normal", "principled"):
            raise ValueError(
                f"init must be 'plain', 'log_normal' or 'principled', got {init!r}."
            )
        self.in_features = in_features
        self.activation = make_activation(activation)
        self.first = Affine(in_features, hidden_sizes[0], bias=bias)
        widths = [*hidden_sizes, out_features]
        self.layers = nn.ModuleList(
            Affine(fan_in, fan_out, bias=bias, rectifier=rectifier)
            for fan_in, fan_out in pairwise(widths)
        )
        injected = injected_layers(len(hidden_sizes), inject_every)
        if inject_output:
            injected.append(len(hidden_sizes) - 1)
        self.injections = nn.ModuleDict(
            {str(i): Affine(in_features, widths[i + 1], bias=False) for i in injected}
        )
        self.reset_parameters(init=init, generator=generator)

    @torch.no_grad()
    def reset_parameters(
        self, *, init: str = "plain", generator: torch.Generator | None = None
    ) -> None:
        """Draw all weights anew."""
        for layer in (self.first, *self.injections.values()):
            layer.raw_weight.copy_(
                lecun_normal(layer.raw_weight.shape, generator=generator)
            )
        for layer in (self.first, *self.layers):
            if layer.bias is not None:
                layer.bias.zero_()
        for layer in self.layers:
            shape = layer.raw_weight.shape
            if init == "plain":
                layer.raw_weight.copy_(lecun_normal(shape, generator=generator))
                continue
            weight, bias = principled_non_negative(
                shape, output=layer is self.layers[-1], generator=generator
            )
            layer.raw_weight.copy_(RECTIFIERS[layer.rectifier].inverse(weight))
            if init == "principled" and layer.bias is not None:
                layer.bias.fill_(bias)

    def hidden_preactivations(self, x: Tensor) -> list[Tensor]:
        """Values ahead of each activation."""
        values = [self.first(x)]
        for i in range(len(self.layers) - 1):
            values.append(self._apply_layer(i, values[-1], x))
        return values

    def preactivations(self, x: Tensor) -> list[Tensor]:
        """Values ahead of each activation, and last the output of the net."""
        values = self.hidden_preactivations(x)
        return [*values, self._apply_layer(len(self.layers) - 1, values[-1], x)]

    def _apply_layer(self, i: int, preactivation: Tensor, x: Tensor) -> Tensor:
        value = self.layers[i](self.activation(preactivation))
        injection = self._injection(i)
        return value if injection is None else value + injection(x)

    def jacobian_rows(
        self, preactivations: Sequence[Tensor], rows: Tensor | None = None
    ) -> Tensor:
        """Gradients of outputs in the input, by the chain rule written out.

        Only products and sums appear, so that it runs without autograd, exports as
        plain algebra, and can itself be differentiated in the parameters.

        Parameters
        ----------
        preactivations : list of Tensor
            What :meth:`preactivations` returned for ``n`` inputs.
        rows : Tensor of shape (n, p), optional
            Outputs wanted for each input; all of them when None.

        Returns
        -------
        gradients : Tensor of shape (n, p or out_features, in_features)
            One row for each output wanted.
        """
        last = len(self.layers) - 1
        n = preactivations[0].shape[0]

        def pick(weight: Tensor) -> Tensor:
            return weight.expand(n, *weight.shape) if rows is None else weight[rows]

        chain = pick(self.layers[last].weight)
        injection = self._injection(last)
        gradient = 0.0 if injection is None else pick(injection.weight)
        for i in range(last, -1, -1):
            chain = chain * self.activation.derivative(preactivations[i]).unsqueeze(1)
            if i > 0:
                injection = self._injection(i - 1)
                if injection is not None:
                    gradient = gradient + chain @ injection.weight
                chain = chain @ self.layers[i - 1].weight
        return gradient + chain @ self.first.weight

    def _injection(self, i: int) -> Affine | None:
        key = str(i)
        return self.injections[key] if key in self.injections else None  # noqa: SIM401

    def forward(self, x: Tensor) -> Tensor:
        return self.preactivations(x)[-1]
