"""Activations that know their own derivative."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ACTIVATIONS", "LeakyReLU", "ReLU", "SoftLeakyReLU", "make_activation"]


class SoftLeakyReLU(nn.Module):
    r"""Smooth leaky ReLU, :math:`s x + (1 - s) \log(1 + e^{\beta x}) / \beta`.

    It is convex and increasing for every ``0 <= slope <= 1``, and tends to the leaky
    ReLU as ``beta`` grows.

    Parameters
    ----------
    slope : float, default=0.1
        Slope far below zero; far above zero the slope is one.
    beta : float, default=20.0
        Sharpness of the bend.

    Examples
    --------
    >>> import torch
    >>> from sk_amips.nn import SoftLeakyReLU
    >>> x = torch.tensor([-1.0, 0.0, 1.0])
    >>> SoftLeakyReLU()(x)
    tensor([-0.1000,  0.0312,  1.0000])
    >>> SoftLeakyReLU().derivative(x)
    tensor([0.1000, 0.5500, 1.0000])
    """

    is_homogeneous = False

    def __init__(self, slope: float = 0.1, beta: float = 20.0):
        super().__init__()
        self.slope = slope
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        """Value of the activation at ``x``, of the shape of ``x``."""
        return self.slope * x + (1.0 - self.slope) * F.softplus(x, beta=self.beta)

    def derivative(self, x: Tensor) -> Tensor:
        """Derivative of the activation at ``x``, of the shape of ``x``."""
        return self.slope + (1.0 - self.slope) * torch.sigmoid(self.beta * x)


class LeakyReLU(nn.Module):
    """Leaky ReLU, ``max(x, slope * x)``: convex and positively 1-homogeneous.

    Parameters
    ----------
    slope : float, default=0.1
        Slope below zero.

    Examples
    --------
    >>> import torch
    >>> from sk_amips.nn import LeakyReLU
    >>> activation, x = LeakyReLU(), torch.tensor([-1.0, 2.0])
    >>> activation(x)
    tensor([-0.1000,  2.0000])
    >>> torch.equal(activation(4 * x), 4 * activation(x))  # 1-homogeneous
    True
    """

    is_homogeneous = True

    def __init__(self, slope: float = 0.1):
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Value of the activation at ``x``, of the shape of ``x``."""
        return F.leaky_relu(x, self.slope)

    def derivative(self, x: Tensor) -> Tensor:
        """Derivative of the activation at ``x`` (``slope`` at the kink itself)."""
        one = torch.ones((), dtype=x.dtype, device=x.device)
        return torch.where(x > 0, one, self.slope * one)


class ReLU(LeakyReLU):
    """ReLU, ``max(x, 0)``: a leaky ReLU of slope zero.

    Examples
    --------
    >>> import torch
    >>> from sk_amips.nn import ReLU
    >>> x = torch.tensor([-1.0, 0.0, 2.0])
    >>> torch.equal(ReLU()(x), x.clamp(min=0))
    True
    >>> ReLU().derivative(x)
    tensor([0., 0., 1.])
    """

    def __init__(self):
        super().__init__(slope=0.0)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "soft_leaky_relu": SoftLeakyReLU,
    "leaky_relu": LeakyReLU,
    "relu": ReLU,
}


def make_activation(activation: str | nn.Module) -> nn.Module:
    """Return the activation of that name; a module is passed through.

    Parameters
    ----------
    activation : {"soft_leaky_relu", "leaky_relu", "relu"} or nn.Module
        A module of one's own needs a method ``derivative(x)`` and an attribute
        ``is_homogeneous``; convexity of the net further needs it to be convex and
        non-decreasing.

    Returns
    -------
    activation : nn.Module
        A new module, or the one that was given.

    Raises
    ------
    ValueError
        If there is no activation of that name.

    Examples
    --------
    >>> import torch
    >>> from sk_amips.nn import make_activation
    >>> activation = make_activation("leaky_relu")
    >>> activation.derivative(torch.tensor([-1.0, 2.0]))
    tensor([0.1000, 1.0000])
    >>> make_activation(activation) is activation
    True
    """
    if isinstance(activation, nn.Module):
        return activation
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {sorted(ACTIVATIONS)}, got {activation!r}."
        )
    return ACTIVATIONS[activation]()
