"""Directions of queries in short codes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from ..exact._codes import TINY, UNIT, Codes, Int8Codes
from ._quantized import quantized_row

__all__ = ["Queries", "encode"]


class Queries(NamedTuple):
    """A batch of queries.

    Attributes
    ----------
    codes : Tensor of shape (n, d)
        Codes of the directions.
    factor : ndarray of shape (n,), dtype float32
        Turns products with the codes into scores of keys of norm around one.
    size, error : ndarray of shape (n,), dtype float32
        Bounds on the norm of a direction, and of what its code leaves out.
    """

    codes: torch.Tensor
    factor: np.ndarray
    size: np.ndarray
    error: np.ndarray


def encode(unit: np.ndarray, coding: type[Codes], scale: float) -> Queries:
    """Codes of unit vectors.

    Parameters
    ----------
    unit : ndarray of shape (n, d), dtype float32
    coding : type
        Subclass of ``Codes``.
    scale : float
        Factor of all products.
    """
    if len(unit) == 1 and coding is Int8Codes:
        return _encode_one(unit[0], scale)
    rows = torch.from_numpy(unit)
    largest = rows.abs().amax(dim=1)
    coded = coding.encode_queries(rows / largest[:, None])
    scales = largest.numpy() * np.float32(scale)
    factor = np.float32(coded.scale) * scales
    bounds = coded.size.numpy() * scales, coded.error.numpy() * scales
    return Queries(coded.codes, factor, *bounds)


def _encode_one(unit: np.ndarray, scale: float) -> Queries:
    """The same for one query (d,), where calls of torch would take longer."""
    codes, step = quantized_row(unit)
    rest = unit - codes.numpy()[0, : len(unit)] * step
    # Of norms in float32.
    slack = 1 + len(unit) * UNIT
    rounding = np.sqrt(rest @ rest) * slack
    size = np.sqrt(unit @ unit) * slack + rounding + TINY
    error = rounding + 8 * UNIT * size + TINY
    numbers = np.array([step, size, error]) * scale
    return Queries(codes, *numbers.astype(np.float32)[:, None])
