"""Queries with their targets, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from torch import Tensor
from torch.utils.data import Dataset

from .._validation import row_blocks
from ..losses import top_weights
from ..nn import unit_rows
from ._sampling import match_partitions

__all__ = ["Batches", "Matching", "TrainingData"]


@dataclass(frozen=True)
class Matching:
    """Which of the keys of a query are matched, and what counts how much.

    Attributes
    ----------
    partitions : {"best", "all"} or int
        Match the best key of the best partition, of all partitions, or of so many
        sampled ones, whose loss is an unbiased estimate of that of all.
    temperature : float or None
        Of :func:`~sk_amips.losses.top_weights`, in units of the scores; None: all
        partitions count alike.
    consistency : bool
        Whether scores are those of the matched keys, and so of their partitions alone.
    """

    partitions: Literal["best", "all"] | int = "all"
    temperature: float | None = None
    consistency: bool = False


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
    best : ndarray of shape (n, c, k), dtype int64, or None
        Rows of ``keys`` that attain them; the key to match is the sum of the k.
    keys : ndarray of shape (n_keys, d) or None
        The key matrix, by reference; rows are gathered batch by batch. Both None: there
        are scores alone to learn from.
    threshold : ndarray of shape (n, 1), dtype float32, or None
        Score of the k-th best key of all, where partitions with keys as good count
        most; None: that of the best.
    winner : ndarray of shape (n,), dtype int64, or None
        Partition of the best key of all.
    weight : ndarray of shape (n,), dtype float32, or None
        Weights of the queries, of mean one.
    unit : float or None
        Typical size of the scores, where it is not that of the keys' norms.
    rows : ndarray of shape (n_rows,), dtype int64, or None
        Which of the queries these data are; None: all.
    matching : Matching
        What is learned from them.
    """

    queries: np.ndarray
    scores: np.ndarray
    best: np.ndarray | None = None
    keys: np.ndarray | None = None
    threshold: np.ndarray | None = None
    winner: np.ndarray | None = None
    weight: np.ndarray | None = None
    unit: float | None = None
    rows: np.ndarray | None = None
    matching: Matching = Matching()

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

    def field(self, name: str) -> np.ndarray | None:
        """The rows of these data of an attribute with a row for each query."""
        values = getattr(self, name)
        return values if values is None or self.rows is None else values[self.rows]

    def extend(self, more: TrainingData) -> TrainingData:
        """Both data sets in one, with what else this one says; weights default to 1."""
        joined = {"rows": None}
        for name in ("queries", "scores", "best", "threshold", "winner", "weight"):
            mine, theirs = self.field(name), more.field(name)
            if mine is not None and theirs is None:
                theirs = np.ones(len(more), dtype=mine.dtype)  # a weight
            joined[name] = None if mine is None else np.concatenate([mine, theirs])
        return replace(self, **joined)

    def take(
        self, rows: np.ndarray, rng: np.random.Generator | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Network inputs and targets of a batch, as CPU tensors.

        ``rng`` samples partitions, where these are to be sampled.
        """
        if self.rows is not None:
            rows = self.rows[rows]
        x = {"x": torch.from_numpy(unit_rows(self.queries[rows])[1])}
        y = {"score_targets": torch.from_numpy(self.scores[rows])}
        for name in ("winner", "weight"):
            values = getattr(self, name)
            if values is not None:
                y[name] = torch.from_numpy(values[rows])
        weights = self._partition_weights(y["score_targets"], rows)
        if weights is not None:
            y["score_partition_weight"] = weights
        if self.best is not None:
            self._take_keys(rows, x, y, weights, rng)
        return x, y

    def _partition_weights(self, scores: Tensor, rows: np.ndarray) -> Tensor | None:
        if scores.shape[1] == 1 or self.matching.temperature is None:
            return None
        threshold = self.threshold
        if threshold is not None:
            threshold = torch.from_numpy(threshold[rows])
        return top_weights(scores, self.matching.temperature, threshold)

    def _take_keys(self, rows, x: dict, y: dict, weights, rng) -> None:
        """Keys to match, in ``y``, and of which partitions they are, in ``x``."""
        best = self.best[rows]
        partitions, key_weights = match_partitions(
            y["score_targets"], self.matching.partitions, weights, rng
        )
        if partitions is not None:
            x["partitions"] = partitions
            best = np.take_along_axis(best, partitions.unsqueeze(2).numpy(), axis=1)
        if self.matching.consistency:
            # Scores are those of the matched keys.
            y.pop("score_partition_weight", None)
            if partitions is not None:
                y["score_targets"] = y["score_targets"].gather(1, partitions)
        if key_weights is not None:
            y["key_partition_weight"] = key_weights
            if self.matching.consistency:
                y["score_partition_weight"] = key_weights
        keys = self.keys[best].astype(np.float32).sum(axis=2)
        y["key_targets"] = torch.from_numpy(keys)


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
        # Without shuffling every pass is the same, and so are its samples.
        rng = np.random.default_rng(0) if self._rng is None else self._rng
        for rows in row_blocks(len(order), self.batch_size):
            yield self.dataset.take(order[rows], rng)
