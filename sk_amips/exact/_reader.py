"""Keys and queries of a search on the device that computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._memmaps import release
from .._tensors import as_tensor
from .._validation import row_blocks
from ._rescore import pair_scores

__all__ = ["Reader"]

# Norms between these have squares, and squares of their roundings, in float32's range.
_PLAIN = (1e-3, 1e3)
_ON_DEVICE = (np.float16, np.float32, np.float64)
# Pairs that are scored at a time on a device. All chunks have this size, as the order
# of a sum, and so the last bits of equal scores, could depend on it.
_CHUNK = 2**14


@dataclass
class Reader:
    """Keys in blocks, and exact scores of single keys.

    Attributes
    ----------
    keys : ndarray of shape (n_keys, d)
    max_norm : float
        Bound on the norms of the keys.
    device : torch.device
    room : int
        Bytes that may be kept on another device than the CPU.
    offset : ndarray of shape (n_keys,), dtype float64, or None
        Added to the inner products.
    """

    keys: np.ndarray
    max_norm: float
    device: torch.device
    room: int = 0
    offset: np.ndarray | None = None

    def __post_init__(self):
        low, high = _PLAIN
        # What a coordinate is divided by ahead of float32 arithmetic.
        self.unit = 1.0 if low < self.max_norm < high else self.max_norm or 1.0
        self._resident = None
        fits = self.keys.dtype in _ON_DEVICE and self.keys.nbytes <= self.room
        if self.device.type != "cpu" and fits:
            self._resident = torch.empty(
                self.keys.shape,
                dtype=torch.from_numpy(self.keys[:0].copy()).dtype,
                device=self.device,
            )
            for rows in row_blocks(len(self.keys)):
                self._resident[rows] = as_tensor(self.keys[rows]).to(self.device)

    @property
    def n_resident_bytes(self) -> int:
        """Bytes of the keys on another device than the CPU."""
        return 0 if self._resident is None else self._resident.nbytes

    def block(self, rows: slice, group: int) -> Tensor:
        """Some keys over the unit, in float32; the last one fills the last group."""
        if self._resident is not None:
            block = self._resident[rows]
            if block.dtype == torch.float16:
                block = block.float()
            block = (block / self.unit if self.unit != 1 else block).float()
        else:
            block = self.keys[rows]
            if block.dtype == np.float16:
                block = block.astype(np.float32)
            if self.unit != 1:
                block = block / self.unit
            # A copy: rows of a file can't be written to, which tensors have to be.
            block = as_tensor(block.astype(np.float32, copy=False)).to(self.device)
            release(self.keys, rows)
        lacking = -len(block) % group
        if lacking:
            block = torch.cat([block, block[-1:].expand(lacking, -1)])
        return block

    def shift(self, rows: slice, group: int) -> Tensor | None:
        """Offsets of some keys over the unit, for whole groups."""
        if self.offset is None:
            return None
        shift = np.asarray(self.offset[rows] / self.unit, dtype=np.float32)
        shift = np.pad(shift, (0, -len(shift) % group), mode="edge")
        return torch.from_numpy(shift).to(self.device)

    def queries(self, queries: np.ndarray) -> Tensor:
        """Queries on the device."""
        return as_tensor(queries).to(self.device)

    def pair_scores(self, queries: Tensor, key: Tensor, query: Tensor) -> Tensor:
        """Scores in float64 of pairs of a key and a query, given by their rows."""
        if self._resident is None:
            rows = [x.cpu().numpy() for x in (queries, key, query)]
            scores = pair_scores(self.keys, *rows, self.offset)
            return torch.from_numpy(scores).to(self.device)
        scores = torch.empty(len(key), dtype=torch.float64, device=self.device)
        lacking = -len(key) % _CHUNK
        key, query = (torch.cat([x, x.new_zeros(lacking)]) for x in (key, query))
        for some in row_blocks(len(scores), _CHUNK):
            rows = slice(some.start, some.start + _CHUNK)
            products = self._resident[key[rows]].double()
            products *= queries[query[rows]]
            scores[some] = products.sum(dim=1)[: some.stop - some.start]
        if self.offset is not None:
            shift = torch.from_numpy(self.offset).to(self.device)
            scores += shift[key[: len(scores)]]
        return scores
