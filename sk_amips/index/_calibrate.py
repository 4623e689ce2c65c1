"""Calibration of the stop rule on queries that nothing was learned from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._validation import row_blocks
from ._engine import Engine, directions
from ._rules import ScoreStop

__all__ = ["Calibration", "calibrate", "choose_band", "count_losses"]

# Mean numbers of first lists that are tried.
_N_FIRST = (1, 2, 3, 4, 6, 8, 12, 16)
# Share of the misses allowed that compressed lists may take up.
_LOST = 0.2
# Times that the margin is corrected for them.
_CORRECTIONS = 5
# Work of a visit, in keys of its list.
_VISIT = 32


@dataclass
class Calibration:
    r"""What margin each wanted key of each calibration query takes to be found.

    With margin :math:`\lambda` the rule misses the keys whose critical margin is
    larger. The share of its k best keys that a query misses can only fall as
    :math:`\lambda` grows, so that conformal risk control [1]_ applies: with the
    smallest :math:`\lambda` for which
    :math:`(\sum_i \text{missed share}_i(\lambda) + 1) / (n + 1) \le 1 - \text{target}`
    over n calibration queries, the expected recall@k of a new query is at least the
    target. That holds for any router and any n if new queries are exchangeable with
    the calibration queries (for instance all drawn independently from one
    distribution). It is a statement on the mean over queries and over calibration sets,
    not one on every query.

    Attributes
    ----------
    band : float or None
        Band of the first lists. None: there are no others, and what is calibrated is
        the band itself.
    critical : ndarray of shape (n, k), dtype float32
        Margin from which on a key is found; -inf: its list is among the first; inf: the
        lists lose it.
    rank : ndarray of shape (n, k), dtype int64
        Number of lists ahead of the key's in the order of predicted scores.
    n_keys : ndarray of shape (n, k), dtype int64
        Keys in these lists and its own.

    References
    ----------
    .. [1] Angelopoulos, Bates, Fisch, Lei and Schuster, "Conformal Risk Control", ICLR
       2024.
    """

    band: float | None
    critical: np.ndarray
    rank: np.ndarray
    n_keys: np.ndarray

    def margin(self, target_recall: float, k: int | None = None) -> float:
        """Smallest margin that keeps the target; inf if n is too small to tell.

        Parameters
        ----------
        target_recall : float
        k : int, default=None
            Number of keys that the recall is about, of those that are searched; None:
            all of them.
        """
        critical = self.critical[:, :k]
        n, k = critical.shape
        affordable = (n + 1) * (1 - target_recall) - 1
        if affordable < -1e-9:
            return np.inf
        n_missed = int(k * affordable + 1e-6)
        if n_missed >= n * k:
            return -np.inf
        return float(-np.partition(-critical, n_missed, axis=None)[n_missed])

    def rule(self, target_recall: float, k: int | None = None) -> ScoreStop:
        """The rule that keeps the target; see :meth:`margin`."""
        return _rule(self.band, self.margin(target_recall, k))

    def lose(self, lost: np.ndarray) -> Calibration:
        """The same, if the lists lose some keys, a mask of shape (n, k)."""
        critical = np.where(lost, np.float32(np.inf), self.critical)
        return replace(self, critical=critical)


def _rule(band: float | None, margin: float) -> ScoreStop:
    if band is None:
        return ScoreStop(max(margin, 0.0), -np.inf)
    return ScoreStop(band, margin)


def calibrate(
    engine: Engine, X: np.ndarray, best_lists: np.ndarray, band: float
) -> Calibration:
    """Critical margins of queries.

    Parameters
    ----------
    engine : Engine
    X : ndarray of shape (n, d)
        Queries, none of them zero.
    best_lists : ndarray of shape (n, k)
        Lists of the k best keys.
    band : float or None
        See :class:`Calibration`.
    """
    k = best_lists.shape[1]
    first = ScoreStop(0.0 if band is None else band, -np.inf)
    critical = np.empty(best_lists.shape, dtype=np.float32)
    rank = np.empty(best_lists.shape, dtype=np.int64)
    n_keys = np.empty_like(rank)
    for rows in row_blocks(len(X), engine.block):
        start = engine.begin(X[rows], k, first)
        lists, query = best_lists[rows].T, np.arange(rows.stop - rows.start)
        reached = start.scores.max(axis=0) if band is None else start.kth
        margin = reached - start.scores[lists, query]
        if band is not None:
            margin[start.mask[lists, query]] = -np.inf
        critical[rows] = margin.T
        order = np.argsort(-start.scores, axis=0, kind="stable")
        place = np.empty_like(order)
        np.put_along_axis(place, order, np.arange(len(order))[:, None], axis=0)
        rank[rows] = place[lists, query].T
        through = np.cumsum(engine.sizes[order], axis=0)
        n_keys[rows] = through[rank[rows].T, query].T
    return Calibration(band, critical, rank, n_keys)


def count_losses(
    engine: Engine,
    X: np.ndarray,
    best: np.ndarray,
    calibration: Calibration,
    target_recall: float,
) -> Calibration:
    """Take into account what compressed lists lose though they are visited.

    More keys are re-ranked until a fifth of the misses allowed is lost in the lists;
    then the margin grows until what it finds in a search is enough. Losses depend on
    the margin, so that they hold for this target alone.

    Parameters
    ----------
    engine : Engine
    X : ndarray of shape (n, d)
        Calibration queries.
    best : ndarray of shape (n, k)
        Their k best keys.
    calibration : Calibration
    target_recall : float
    """
    while True:
        lost = _lost(engine, X, best, calibration, target_recall)
        few = lost.mean() <= _LOST * (1 - target_recall)
        if few or not engine.lists.refine_more():
            break
    for _ in range(_CORRECTIONS):
        corrected = calibration.lose(lost)
        more = _lost(engine, X, best, corrected, target_recall)
        if not (more & ~lost).any():
            break
        lost |= more
    return calibration.lose(lost)


def _lost(engine, X, best, calibration, target_recall) -> np.ndarray:
    """Keys (n, k) that a search with the margin visits and does not find."""
    rule = calibration.rule(target_recall)
    visited = calibration.critical <= calibration.margin(target_recall)
    found = np.concatenate(
        [
            engine.search(X[rows], best.shape[1], rule).indices
            for rows in row_blocks(len(X), engine.block)
        ]
    )
    return visited & ~(best[:, :, None] == found[:, None, :]).any(axis=2)


def choose_band(
    engine: Engine, X: np.ndarray, best_lists: np.ndarray, target_recall: float
) -> float | None:
    """Band of the first lists with which a target takes the least work.

    Parameters
    ----------
    engine : Engine
    X : ndarray of shape (n, d)
        Queries, none of them zero, apart from those of the calibration.
    best_lists : ndarray of shape (n, k)
        Lists of the k best keys.
    target_recall : float

    Returns
    -------
    band : float or None
        See :class:`Calibration`.
    """
    k = best_lists.shape[1]
    X, best_lists = X[: engine.block], best_lists[: engine.block]
    scores = engine.scorer(directions(X)).numpy()
    behind = np.sort(scores.max(axis=0) - scores, axis=None)
    bands = [
        float(behind[min(n_first * len(X), len(behind)) - 1]) for n_first in _N_FIRST
    ]
    least, chosen = np.inf, None
    for band in (None, *bands):
        critical = calibrate(engine, X, best_lists, band).critical
        margin = np.quantile(critical, target_recall, method="inverted_cdf")
        rule = _rule(band, float(margin))
        found = engine.search(X, k, rule, count=True)
        work = found.n_keys.mean() + _VISIT * found.n_lists.mean()
        if work < least:
            least, chosen = work, band
    return chosen
