"""How many new queries will have a best key that no known query has."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

__all__ = ["MissingMass"]

# Most by which a slope may grow from one doubling to the next.
_STEEPEST = 3.0


class MissingMass:
    r"""Estimates from the best keys of queries that come in independent groups.

    A key wins in a group if it is the best key of at least one of its queries. Let
    :math:`s_m` be the share of the queries whose best key wins in :math:`m` of the
    :math:`G` groups. For a random query, its best key wins in none of :math:`t` random
    other groups with probability

    .. math:: M(t) = \sum_m s_m \binom{G - m}{t} \Big/ \binom{G - 1}{t}.

    That is the mean over all samples of groups, and so an unbiased estimate (a
    U-statistic) of the missing mass after :math:`t` groups where groups are drawn
    independently and are of one size, and a consistent one where sizes differ. All the
    groups give :math:`M(G - 1) = s_1`; without groups this is the number of keys that
    won once over the number of queries, the estimate of Good and Turing [1]_.

    Parameters
    ----------
    best : ndarray of shape (n_queries,)
        Best key of each query, an integer.
    groups : ndarray of shape (n_queries,) or None, default=None
        Group of each query, in ``0..n_groups - 1``. None: every query is one.

    Attributes
    ----------
    n_queries : int
        Number of queries.
    n_groups : int
        Number of groups.
    n_winners : int
        Keys that won.
    share : ndarray of shape (n_counts,)
        Share of the queries whose best key has won in as many groups as ``count`` says.
    count : ndarray of shape (n_counts,)
        Those of the numbers 1, 2, ..., ``n_groups`` that occur, ascending.
    standard_error : float
        Of :math:`s_1` as an estimate of the missing mass of these very queries, by the
        formula of Esty [2]_ with sums over groups in the place of counts.

    References
    ----------
    .. [1] Good, "The Population Frequencies of Species and the Estimation of Population
       Parameters", Biometrika 40, 1953.
    .. [2] Esty, "A Normal Limit Law for a Nonparametric Estimator of the Coverage of a
       Random Sample", The Annals of Statistics 11, 1983.

    Examples
    --------
    Of eight queries two have a best key of their own, 4 and 9:

    >>> import numpy as np
    >>> from sk_amips.learnability import MissingMass
    >>> wins = MissingMass(np.array([3, 3, 7, 7, 7, 9, 4, 3]))
    >>> print(f"{wins(7):.2f} after all of them, {wins(3):.2f} after three")
    0.25 after all of them, 0.46 after three
    """

    def __init__(self, best: np.ndarray, groups: np.ndarray | None = None):
        if groups is None:
            groups = np.arange(len(best))
        self.n_queries = len(best)
        self.n_groups = int(groups.max()) + 1
        keys, best = np.unique(best, return_inverse=True)
        self.n_winners = len(keys)
        # A win is a key together with a group; wins are in order of keys.
        wins, n_wins = np.unique(best * self.n_groups + groups, return_counts=True)
        key, group = np.divmod(wins, self.n_groups)
        count = np.bincount(key)[key]
        shares = np.bincount(count, weights=n_wins) / self.n_queries
        self.count = np.flatnonzero(shares)
        self.share = shares[self.count]
        self.standard_error = self._error(group, n_wins, count)

    def _error(self, group: np.ndarray, n_wins: np.ndarray, count: np.ndarray) -> float:
        """Standard error; ungrouped, ``sqrt(n_1 (1 - n_1 / n) + 2 n_2) / n``."""
        once = np.bincount(group, n_wins * (count == 1), self.n_groups)
        sizes = np.bincount(group, n_wins, self.n_groups)
        own = np.square(once - self(self.n_groups - 1) * sizes).sum()
        # Keys of two groups are new to each of them but for the other.
        n_first, n_second = n_wins[count == 2].reshape(-1, 2).T
        first, second = group[count == 2].reshape(-1, 2).T
        _, pair = np.unique(first * self.n_groups + second, return_inverse=True)
        shared = np.bincount(pair, n_first) * np.bincount(pair, n_second)
        return float(own + 2 * shared.sum()) ** 0.5 / self.n_queries

    def __call__(self, n_groups):
        """Expected missing mass after fewer groups, 0 to ``G - 1``, drawn at random."""
        t, m = np.asarray(n_groups)[..., None], self.count
        total = self.n_groups
        left = np.maximum(total - m - t, 0)
        none_of = gammaln(total - m + 1) - gammaln(left + 1)
        none_of += gammaln(total - t) - gammaln(total)
        return np.where(m + t <= total, np.exp(none_of), 0.0) @ self.share

    def extrapolate(self, factor):
        """Missing mass after ``factor`` times as many groups, at least 1.

        On logarithmic axes it falls ever faster: the slope of each further doubling is
        that of the one before times the ratio of the last two slopes that are known.

        Parameters
        ----------
        factor : float or array-like of float
            How many times as many groups.

        Returns
        -------
        missing_mass : float or ndarray
            Of the shape of ``factor``.
        """
        G = self.n_groups
        quarter, half, last = self(np.array([G // 4, G // 2, G - 1]))
        doublings = np.log2(np.asarray(factor, dtype=float))
        if last == 0 or half >= quarter:
            return np.full_like(doublings, last)
        before, now = np.log2(half / quarter), np.log2(last / half)
        ratio = np.clip(now / before, 0.5, _STEEPEST)
        # Of a geometric series, whole terms of which are whole doublings.
        terms = doublings if ratio == 1 else (ratio**doublings - 1) / (ratio - 1)
        return last * 2.0 ** (now * ratio * terms)
