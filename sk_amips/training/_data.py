"""Queries with their targets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from torch.utils.data import Dataset

__all__ = ["FIELDS", "Matching", "TrainingData"]

# What has a row for each query.
FIELDS = ("queries", "scores", "best", "threshold", "best_lists", "weight")


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

    The networks are homogeneous, so all scores are those of the queries' directions.

    Attributes
    ----------
    queries : ndarray of shape (n, d), dtype float32
        Directions of the queries: ``x / ||x||``, zero for a zero query.
    scores : ndarray of shape (n, c), dtype float32
        Support values of the queries' directions, one a partition.
    best : ndarray of shape (n, c or 1, k), dtype int64, or None
        Rows of ``keys`` that attain them; the key to match is the sum of the k. One of
        several partitions is the first of ``best_lists``.
    keys : ndarray of shape (n_keys, d) or None
        The key matrix, by reference. Both None: there are scores alone to learn from.
    threshold : ndarray of shape (n, 1), dtype float32, or None
        Score of the k-th best key of all, where partitions with keys as good count
        most; None: that of the best.
    best_lists : ndarray of shape (n, k), dtype int64, or None
        Partitions of the k best keys of all.
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
    best_lists: np.ndarray | None = None
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
        for name in FIELDS:
            mine, theirs = self.field(name), more.field(name)
            if mine is not None and theirs is None:
                theirs = np.ones(len(more), dtype=mine.dtype)  # a weight
            joined[name] = None if mine is None else np.concatenate([mine, theirs])
        return replace(self, **joined)
