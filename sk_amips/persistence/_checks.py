"""Values of files that a search would not survive if they were wrong."""

from __future__ import annotations

import numpy as np

from ..index._calibrate import Calibration
from ..partition import Partition
from ._errors import InvalidFileError

__all__ = ["calibration", "partition", "random_state"]


def _need(condition: bool, what: str) -> None:
    if not condition:
        raise InvalidFileError(f"should hold: {what}.")


def partition(labels, centroids) -> Partition:
    """Lists, none of them empty, with a finite centroid each."""
    _need(labels.ndim == 1 and labels.dtype.kind in "iu", "labels are whole numbers")
    _need(centroids.ndim == 2 and centroids.dtype.kind == "f", "centroids are vectors")
    n_lists = len(centroids)
    _need(0 < n_lists <= len(labels), "there are as many lists as centroids")
    _need(bool(np.isfinite(centroids).all()), "centroids are finite")
    _need(labels.min() >= 0 and labels.max() < n_lists, "labels are those of lists")
    _need(bool(np.bincount(labels).all()), "no list is empty")
    return Partition(labels, centroids)


def calibration(share, band, critical, rank, n_keys, toll=0.0) -> Calibration:
    """Margins, ranks and numbers of keys of the same queries."""
    arrays = critical, rank, n_keys
    _need(critical.ndim == 2 and critical.size > 0, "there are calibration queries")
    _need(len({a.shape for a in arrays}) == 1, "margins and ranks are of one shape")
    _need(critical.dtype == np.float32, "margins are float32")
    _need(rank.dtype == n_keys.dtype == np.int64, "ranks are whole numbers")
    _need(not np.isnan(critical).any(), "margins are numbers")
    for value in (share, band):
        _need(value is None or isinstance(value, int | float), "stops are numbers")
    known = isinstance(toll, int | float) and 0 <= toll < np.inf
    _need(known, "a toll is a number, and none is negative")
    return Calibration(share, band, *arrays, toll)


def random_state(name, state, place, has_gauss, gauss) -> np.random.RandomState:
    """A generator in a state that it can have."""
    _need(name == "MT19937", "the generator is a Mersenne twister")
    _need(isinstance(place, int) and 0 <= place <= 624, "it has a place in its state")
    made = np.random.RandomState(0)
    made.set_state((name, state, place, int(has_gauss), float(gauss)))
    return made
