"""What is known before training, and how it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["LearnabilityReport", "MissingMassCurve"]

# The last points of the curve.
_SIZES = (
    "after a quarter of these queries",
    "after half of them",
    "after all of them",
    "after twice as many, extrapolated",
    "after four times as many, extrapolated",
)
_ROUTERS = {
    "centroids": "lists by centroids, untrained",
    "optimistic": "lists by OptimisticRouter, untrained",
    "linear": "lists by LinearRouter, trained",
}


# The linter of docstrings does not see constructors that are not written out.
class MissingMassCurve(NamedTuple):  # numpydoc ignore=PR02
    """Missing mass by the number of queries.

    Parameters
    ----------
    n_queries : ndarray of shape (9,)
        From a 64th of the queries to four times as many, each twice the one before.
    missing_mass : ndarray of shape (9,)
        Share of new queries whose best key none of so many queries has; up to the
        number of queries that there are, the mean over random samples of the groups.
    extrapolated : ndarray of shape (9,), dtype bool
        True for more queries than there are.

    Examples
    --------
    The more queries are known, the fewer new ones have a best key of their own:

    >>> import numpy as np
    >>> from sk_amips import learnability_report
    >>> rng = np.random.default_rng(0)
    >>> keys = rng.normal(size=(400, 16))
    >>> queries = keys[rng.integers(50, size=1000)] + rng.normal(size=(1000, 16))
    >>> curve = learnability_report(keys, queries, random_state=0).missing_mass_curve
    >>> curve.n_queries[-3:]  # the log as it is, and two that are foretold
    array([1000, 2000, 4000])
    >>> bool((np.diff(curve.missing_mass) < 0).all())
    True
    """

    n_queries: np.ndarray
    missing_mass: np.ndarray
    extrapolated: np.ndarray


@dataclass
class LearnabilityReport:  # numpydoc ignore=PR02
    """What :func:`learnability_report` has found; as a string, a table of it.

    Parameters
    ----------
    n_keys : int
        Number of keys.
    n_queries : int
        Number of queries that the report is about: not zero, and at most
        ``max_queries``.
    n_groups : int
        Number of their groups.
    missing_mass : float
        Share of new queries whose best key has never been the best key of a query.
    missing_mass_error : float
        Standard error of ``missing_mass``.
    missing_mass_curve : MissingMassCurve
        The missing mass for fewer queries and for more.
    winning_keys : float
        Share of the keys that are the best key of at least one query.
    shift : float
        How well queries and keys can be told apart by their directions: area under the
        ROC curve of a linear classifier on held-out queries and keys, 0.5 (not at all)
        to 1 (without error); nan with a single key.
    recalls : ndarray of shape (n_recalls,)
        Rates at which the best key is to be found: 0.8, 0.9, 0.95, 0.99 and the target.
    keys_scanned : dict of str to ndarray of shape (n_recalls,)
        Share of the keys that have to be scanned for these rates, all queries visiting
        equally many lists, by router: "centroids" and "optimistic", which are not
        trained, and "linear", trained on up to 8,192 queries. Measured on up to 4,096
        queries of other groups.
    ranking_work : dict of str to float
        Multiplications that ranking the lists takes, as a share of those of a scan of
        all keys.
    target_recall : float
        The recall that the gain is about.
    linear_gain : float
        Keys scanned at that recall with centroids, over those with the linear router.
    n_test : int
        Queries that it is measured on.
    expected_gain : {"little", "some", "much", "unknown"}
        What a trained network may be expected to spare. A rule of thumb, not a
        measurement: "little" where ``linear_gain`` is below 1.1, "much" from 1.4 on;
        "unknown" where ``n_test`` is below 100.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips import learnability_report
    >>> rng = np.random.default_rng(0)
    >>> keys = rng.normal(size=(400, 16))
    >>> queries = keys[rng.integers(50, size=1000)] + rng.normal(size=(1000, 16))
    >>> report = learnability_report(keys, queries, random_state=0)
    >>> print(str(report).splitlines()[0])
    1,000 queries; 400 keys, of which 47.8% are the best of a query
    >>> bool((np.diff(report.keys_scanned["linear"]) > 0).all())  # by rising recall
    True
    """

    n_keys: int
    n_queries: int
    n_groups: int
    missing_mass: float
    missing_mass_error: float
    missing_mass_curve: MissingMassCurve
    winning_keys: float
    shift: float
    recalls: np.ndarray
    keys_scanned: dict[str, np.ndarray]
    ranking_work: dict[str, float]
    target_recall: float
    linear_gain: float
    n_test: int
    expected_gain: str

    def __str__(self) -> str:
        groups = f" in {self.n_groups:,} groups" * (self.n_groups < self.n_queries)
        lines = [
            f"{self.n_queries:,} queries{groups}; {self.n_keys:,} keys, of which "
            f"{self.winning_keys:.1%} are the best of a query",
            "new queries whose best key is that of no known query",
        ]
        last = self.missing_mass_curve.missing_mass[-len(_SIZES) :]
        for name, mass in zip(_SIZES, last, strict=True):
            error = f" ± {2 * self.missing_mass_error:.1%}" * (name == _SIZES[2])
            lines.append(f"  {name:<40}{mass:>7.1%}{error}")
        lines.append(f"queries told from keys (0.5: not, 1: always){self.shift:>5.2f}")
        recalls = "".join(f"{recall:>8.4g}" for recall in self.recalls)
        judged = f"keys scanned at recall ({self.n_test:,} queries)"
        lines.append(f"{judged:<38}{recalls}  + ranking lists")
        for name, shares in self.keys_scanned.items():
            shares = "".join(f"{share:>8.1%}" for share in shares)
            lines.append(
                f"  {_ROUTERS[name]:<36}{shares}{self.ranking_work[name]:>15.1%}"
            )
        lines.append(
            f"expected gain of training: {self.expected_gain} (at "
            f"{self.target_recall:.4g} linear scans {1 / self.linear_gain:.0%} of "
            f"centroids' keys)"
        )
        return "\n".join(lines)
