"""Queries with their targets, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from torch import Tensor
from torch.utils.data import Dataset

from .._validation import row_blocks
from ..nn import unit_rows

__all__ = ["Batches", "TrainingData"]


@dataclass(frozen=True)
class TrainingData(Dataset):
    """Queries and what is known of their best keys.

    The networks are homogeneous, so all scores are those of the queries' directions:
    ``x / ||x||``, zero for a zero query.

    Attributes
    ----------
    queries : ndarray of shape (n, d)
        Queries of any norm.
    scores : ndarray of shape (n, c), dtype float32
        Support values of the queries' directions, one a partition.
    best : ndarray of shape (n, c), dtype int64, or None
        Rows of ``keys`` that attain them.
    keys : ndarray of shape (n_keys, d) or None
        The key matrix, by reference; rows are gathered batch by batch. Both None: there
        are scores alone to learn from.
    weight : ndarray of shape (n,), dtype float32, or None
        Weights of the queries, of mean one.
    winner_only : bool
        With several partitions, match only the key of the best one.
    unit : float or None
        Typical size of the scores, where it is not that of the keys' norms.
    rows : ndarray of shape (n_rows,), dtype int64, or None
        Which of the queries these data are; None: all.
    """

    queries: np.ndarray
    scores: np.ndarray
    best: np.ndarray | None = None
    keys: np.ndarray | None = None
    weight: np.ndarray | None = None
    winner_only: bool = False
    unit: float | None = None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.queries if self.rows is None else self.rows)

    def split(
        self, validation_fraction: float, *, groups=None, seed: int = 0
    ) -> tuple[TrainingData, TrainingData]:
        """Split off validation data, by group where queries have groups."""
        Splitter = ShuffleSplit if groups is None else GroupShuffleSplit
        splitter = Splitter(1, test_size=validation_fraction, random_state=seed)
        train, valid = next(splitter.split(self.scores, groups=groups))
        return replace(self, rows=train), replace(self, rows=valid)

    def take(self, rows: np.ndarray) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Network inputs and targets of a batch, as CPU tensors."""
        if self.rows is not None:
            rows = self.rows[rows]
        x = {"x": torch.from_numpy(unit_rows(self.queries[rows])[1])}
        y = {"score_targets": torch.from_numpy(self.scores[rows])}
        if self.weight is not None:
            y["weight"] = torch.from_numpy(self.weight[rows])
        if self.best is not None:
            best = self.best[rows]
            if self.winner_only and best.shape[1] > 1:
                winner = y["score_targets"].argmax(dim=1, keepdim=True)
                x["partitions"] = winner
                best = np.take_along_axis(best, winner.numpy(), axis=1)
            y["key_targets"] = torch.from_numpy(self.keys[best].astype(np.float32))
        return x, y


class Batches:
    """Batches of a :class:`TrainingData`, gathered by array indexing.

    Takes the place of a torch ``DataLoader``, which collates row by row.

    Parameters
    ----------
    dataset : TrainingData
    batch_size : int
    seed : int or None, default=None
        Rows are shuffled anew in each pass from this seed; None keeps their order.
    """

    def __init__(
        self, dataset: TrainingData, batch_size: int, *, seed: int | None = None
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self._rng = None if seed is None else np.random.default_rng(seed)

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        order = np.arange(len(self.dataset))
        if self._rng is not None:
            self._rng.shuffle(order)
        for rows in row_blocks(len(order), self.batch_size):
            yield self.dataset.take(order[rows])
