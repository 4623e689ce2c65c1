"""How an index chooses router, stop, shards and toll, and calibrates."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import check_random_state

from .._samples import checked_groups
from ..estimators._base import COLD_NOISE
from ..exact._search import check_k
from ..metrics._work import n_macs
from ..training import noisy_queries
from ._calibrate import calibrate, choose_stop, count_losses
from ._engine import directions
from ._gate import best_of_all, can_tell, candidates, names
from ._held_out import two_uses
from ._placement import place
from ._rules import FixedProbes
from ._shards import shards_or_none
from ._toll import choose_toll

__all__ = ["Calibrates"]

# The stop where no query is left to choose by: one round, within a margin of the best.
_STOP = 1.0, None
# Recall that calibration and report are about where none is asked for.
_TARGET = 0.95
# Queries whose visits place lists on shards, and lists of each where no query tells.
_PLACING, _UNKNOWN = 4096, 8


class Calibrates:
    """What :class:`AmortizedNeighbors` does with queries that it has not learned from.

    Of these some choose, and the others calibrate what was chosen.
    """

    @_fit_context(prefer_skip_nested_validation=False)
    def calibrate(self, X, *, k=None, groups=None):
        """Calibrate anew on other queries, or for another number of keys.

        Router, lists and ``report_`` stay as they are, also after a start without a
        log: where the first queries have come in, another :meth:`fit` learns from them,
        and compares routers by them.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries that the router has not learned from, and that are like those to be
            searched.
        k : int, default=None
            Number of keys wanted; None: that of the constructor, and fewer.
        groups : array-like of shape (n_queries,), default=None
            Source of each query. Those of one group are never split between choosing
            the stop and calibrating it; with one group a stop is not chosen.

        Returns
        -------
        self : object
            The index, with another entry of ``calibrations_``.
        """
        X = self._check_queries(X)
        if k is None:  # all that rest on other queries
            some = sorted({self.k, *(k for k in self.calibrations_ if k <= self.k)})
        else:
            check_k(k, len(self.keys_))
            some = [k]
        groups = checked_groups(groups, X)
        rng = check_random_state(self.random_state)
        tuning, held_out = self._with_best(X, groups, max(some), rng)
        for k in some:
            self._calibrate(tuning, held_out, k, self._stop(tuning, k))
        return self

    def _with_best(self, X, groups, k, rng):
        """Queries to choose by, and others to calibrate on, each with k best keys."""
        some = X.any(axis=1)
        if not some.any():
            raise ValueError("There is no query to calibrate on but zero ones.")
        X, groups = X[some], None if groups is None else groups[some]
        tuning, calibrating = two_uses(X, groups, rng)
        _, best = self.router_._top_k(X, k)
        return (X[tuning], best[tuning]), (X[calibrating], best[calibrating])

    def _gate(self, routers, tuning, X_train) -> tuple[tuple, dict]:
        """Take the router that pays most: its stop, and what to report."""
        X, best = tuning
        called = names(routers)
        gate = {"chosen": called[0], "candidates": {}, "n_tuning": len(X)}
        if not (self._is_same_for_all() and can_tell(routers, len(X))):
            return self._stop(tuning, self.k), gate
        if len(routers) == 1 and not self.fallback:
            return self._stop(tuning, self.k), gate
        tried = candidates(
            routers,
            self._engine,
            X,
            self.partition_.labels_[best],
            self._target(),
            simpler=self.fallback,
            bounds=self._bounds,
            X_train=X_train,
        )
        mine = best_of_all({name: tried[name] for name in called})
        chosen = best_of_all(tried)
        one = tried[chosen]
        self.learned_router_ = tried[mine].router
        if chosen not in called:
            asked = f"a recall of {self.target_recall}"
            warnings.warn(
                f"The {type(self.learned_router_).__name__} takes "
                f"{tried[mine].macs:.3g} multiply-accumulates a query for "
                f"{'exact results' if self._is_exact() else asked}, "
                f"{type(one.router).__name__} {one.macs:.3g}: the index uses the "
                "latter.",
                stacklevel=5,
            )
        self.router_, self._engine = one.router, one.engine
        work = {name: other.work() for name, other in tried.items()}
        return one.stop, gate | {"chosen": chosen, "candidates": work}

    def _is_same_for_all(self) -> bool:
        """Whether what is found does not depend on the router, only the work does."""
        promised = self.target_recall is not None or self._is_exact()
        return promised and self.max_lists is None and self.max_keys is None

    def _place(self, shards, tuning, stop, X_train, rng) -> None:
        """Put lists on shards; where only their number is given, by who visits them."""
        n_lists = self.partition_.n_partitions
        if isinstance(shards, np.ndarray):
            self.shards_ = shards
        elif shards == 1:
            self.shards_ = np.zeros(n_lists, dtype=np.int64)
        else:
            visits = self._visits(tuning, stop, X_train, rng)
            self.shards_ = place(visits, self.partition_.sizes_, shards, rng)
        self._engine.shards = shards_or_none(self.shards_)

    def _visits(self, tuning, stop, X_train, rng) -> np.ndarray:
        """Lists (n_lists, n) that queries visit which calibrate nothing."""
        X, best = tuning
        rule = FixedProbes(_UNKNOWN)
        if len(X):
            lists = self.partition_.labels_[best]
            tuned = calibrate(self._engine, X, lists, *stop)
            rule = tuned.likely_rule(self._target())
        several = [X] if X_train is None else [X, X_train[X_train.any(axis=1)]]
        # Of few queries mere chance would say which lists go together.
        several.append(noisy_queries(self.keys_, _PLACING, COLD_NOISE, rng))
        unit = np.concatenate([directions(some) for some in several if len(some)])
        visits = self._engine.visits(unit[:_PLACING], self.k, rule)
        return np.concatenate([mask for _, mask in visits], axis=1)

    def _calibrate(self, tuning, held_out, k, stop) -> None:
        """Set the calibration for k keys."""
        X, best = held_out
        best = best[:, :k]
        lists = self.partition_.labels_[best]
        toll = self._toll(tuning, k, stop)
        calibration = calibrate(self._engine, X, lists, *stop, toll)
        if self.lists != "flat":
            calibration = count_losses(
                self._engine, X, best, calibration, self._target()
            )
        self.calibrations_[k] = calibration
        promised = self.target_recall is not None and k == self.k
        if promised and calibration.margin(self.target_recall) == np.inf:
            warnings.warn(
                f"A recall of {self.target_recall} cannot be promised with {len(X)} "
                f"calibration queries and {self.lists!r} lists: searches that ask for "
                "it will visit all lists.",
                stacklevel=5,
            )

    def _stop(self, tuning, k) -> tuple:
        """The stop for k keys that takes the least work."""
        X, best = tuning
        if not len(X):
            return _STOP
        lists = self.partition_.labels_[best[:, :k]]
        return choose_stop(self._engine, X, lists, self._target())

    def _toll(self, tuning, k, stop) -> float:
        """The toll for k keys that spares most shards."""
        X, best = tuning
        if self._engine.shards is None or not len(X):
            return 0.0
        lists = self.partition_.labels_[best[:, :k]]
        macs = n_macs(self.router_)
        return choose_toll(self._engine, X, lists, stop, self._target(), macs)

    def _target(self) -> float:
        return _TARGET if self.target_recall is None else self.target_recall
