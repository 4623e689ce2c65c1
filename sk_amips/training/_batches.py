"""Batches of training data, gathered where the network is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from .._validation import row_blocks
from ..losses import top_weights
from ._data import TrainingData
from ._place import Batch, Placed, place, prefetched
from ._processes import ONE, OneProcess
from ._sampling import match_partitions

__all__ = ["Batches"]


class Batches:
    """Batches of a :class:`TrainingData`, gathered by array indexing.

    Takes the place of a torch ``DataLoader``, which collates row by row. On a GPU the
    data go there once, if they take less than half of its free memory; else batches are
    gathered on the CPU, one ahead of that in use.

    Parameters
    ----------
    dataset : TrainingData
    batch_size : int
    seed : int or None, default=None
        Rows are shuffled anew in each pass from this seed; None keeps their order.
    device : str or torch device, default="cpu"
        Where the network is.
    placed : Placed or None, default=None
        Where the data are, if that has been settled.

    Attributes
    ----------
    processes : OneProcess
        Those that share the rows of each batch; this one gathers its own.
    sizes : list of int
        Rows of each batch, those of all processes together.
    """

    processes: OneProcess = ONE

    def __init__(
        self,
        dataset: TrainingData,
        batch_size: int,
        *,
        seed: int | None = None,
        device: str | torch.device = "cpu",
        placed: Placed | None = None,
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self._shuffle = seed is not None
        self._placed = placed or place([dataset], device)[0]
        self._target = torch.device(device)
        here = self._placed.device
        self._pinned = here.type != self._target.type
        # Without shuffling every pass is the same, and so are its samples.
        self._seed = 0 if seed is None else seed
        self._rng = torch.Generator().manual_seed(self._seed)
        self._draws = torch.Generator(here).manual_seed(self._seed)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def sizes(self) -> list[int]:
        blocks = row_blocks(len(self.dataset), self.batch_size)
        return [some.stop - some.start for some in blocks]

    def __iter__(self) -> Iterator[Batch]:
        if self._pinned:
            return prefetched(self._gathered(), self._target)
        return self._gathered()

    def _gathered(self) -> Iterator[Batch]:
        n, rows = len(self.dataset), self._placed.rows
        order = torch.arange(n)
        if self._shuffle:
            order = torch.randperm(n, generator=self._rng)
        else:
            self._draws.manual_seed(self._seed)
        order = order.to(self._placed.device)
        rows = order if rows is None else rows[order]
        for some in row_blocks(n, self.batch_size):
            n_rows = some.stop - some.start
            own = self.processes.part_of_batch(n_rows)
            yield self._take(rows[some][own], n_rows, own)

    def _rows_of(self, array: Tensor, rows: Tensor) -> Tensor:
        if not self._pinned:
            return array.index_select(0, rows)
        shape = (len(rows), *array.shape[1:])
        taken = torch.empty(shape, dtype=array.dtype, pin_memory=True)
        return torch.index_select(array, 0, rows, out=taken)

    def _take(self, rows: Tensor, n: int, own: slice) -> Batch:
        """Network inputs and targets of the rows of a batch that are this process's.

        They are its rows ``own`` of n, all of which take part in what is drawn.
        """
        arrays = self._placed.arrays
        batch = {name: self._rows_of(array, rows) for name, array in arrays.items()}
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
            scores, matching.partitions, weights, self._draws, drawn=(n, own)
        )
        best = batch["best"]
        if partitions is not None:
            if best.shape[1] < scores.shape[1]:
                # There is the best key of all alone: its partition is known.
                partitions = batch["best_lists"][:, :1]
            else:
                best = best.take_along_dim(partitions.unsqueeze(2), dim=1)
            x["partitions"] = partitions
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
        keys = self._placed.keys
        if isinstance(keys, Tensor):
            taken = keys.index_select(0, rows.flatten()).unflatten(0, rows.shape)
        else:
            taken = torch.from_numpy(keys[rows.numpy()].astype(np.float32, copy=False))
        return taken.squeeze(2) if rows.shape[2] == 1 else taken.sum(dim=2)
