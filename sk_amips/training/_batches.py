"""Batches of training data, gathered where the network is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from .._validation import row_blocks
from ..losses import top_weights
from ._data import FIELDS, TrainingData
from ._sampling import match_partitions

__all__ = ["Batches"]

Batch = tuple[dict[str, Tensor], dict[str, Tensor]]


class Batches:
    """Batches of a :class:`TrainingData`, gathered by array indexing.

    Takes the place of a torch ``DataLoader``, which collates row by row. On a GPU the
    data go there once, if they take less than half of its free memory.

    Parameters
    ----------
    dataset : TrainingData
    batch_size : int
    seed : int or None, default=None
        Rows are shuffled anew in each pass from this seed; None keeps their order.
    device : str or torch device, default="cpu"
        Where the network is.
    """

    def __init__(
        self,
        dataset: TrainingData,
        batch_size: int,
        *,
        seed: int | None = None,
        device: str | torch.device = "cpu",
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self._shuffle = seed is not None
        share = 1.0 if dataset.rows is None else len(dataset) / len(dataset.queries)
        arrays = {name: getattr(dataset, name) for name in FIELDS}
        n_bytes = share * sum(a.nbytes for a in arrays.values() if a is not None)
        keys = dataset.keys
        n_bytes += 0 if keys is None else 4 * keys.size
        if not _has_room(device, n_bytes):
            device = "cpu"
        self._rows = dataset.rows
        if torch.device(device).type != "cpu":
            # Of a part of the queries only that part goes to another device.
            arrays, self._rows = {name: dataset.field(name) for name in FIELDS}, None
        self._arrays = {
            name: torch.from_numpy(array).to(device)
            for name, array in arrays.items()
            if array is not None
        }
        self._keys = keys
        if keys is not None and torch.device(device).type != "cpu":
            self._keys = torch.empty(keys.shape, device=device)
            for rows in row_blocks(len(keys)):
                block = torch.from_numpy(keys[rows].astype(np.float32))
                self._keys[rows] = block.to(device)
        self._device = device
        # Without shuffling every pass is the same, and so are its samples.
        self._seed = 0 if seed is None else seed
        self._rng = torch.Generator().manual_seed(self._seed)
        self._draws = torch.Generator(device).manual_seed(self._seed)

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        n, rows = len(self.dataset), self._rows
        rows = torch.arange(n) if rows is None else torch.from_numpy(rows)
        if self._shuffle:
            rows = rows[torch.randperm(n, generator=self._rng)]
        else:
            self._draws.manual_seed(self._seed)
        rows = rows.to(self._device)
        for some in row_blocks(n, self.batch_size):
            yield self._take(rows[some])

    def _take(self, rows: Tensor) -> Batch:
        """Network inputs and targets of a batch."""
        batch = {name: array[rows] for name, array in self._arrays.items()}
        scores = batch["scores"]
        x, y = {"x": batch["queries"]}, {"score_targets": scores}
        if "weight" in batch:
            y["weight"] = batch["weight"]
        if "best_lists" in batch:
            y["winner"] = batch["best_lists"][:, 0]
        matching = self.dataset.matching
        weights = None
        if scores.shape[1] > 1 and matching.temperature is not None:
            weights = top_weights(scores, matching.temperature, batch.get("threshold"))
        if "best" not in batch:
            return x, y if weights is None else y | {"score_partition_weight": weights}
        partitions, key_weights = match_partitions(
            scores, matching.partitions, weights, self._draws
        )
        best = batch["best"]
        if partitions is not None:
            x["partitions"] = partitions
            best = best.take_along_dim(partitions.unsqueeze(2), dim=1)
        if matching.consistency:
            # Scores are those of the matched keys.
            weights = key_weights
            if partitions is not None:
                y["score_targets"] = scores.gather(1, partitions)
        y["key_targets"] = self._sum_keys(best)
        if weights is not None:
            y["score_partition_weight"] = weights
        if key_weights is not None:
            y["key_partition_weight"] = key_weights
        return x, y

    def _sum_keys(self, rows: Tensor) -> Tensor:
        """Sums over the last axis of rows of the keys, ``(n, p, k) -> (n, p, d)``."""
        if isinstance(self._keys, Tensor):
            return self._keys[rows].sum(dim=2)
        return torch.from_numpy(self._keys[rows.numpy()].astype(np.float32).sum(axis=2))


def _has_room(device: str | torch.device, n_bytes: int) -> bool:
    """Whether that many bytes may be kept on a device."""
    if torch.device(device).type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes < free / 2
