"""Partitions whose keys are matched in a step, all or a sample of them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["match_partitions"]


def match_partitions(
    scores: Tensor,
    which: Literal["best", "all"] | int,
    weights: Tensor | None = None,
    generator: torch.Generator | None = None,
    *,
    drawn: tuple[int, slice] | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    r"""Partitions of each query whose key is matched, and the weights of their losses.

    The loss of all partitions is :math:`\frac 1 c \sum_j w_j L_j`. Its estimate draws
    partitions with replacement with probability :math:`w_j / \sum_i w_i`, so that those
    near the top are drawn most, and each draw counts :math:`\frac 1 c \sum_i w_i`:
    it is unbiased, and a step costs as many gradients as there are draws.

    Parameters
    ----------
    scores : Tensor of shape (n, c)
        True support values.
    which : {"best", "all"} or int
        The best partition, all of them, or the number of draws; where that reaches the
        number of partitions, all of them.
    weights : Tensor of shape (n, c), optional
        The :math:`w_j`; without them, all are one.
    generator : torch Generator, optional
        Source of randomness of the draws, on the device of the scores.
    drawn : tuple of int and slice, optional
        Number of rows to draw for, and which of them these are: processes that share a
        batch draw for all of it, so that they stay in step. None: just for these.

    Returns
    -------
    partitions : Tensor of shape (n, p), dtype int64, or None
        None: all.
    weights : Tensor of shape (n, p) or None
        None: all one.
    """
    n_partitions = scores.shape[1]
    if which == "best" and n_partitions > 1:
        return scores.argmax(dim=1, keepdim=True), None
    if isinstance(which, str) or which >= n_partitions:
        return None, weights
    n, own = drawn or (len(scores), slice(None))
    shape, options = (n, which), {"device": scores.device, "generator": generator}
    if weights is None:
        return torch.randint(n_partitions, shape, **options)[own], None
    total = weights.double().cumsum(dim=1)
    points = torch.rand(shape, dtype=total.dtype, **options)[own]
    draws = torch.searchsorted(total, points * total[:, -1:], right=True)
    # A point can be rounded up to the total itself.
    partitions = draws.clamp(max=n_partitions - 1)
    return partitions, weights.mean(dim=1, keepdim=True).expand(-1, which)
