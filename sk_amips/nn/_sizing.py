"""Widths from a budget of parameters."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from ._layers import injected_layers

__all__ = ["budget_widths", "count_parameters"]


def count_parameters(
    widths: list[float],
    *,
    in_features: int,
    out_features: int,
    inject_every: int | None,
) -> float:
    """Number of parameters, biases included, of a net with these hidden widths.

    Parameters
    ----------
    widths : list of float
        Hidden widths; fractions are allowed, which makes the count continuous.
    in_features, out_features : int
        Widths of input and output.
    inject_every : int or None
        See :class:`SupportNet`.

    Returns
    -------
    n_parameters : float
        An integer where all widths are.

    Examples
    --------
    >>> from sk_amips.nn import SupportNet, count_parameters
    >>> count_parameters([16, 16], in_features=8, out_features=3, inject_every=1)
    595
    >>> sum(p.numel() for p in SupportNet(8, [16, 16], 3).parameters())
    595
    """
    chain = [in_features, *widths, out_features]
    affine = sum((a + 1) * b for a, b in pairwise(chain))
    injected = injected_layers(len(widths), inject_every)
    return affine + in_features * sum(widths[i + 1] for i in injected)


def budget_widths(
    n_keys: int,
    in_features: int,
    *,
    depth: int,
    fraction: float,
    out_features: int = 1,
    inject_every: int | None = None,
    taper: float = 1.0,
) -> list[int]:
    """Hidden widths of a net that has ``fraction`` as many parameters as the keys.

    The budget is ``fraction * n_keys * in_features`` parameters, biases included, and
    widths are rounded to multiples of 4 (at least 4).

    Parameters
    ----------
    n_keys, in_features : int
        Shape of the key matrix.
    depth : int
        Number of hidden layers.
    fraction : float
        Size of the net relative to the keys, > 0.
    out_features : int, default=1
        Width of the output: partitions for a SupportNet, partitions times
        ``in_features`` for a KeyNet.
    inject_every : int or None, default=None
        The input enters every so many layers.
    taper : float, default=1.0
        Ratio of the last hidden width to the first; widths between change
        geometrically. 1.0 gives equal widths.

    Returns
    -------
    widths : list of int
        ``depth`` hidden widths.

    Examples
    --------
    >>> from sk_amips.nn import budget_widths
    >>> budget_widths(10_000, 64, depth=2, fraction=0.05)
    [148, 148]
    """
    if depth < 1 or fraction <= 0 or taper <= 0:
        raise ValueError(
            "depth must be at least 1, fraction and taper above 0; got "
            f"depth={depth}, fraction={fraction}, taper={taper}."
        )
    budget = fraction * n_keys * in_features
    shape = np.geomspace(1.0, taper, depth)

    def excess(first: float) -> float:
        count = count_parameters(
            list(first * shape),
            in_features=in_features,
            out_features=out_features,
            inject_every=inject_every,
        )
        return count - budget

    # The count is a quadratic in the first width, so three values give its root.
    at_zero, at_one, at_two = excess(0.0), excess(1.0), excess(2.0)
    square = (at_two - 2 * at_one + at_zero) / 2
    linear = at_one - at_zero - square
    if at_zero >= 0:
        first = 0.0
    else:
        root = math.sqrt(linear**2 - 4 * square * at_zero)
        first = -2 * at_zero / (linear + root)
    return [max(4, 4 * round(float(width) / 4)) for width in first * shape]
