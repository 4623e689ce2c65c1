"""Scores of all lists by a router, in 8-bit products where the processor is fast at it.

What the search then does is exact, and its stop is calibrated on the scores as they are
here: rounding them costs some keys to scan, and no correctness.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..exact._choice import fastest_on_cpu
from ..exact._codes import Int8Codes
from ..nn import RadialSupportNet, SupportNet
from ..routing import CentroidRouter, LinearRouter
from ._quantized import quantized, quantized_row

__all__ = ["centroid_scorer", "list_scorer"]


def list_scorer(router) -> Callable[[np.ndarray], Tensor]:
    """A function from unit queries (n, d) to the scores of all lists, (n_lists, n)."""
    layers = _layers(router)
    if layers is None:
        return RouterScores(router)
    return layers


def centroid_scorer(router) -> Callable[[np.ndarray], Tensor]:
    """As :func:`list_scorer`, by the centroids of a router's lists alone."""
    return Stack([_affine(router.partition_.centroids_)])


def _layers(router) -> Callable[[np.ndarray], Tensor] | None:
    if isinstance(router, CentroidRouter):
        return centroid_scorer(router)
    if isinstance(router, LinearRouter):
        *before, last = getattr(router, "factors_", (router.coef_,))[::-1]
        layers = [*map(_affine, before), _affine(last, router.intercept_)]
        return Stack(layers, activation=torch.nn.Identity())
    module = getattr(getattr(router, "net_", None), "module_", None)
    if isinstance(module, RadialSupportNet):
        module = module.net
    return Stack.of(module) if isinstance(module, SupportNet) else None


class RouterScores:
    """What a router says itself, where nothing faster is known."""

    def __init__(self, router):
        self.router = router

    def __call__(self, unit: np.ndarray) -> Tensor:
        scores = self.router._in_blocks(unit).T
        return torch.from_numpy(np.ascontiguousarray(scores, dtype=np.float32))


class Stack:
    """The layers of a network, each with a product of its own kind.

    Parameters
    ----------
    layers : list of callable
        Each maps the activated output of the one before, beside the input where the
        layer reads it, onwards.
    injected : collection of int, default=()
        Layers that read the input too.
    activation : callable, default=None
        Between layers.
    """

    def __init__(self, layers, injected=(), activation=None):
        self.layers = layers
        self.injected = injected
        self.activation = activation

    @classmethod
    @torch.no_grad()
    def of(cls, net: SupportNet) -> Stack:
        """Layers of a SupportNet, whose scale goes into the last one."""
        layers = [_affine(net.first.weight, net.first.bias)]
        injected = []
        for i, layer in enumerate(net.layers):
            weight, bias = layer.weight, layer.bias
            injection = net._injection(i)
            if injection is not None:
                weight = torch.cat([weight, injection.weight], dim=1)
                injected.append(i + 1)
            if i == len(net.layers) - 1:
                weight = weight * net.scale
                bias = None if bias is None else bias * net.scale
            layers.append(_affine(weight, bias))
        return cls(layers, injected, net.activation)

    @torch.no_grad()
    def __call__(self, unit: np.ndarray) -> Tensor:
        if len(unit) == 1:
            return torch.from_numpy(self._of_one(unit[0])[:, None])
        x = value = torch.from_numpy(unit)
        for i, layer in enumerate(self.layers[:-1]):
            value = torch.cat([value, x], dim=1) if i in self.injected else value
            value = self.activation(layer(value))
        if len(self.layers) - 1 in self.injected:
            value = torch.cat([value, x], dim=1)
        return self.layers[-1](value, transposed=True)

    def _of_one(self, unit: np.ndarray) -> np.ndarray:
        """The same for one query (d,), where calls of torch would take longer."""
        value = unit
        for i, layer in enumerate(self.layers):
            if i:
                value = self.activation(torch.from_numpy(value)).numpy()
            if i in self.injected:
                value = np.concatenate([value, unit])
            value = layer.of_one(value)
        return value


def _affine(weight, bias=None) -> Affine:
    weight, bias = (
        None if x is None else torch.as_tensor(x).detach().cpu().float()
        for x in (weight, bias)
    )
    fastest = fastest_on_cpu(weight.shape[1])
    return (Int8Affine if fastest is Int8Codes else Affine)(weight, bias)


class Affine:
    """An affine layer in float32.

    Parameters
    ----------
    weight : Tensor of shape (out, in)
    bias : Tensor of shape (out,) or None
    """

    def __init__(self, weight: Tensor, bias: Tensor | None):
        self.weight = weight
        self.bias = torch.zeros(len(weight)) if bias is None else bias

    def __call__(self, rows: Tensor, transposed: bool = False) -> Tensor:
        """Outputs (n, out) of rows (n, in), or transposed ones (out, n)."""
        if transposed:
            return torch.addmm(self.bias[:, None], self.weight, rows.T)
        return torch.addmm(self.bias, rows, self.weight.T)

    def of_one(self, row: np.ndarray) -> np.ndarray:
        """Outputs (out,) of one row (in,)."""
        return self(torch.from_numpy(row.reshape(1, -1))).numpy()[0]


class Int8Affine(Affine):
    """An affine layer of 8-bit weights, each row with a scale, and 8-bit inputs."""

    def __init__(self, weight: Tensor, bias: Tensor | None):
        self.codes, self.scale = quantized(weight)
        super().__init__(weight, bias)
        del self.weight

    def __call__(self, rows: Tensor, transposed: bool = False) -> Tensor:
        codes, scale = quantized(rows)
        if transposed:
            products = Int8Codes.product(self.codes, codes).float()
            products *= self.scale[:, None]
            return products.mul_(scale).add_(self.bias[:, None])
        products = Int8Codes.product(codes, self.codes).float()
        return products.mul_(self.scale).mul_(scale[:, None]).add_(self.bias)

    def of_one(self, row):
        codes, scale = quantized_row(row)
        products = Int8Codes.product(codes, self.codes).numpy()[0]
        outputs = np.multiply(products, self.scale.numpy(), dtype=np.float32)
        outputs *= scale
        outputs += self.bias.numpy()
        return outputs
