"""Initial weights of signed and of non-negative layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["lecun_normal", "principled_non_negative"]

# Standard deviation of a unit normal that is cut off at two standard deviations.
_TRUNCATED_STD = 0.87962566103423978


def lecun_normal(
    shape: tuple[int, int], *, generator: torch.Generator | None = None
) -> Tensor:
    """Truncated normal weights of variance ``1 / fan_in``.

    Parameters
    ----------
    shape : (fan_out, fan_in)
        Shape of the weight.
    generator : torch.Generator or None
        Source of randomness; None: torch's global one.

    Returns
    -------
    weight : Tensor of shape ``shape``
        Drawn within two standard deviations of a normal that is then cut off.

    Examples
    --------
    >>> import torch
    >>> from sk_amips.nn import lecun_normal
    >>> weight = lecun_normal((500, 400), generator=torch.Generator().manual_seed(0))
    >>> print(f"{400 * weight.var():.2f}")  # fan-in times variance
    1.00
    """
    std = 1.0 / math.sqrt(shape[1]) / _TRUNCATED_STD
    weight = torch.empty(shape)
    return torch.nn.init.trunc_normal_(
        weight, std=std, a=-2 * std, b=2 * std, generator=generator
    )


def principled_non_negative(
    shape: tuple[int, int],
    *,
    output: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, float]:
    r"""Log-normal weights that keep the signal's spread through non-negative layers.

    With :math:`n` inputs and :math:`D = 6(\pi - 1) + (n - 1)(3\sqrt3 + 2\pi - 6)` the
    weights have mean :math:`\sqrt{6\pi / (n D)}` and variance :math:`1 / n`, and the
    bias that goes with them is :math:`\sqrt{3 n / D}` [1]_. Those of the linear output
    layer have mean :math:`1 / \sqrt{n (n + 1)}`, variance :math:`1 / (2n)`, bias zero.

    Parameters
    ----------
    shape : (fan_out, fan_in)
        Shape of the weight.
    output : bool, default=False
        Whether the layer is the last, linear one.
    generator : torch.Generator or None
        Source of randomness; None: torch's global one.

    Returns
    -------
    weight : Tensor of shape ``shape``
        Positive weights, before the inverse of any rectifier.
    bias : float
        The constant for the layer's bias.

    References
    ----------
    .. [1] Hoedt and Klambauer, "Principled Weight Initialisation for Input-Convex
       Neural Networks", NeurIPS 2023.

    Examples
    --------
    The bias is as large as the mean of what the weights make of rectified unit normals:

    >>> import torch
    >>> from sk_amips.nn import principled_non_negative
    >>> generator = torch.Generator().manual_seed(0)
    >>> weight, bias = principled_non_negative((500, 400), generator=generator)
    >>> state = torch.randn(400, 1000, generator=generator).relu()
    >>> print(f"{bias:.2f}, {(weight @ state).mean():.2f}, {weight.min() > 0}")
    0.74, 0.74, True
    """
    fan_in = shape[1]
    if output:
        mean = 1.0 / math.sqrt(fan_in * (fan_in + 1))
        variance = 1.0 / (2 * fan_in)
        bias = 0.0
    else:
        denominator = 6 * (math.pi - 1) + (fan_in - 1) * (
            3 * math.sqrt(3) + 2 * math.pi - 6
        )
        mean = math.sqrt(6 * math.pi / (fan_in * denominator))
        variance = 1.0 / fan_in
        bias = math.sqrt(3 * fan_in / denominator)
    log_variance = math.log1p(variance / mean**2)
    log_mean = math.log(mean) - log_variance / 2
    normal = torch.randn(shape, generator=generator)
    weight = torch.exp(log_mean + math.sqrt(log_variance) * normal)
    return weight, bias
