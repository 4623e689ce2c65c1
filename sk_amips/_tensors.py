"""Arrays as tensors."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["as_tensor"]


def as_tensor(rows: np.ndarray) -> torch.Tensor:
    """Rows as a tensor, without a copy where torch takes them as they are."""
    native = rows.dtype.isnative and rows.dtype.kind in "fi" and rows.itemsize <= 8
    rows = np.ascontiguousarray(rows, dtype=None if native else np.float64)
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy())
