"""Calibration of the stop rule on queries that nothing was learned from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._validation import row_blocks
from ._engine import Engine
from ._rules import FixedProbes, Rule, ScoreStop, bar, by_list, ranking

__all__ = [
    "Calibration",
    "calibrate",
    "choose_stop",
    "count_losses",
]

# Shares of the bar, and mean numbers of first lists, that are tried.
_SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
_N_FIRST = (1, 2, 3, 4, 6, 8, 12, 16)
# Share of the misses allowed that compressed lists may take up.
_LOST = 0.2
# Times that the margin is corrected for them.
_CORRECTIONS = 5


# The linter of docstrings does not see constructors that are not written out.
@dataclass
class Calibration:  # numpydoc ignore=PR02
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

    Parameters
    ----------
    share : float or None
        How far from the mean to the largest of its predicted scores the bar of a query
        lies. None: equally many lists for all, and what is calibrated is their number.
    band : float or None
        Band of the first lists. None: there are no others, and what is calibrated is
        the band itself.
    critical : ndarray of shape (n, k), dtype float32
        Margin from which on a key is found; -inf: its list is visited anyway; inf: the
        lists lose it.
    rank : ndarray of shape (n, k), dtype int64
        Number of lists ahead of the key's in the order of predicted scores.
    n_keys : ndarray of shape (n, k), dtype int64
        Keys in these lists and its own.
    toll : float, default=0.0
        What the lists of a shard have to be predicted better by, unless the list
        predicted best is there. Margins are about predictions less this; ranks are not.

    References
    ----------
    .. [1] Angelopoulos, Bates, Fisch, Lei and Schuster, "Conformal Risk Control", ICLR
       2024.

    Examples
    --------
    Of 999 queries and one to come a tenth may miss their key, which leaves 99:

    >>> import numpy as np
    >>> from sk_amips.index import Calibration
    >>> critical = np.random.default_rng(0).normal(size=(999, 1)).astype(np.float32)
    >>> place = np.zeros((999, 1), dtype=np.int64)
    >>> calibration = Calibration(1.0, None, critical, rank=place, n_keys=place + 1)
    >>> int((critical > calibration.margin(0.9)).sum())
    99
    >>> calibration.margin(0.9) < calibration.margin(0.95) < calibration.margin(0.9995)
    True
    """

    share: float | None
    band: float | None
    critical: np.ndarray
    rank: np.ndarray
    n_keys: np.ndarray
    toll: float = 0.0

    def __post_init__(self):
        # Once, and not for every search.
        self._descending = np.sort(self.critical, axis=None)[::-1]

    def margin(self, target_recall: float, k: int | None = None) -> float:
        """Smallest margin that keeps the target; inf if n is too small to tell.

        Parameters
        ----------
        target_recall : float
            Share of the k best keys to find, between 0 and 1.
        k : int, default=None
            Number of keys that the recall is about, of those that are searched; None:
            all of them.

        Returns
        -------
        margin : float
            What the predicted scores of a list are raised by, for a query of norm one;
            where ``share`` is None, one less than the number of lists to visit.
        """
        n, k = self.critical[:, :k].shape
        affordable = (n + 1) * (1 - target_recall) - 1
        if affordable < -1e-9:
            return np.inf
        n_missed = int(k * affordable + 1e-6)
        if n_missed >= n * k:
            return -np.inf
        if k == self.critical.shape[1]:
            return float(self._descending[n_missed])
        return float(np.sort(self.critical[:, :k], axis=None)[-1 - n_missed])

    def rule(self, target_recall: float, k: int | None = None) -> Rule:
        """The rule that keeps the target; see :meth:`margin`.

        Parameters
        ----------
        target_recall : float
            As in :meth:`margin`.
        k : int, default=None
            As in :meth:`margin`.

        Returns
        -------
        rule : Rule
            What says which lists a query visits.
        """
        return self._rule_at(self.margin(target_recall, k))

    def likely_rule(self, target_recall: float) -> Rule:
        """The rule with which these very queries reach the target: no promise.

        Parameters
        ----------
        target_recall : float
            Share of all the keys of these queries to find.

        Returns
        -------
        rule : Rule
            What says which lists a query visits.
        """
        return self._rule_at(enough(self.critical, target_recall))

    def first_rule(self, target_recall: float) -> Rule:
        """One round that visits most lists that matter, and promises nothing.

        Parameters
        ----------
        target_recall : float
            As in :meth:`likely_rule`; not used where there are two rounds, of which the
            first is taken.

        Returns
        -------
        rule : Rule
            What says which lists a query visits.
        """
        if self.band is not None:
            return ScoreStop(self.share, self.band, toll=self.toll)
        return self.likely_rule(target_recall)

    def _rule_at(self, margin: float) -> Rule:
        if self.share is None:
            return probes(margin, self.toll)
        if self.band is None:
            return ScoreStop(self.share, band=margin, toll=self.toll)
        return ScoreStop(self.share, self.band, margin, self.toll)

    def lose(self, lost: np.ndarray) -> Calibration:
        """The same, if the lists lose some keys.

        Parameters
        ----------
        lost : ndarray of shape (n, k), dtype bool
            The keys that are not found although their lists are visited.

        Returns
        -------
        calibration : Calibration
            Another one, with infinite critical margins for these keys.
        """
        critical = np.where(lost, np.float32(np.inf), self.critical)
        return replace(self, critical=critical)


def calibrate(
    engine: Engine,
    X: np.ndarray,
    best_lists: np.ndarray,
    share: float | None,
    band: float | None,
    toll: float = 0.0,
) -> Calibration:
    """Critical margins of queries.

    Parameters
    ----------
    engine : Engine
    X : ndarray of shape (n, d)
        Queries, none of them zero.
    best_lists : ndarray of shape (n, k)
        Lists of the k best keys.
    share, band : float or None
        See :class:`Calibration`.
    toll : float, default=0.0
        See :class:`Calibration`.
    """
    critical = np.empty(best_lists.shape, dtype=np.float32)
    rank = np.empty(best_lists.shape, dtype=np.int64)
    n_keys = np.empty_like(rank)
    for rows in row_blocks(len(X), engine.block):
        unit, scores = engine.predict(X[rows])
        lists, query = best_lists[rows].T, np.arange(len(unit))
        order = ranking(scores)
        place = by_list(order, np.arange(len(order))[:, None])
        rank[rows] = place[lists, query].T
        scores = engine.tolled(scores, toll)
        if share is None:
            critical[rows] = _of_probes(engine, scores, lists)
        elif band is None:
            critical[rows] = _of_one_round(engine, scores, lists, share)
        else:
            rule = ScoreStop(share, band)
            start = engine.begin(unit, scores, len(lists), rule)
            critical[rows] = _of_two(start, lists)
        through = np.cumsum(engine.sizes[order], axis=0)
        n_keys[rows] = through[rank[rows].T, query].T
    return Calibration(share, band, critical, rank, n_keys, toll)


def _of_probes(engine, scores, lists) -> np.ndarray:
    """Lists (n, k) ahead of those (k, n) of some keys, none where they do not count."""
    place = by_list(ranking(scores), np.arange(len(scores))[:, None])
    margin = np.take_along_axis(place, lists, axis=0).astype(np.float32)
    query = np.arange(scores.shape[1])
    margin[engine.first(scores, len(lists), FixedProbes(1))[lists, query]] = -np.inf
    return margin.T


def _of_one_round(engine, scores, lists, share) -> np.ndarray:
    """Critical margins (n, k) of keys in lists (k, n), by predicted scores alone."""
    query = np.arange(scores.shape[1])
    margin = bar(scores, share) - scores[lists, query]
    always = engine.first(scores, len(lists), ScoreStop(share, -np.inf))
    margin[always[lists, query]] = -np.inf
    return margin.T


def _of_two(start, lists) -> np.ndarray:
    """Critical margins (n, k) of keys in lists (k, n), after a first round."""
    query = np.arange(len(start.unit))
    margin = start.kth - start.scores[lists, query]
    margin[start.mask[lists, query]] = -np.inf
    return margin.T


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


def choose_stop(
    engine: Engine, X: np.ndarray, best_lists: np.ndarray, target_recall: float
) -> tuple[float | None, float | None]:
    """The share and the band with which a target takes the least work.

    Where there are shards, in one round: another would ask them once more.

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
    share, band : float or None
        See :class:`Calibration`.
    """
    unit, scores = engine.predict(X[: engine.block])
    lists = best_lists[: engine.block].T
    k = len(lists)
    costs = {}
    for share in _SHARES:
        margin = enough(_of_one_round(engine, scores, lists, share), target_recall)
        costs[share, None] = engine.cost(
            engine.first(scores, k, ScoreStop(share, margin))
        )
    share, _ = min(costs, key=costs.get)
    behind = np.sort(bar(scores, share) - scores, axis=None)
    for n_first in _N_FIRST if engine.shards is None else ():
        band = float(behind[min(n_first * len(unit), len(behind)) - 1])
        start = engine.begin(unit, scores, k, ScoreStop(share, band))
        margin = enough(_of_two(start, lists), target_recall)
        more = start.more(ScoreStop(share, band, margin))
        costs[share, band] = engine.cost(start.mask, more)
    margin = enough(_of_probes(engine, scores, lists), target_recall)
    costs[None, None] = engine.cost(engine.first(scores, k, probes(margin)))
    return min(costs, key=costs.get)


def probes(margin: float, toll: float = 0.0) -> FixedProbes:
    """The rule that visits lists which so many others are ahead of."""
    # Of more lists than there are, all are visited.
    return FixedProbes(int(np.clip(margin, 0, 2**31)) + 1, toll)


def enough(critical: np.ndarray, target_recall: float) -> float:
    """Margin with which these very queries reach a recall."""
    return float(np.quantile(critical, target_recall, method="inverted_cdf"))
