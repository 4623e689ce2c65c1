"""Rows of some partitions, by an operator that every exporter knows."""

from __future__ import annotations

from torch import Tensor

__all__ = ["taken"]


def taken(values: Tensor, partitions: Tensor) -> Tensor:
    """Rows of partitions, ``(n, c, m), (n, p) -> (n, p, m)``.

    As ``take_along_dim``, with which ``torch.export`` takes ``n`` for fixed.
    """
    return values.gather(1, partitions.unsqueeze(-1).expand(-1, -1, values.shape[2]))
