"""AmortizedNeighbors: ask for a recall, and visit as few lists as it takes."""

from __future__ import annotations

from copy import copy
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import MetaEstimatorMixin, _fit_context
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._samples import checked_groups
from ..exact._search import check_k
from ._bounds import ListBounds
from ._calibrating import Calibrates
from ._code_lists import CodeLists
from ._engine import Engine, directions
from ._export import to_faiss
from ._faiss_lists import FaissLists
from ._held_out import fitted_routers, noisy_keys
from ._list_scores import list_scorer
from ._report import work_report
from ._sharded import SearchesShards
from ._shards import checked_shards, shards_or_none
from ._stored import lists_state, restored_engine

__all__ = ["AmortizedNeighbors"]

# Queries by which errors of codes are measured.
_MEASURED = 512


class AmortizedNeighbors(MetaEstimatorMixin, Calibrates, SearchesShards):
    """Search keys in lists, visited in a router's order until a recall is reached.

    A router predicts for every query the best score in each list of keys. Lists are
    visited whose prediction, raised by a margin, reaches a bar between the mean and the
    largest prediction, or, in a second round, the k-th best score found in the first:
    whichever takes less work. The margin is calibrated on held-out queries, so that new
    ones find ``target_recall`` of their k best keys.

    Parameters
    ----------
    router : estimator or list of estimators
        :class:`SupportNetRegressor`, :class:`KeyNetRegressor`, :class:`LinearRouter`,
        :class:`OptimisticRouter` or :class:`CentroidRouter` with its keys. A fitted one
        is used as it is; any other is cloned and fitted on part of the queries.
        ``FrozenEstimator(router)`` stays fitted in clones. Of several, over the lists
        of the first, the one is used that takes the least work for the recall.
    lists : {"flat", "pqfastscan", "rabitq"}, default="flat"
        "flat" gives the exact best keys of the lists visited: short codes that this
        processor multiplies fast rule out most keys, the keys themselves decide. The
        others are compressed lists of Faiss, whose best keys are re-ranked with the
        keys themselves: 4 bits for every other coordinate, or one bit a coordinate.
    k : int, default=10
        Number of keys that searches are made for.
    target_recall : float or None, default=None
        Share of the k best keys to find, in the mean over queries.
    n_probe : int or None, default=None
        Number of lists that every query visits, in place of a recall. With neither, nor
        a budget, results are exact: bounds tell which lists can be left out.
    max_lists, max_keys : int or None, default=None
        Budget for a query: lists to visit, keys in them. Alone or beside
        ``target_recall``. Exceeded where it would not pay for ``k`` keys.
    fallback : bool, default=True
        Whether to use a simpler router over the same lists where that takes fewer
        multiply-accumulates, with a warning: one that nothing trains, or, in place of a
        network that this fit has trained, a linear one. At least 100 queries have to be
        there to choose by. Never with ``n_probe`` or a budget, where the router decides
        what is found (as it does in ``search(X, n_probe=...)``).
    calibration_fraction : float or "auto", default="auto"
        Share of the queries of :meth:`fit`, or of their groups, that is held out to
        choose and to calibrate, if the router is not fitted yet; all of them do where
        it is. "auto" is a tenth, of few queries 500 and at most a third.
    shards : int, array-like of shape (n_partitions,) or None, default=None
        Number of shards, for keys that no one machine holds: :meth:`fit` places whole
        lists on them, so that queries touch few, none with more than 1.1 times the mean
        number of keys where the lists allow it. An array has the shard of each list,
        from 0 on. None is one shard. A list of a shard that is not touched yet has to
        be predicted better, by a toll that spares most shards for a tenth more
        multiply-accumulates at most. See :meth:`shard` and :meth:`search_by_shard`.
    n_jobs : int or None, default=None
        Batches of queries searched at the same time, by threads of joblib, or shards
        asked by :meth:`search_by_shard`.
    random_state : int, RandomState instance or None, default=None
        Of the split into training and calibration queries.

    Attributes
    ----------
    router_ : estimator
        The router that searches use.
    learned_router_ : estimator
        The router as it was fitted, or the best of several: another one than
        ``router_`` where it does not pay.
    keys_ : ndarray or memmap of shape (n_keys, n_features)
        The keys, by reference.
    partition_ : Partition
        The lists.
    shards_ : ndarray of shape (n_partitions,), dtype int64
        Shard of each list.
    calibrations_ : dict of int to Calibration
        By the number of keys wanted; see :meth:`calibrate`.
    report_ : dict
        Work on the calibration queries at ``target_recall`` (0.95 where it is None):
        for ``"router"`` and for plain ``"centroids"`` with equally many probes for all
        queries the ``"recall"``, ``"lists_visited"``, ``"keys_scanned"`` and
        ``"macs"``, multiply-accumulates with those of the router itself; their ratios
        ``"keys_ratio"`` and ``"macs_ratio"``; ``"worth_it"``, whether the index saves
        work; and ``"break_even"``, after how many queries the work of labelling and
        training has been saved (None: never, or not by a router of this fit). Beside
        them what was ``"chosen"``: "router" (of several "router 0" and so on), or where
        that does not pay "centroids", "optimistic" or "linear", which all figures are
        about then; the
        ``"candidates"``, with ``"keys_scanned"`` and ``"macs"`` of each on the
        ``"n_tuning"`` queries that chose (empty: nothing was compared); and the stop:
        ``"share"`` of the way from mean to best at which the bar lies (None: all
        queries visit equally many lists, one more than ``"margin"``), ``"band"`` of the
        first round (None: there is one round), and ``"margin"``.
    n_features_in_ : int
        Number of features of queries and keys.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where the queries had names.

    See Also
    --------
    sk_amips.exact_search : Exact search without lists.

    Notes
    -----
    Searches run on the CPU, with torch's threads. With "flat" lists the codes take a
    quarter of the keys' bytes where they are of 8 bits.

    The recall is promised in the mean, for queries like the calibration queries: see
    ``Calibration``. Compressed lists lose some of the best keys; how many is measured
    on the calibration queries and made up for.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips import AmortizedNeighbors, CentroidRouter
    >>> rng = np.random.default_rng(0)
    >>> keys = rng.normal(size=(2000, 16))
    >>> queries = rng.normal(size=(1000, 16))
    >>> router = CentroidRouter(keys, random_state=0)
    >>> index = AmortizedNeighbors(router, k=5, target_recall=0.9, random_state=0)
    >>> new = rng.normal(size=(200, 16))
    >>> scores, indices = index.fit(queries).search(new)
    >>> indices.shape, 0.85 < index.score(new) < 0.95
    ((200, 5), True)
    >>> _, n_keys = index.visited(new)
    >>> bool(n_keys.mean() < 0.4 * len(keys))
    True
    """

    _parameter_constraints: dict = {
        "router": [HasMethods(["fit"]), list, tuple],
        "lists": [StrOptions({"flat", "pqfastscan", "rabitq"})],
        "k": [Interval(Integral, 1, None, closed="left")],
        "target_recall": [Interval(Real, 0, 1, closed="neither"), None],
        "n_probe": [Interval(Integral, 1, None, closed="left"), None],
        "max_lists": [Interval(Integral, 1, None, closed="left"), None],
        "max_keys": [Interval(Integral, 1, None, closed="left"), None],
        "fallback": ["boolean"],
        "calibration_fraction": [
            Interval(Real, 0, 1, closed="neither"),
            StrOptions({"auto"}),
        ],
        "shards": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    # Metadata routing passes groups on unless told otherwise, as to splitters: without
    # them queries of a group would straddle a split in here.
    __metadata_request__fit = {"groups": True}

    def __init__(
        self,
        router,
        *,
        lists="flat",
        k=10,
        target_recall=None,
        n_probe=None,
        max_lists=None,
        max_keys=None,
        fallback=True,
        calibration_fraction="auto",
        shards=None,
        n_jobs=None,
        random_state=None,
    ):
        self.router = router
        self.lists = lists
        self.k = k
        self.target_recall = target_recall
        self.n_probe = n_probe
        self.max_lists = max_lists
        self.max_keys = max_keys
        self.fallback = fallback
        self.calibration_fraction = calibration_fraction
        self.shards = shards
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, *, groups=None, X_cal=None):
        """Fit the router, unless it is fitted, put keys in lists, and calibrate.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features) or None
            Queries. Where the router is fitted, they must be unknown to it: they only
            calibrate then. None, where there is no log yet: the router learns from
            noisy keys, and others calibrate, with a warning. Where the keys of the
            router are None, the queries are the keys too; if it learns, it has then
            seen what calibrates, unless ``X_cal`` is given.
        y : Ignored
            Present for scikit-learn's convention.
        groups : array-like of shape (n_queries,), default=None
            Source of each query: queries of one group never straddle a split. The
            promise counts queries: with few large groups, take one query of each.
        X_cal : array-like of shape (n_calibration_queries, n_features), default=None
            Queries to calibrate on, in place of some of ``X``: they must be unknown to
            the router.

        Returns
        -------
        self : object
            The fitted index.

        Raises
        ------
        ValueError
            If ``n_probe`` comes with ``target_recall``, ``k`` is larger than the number
            of keys, no query is left to calibrate on, several routers do not have the
            same keys and, fitted, the same lists, or ``shards`` do not fit the lists.
        """
        twin = copy(self)
        twin._fit(X, groups, X_cal)
        self.__dict__ = vars(twin)
        return self

    def _fit(self, X, groups, X_cal) -> None:
        """:meth:`fit`, in place."""
        if self.n_probe is not None and self.target_recall is not None:
            raise ValueError("Give n_probe or target_recall, not both.")
        if isinstance(self.router, list | tuple) and not self._is_same_for_all():
            raise ValueError(
                "Of several routers one is chosen by its work for a recall: give "
                "target_recall, and neither n_probe nor a budget."
            )
        if self._is_exact() and self.lists != "flat":
            raise ValueError(
                f"{self.lists!r} lists are never exact: give target_recall, n_probe, "
                "max_lists or max_keys."
            )
        rng = check_random_state(self.random_state)
        if X is None:
            if groups is not None:
                raise ValueError("groups must be None where X is.")
            X_cal = noisy_keys(self.router, rng) if X_cal is None else X_cal
            X_cal = self._checked(X_cal, reset=True)
        else:
            X = self._checked(X, reset=True)
        groups = checked_groups(groups, X)
        if X_cal is not None and X is not None:
            X_cal = self._checked(X_cal, reset=False)
        routers, X_cal, groups, X_train = fitted_routers(
            self.router, X, X_cal, groups, self.calibration_fraction, rng
        )
        router = routers[0]
        keys, partition = router.keys_, router.partition_
        check_k(self.k, len(keys))
        shards = checked_shards(self.shards, partition.n_partitions)
        seed = int(rng.randint(np.iinfo(np.int32).max))
        if self.lists == "flat":
            lists = CodeLists(keys, partition, router.key_norms_.max)
            if not self._is_exact():
                some = X_cal[X_cal.any(axis=1)][:_MEASURED]
                lists.measure_errors(directions(some), seed)
        else:
            largest = router.key_norms_.max
            lists = FaissLists(keys, partition, largest, self.lists, seed)
        self.router_ = self.learned_router_ = router
        self.keys_, self.partition_ = keys, partition
        self._engine = Engine(keys, lists, list_scorer(router))
        self._bounds = ListBounds(keys, partition) if self._is_exact() else None
        tuning, held_out = self._with_best(X_cal, groups, self.k, rng)
        stop, gate = self._gate(routers, tuning, X_train)
        self._place(shards, tuning, stop, X_train, rng)
        if self._engine.shards is not None:
            stop = self._stop(tuning, self.k)
        self.calibrations_ = {}
        if self.k > 1:
            self._calibrate(tuning, held_out, 1, self._stop(tuning, 1))
        self._calibrate(tuning, held_out, self.k, stop)
        queries, best = held_out
        work = work_report(
            self._engine,
            self.router_,
            queries,
            partition.labels_[best],
            self.calibrations_[self.k],
            self._target(),
            is_new=X_train is not None,
        )
        self.report_ = work | gate

    @property
    def query_map_(self):
        """A fitted transformer from queries to the keys predicted for them.

        For graph indexes: enter with the mapped query, re-rank with the true one.
        """
        check_is_fitted(self)
        router = self.learned_router_
        if not hasattr(router, "transform"):
            raise AttributeError(f"{type(router).__name__} maps no queries.")
        return FrozenEstimator(router)

    def to_faiss(self):
        """Make a plain ``faiss.IndexIVFFlat`` that visits the same lists.

        Its coarse quantizer holds the weights of a linear router, or the centroids, so
        that nothing of this library is needed to search it. Probing all its lists is
        exact.

        Returns
        -------
        index : faiss.IndexIVFFlat
            With a copy of the keys, and ``nprobe`` as ``n_probe``, or as many as it
            takes all queries for ``target_recall``, or all.

        Raises
        ------
        ValueError
            If ``router_``, after a fallback, is not a :class:`CentroidRouter` or a
            :class:`LinearRouter` with ``fit_intercept=False``.
        """
        check_is_fitted(self)
        n_probe = self.n_probe
        if n_probe is None and self.target_recall is not None:
            rank = self._calibration(self.k).rank
            quantile = np.quantile(rank, self.target_recall, method="inverted_cdf")
            n_probe = int(quantile) + 1
        return to_faiss(self.router_, n_probe)

    _private_state: ClassVar[tuple[str, ...]] = ("_lists", "_is_bounded")

    def _to_state(self) -> dict:
        state = super()._to_state()
        if "router_" in state:
            state["_lists"] = lists_state(state.pop("_engine").lists)
            state["_is_bounded"] = state.pop("_bounds") is not None
        return state

    def _restore(self, state: dict) -> None:
        super()._restore(state)
        if "router_" in state:
            if not hasattr(self, "shards_"):  # of releases without shards
                self.shards_ = np.zeros(self.partition_.n_partitions, dtype=np.int64)
            self._engine = restored_engine(self.router_, self._lists)
            self._engine.shards = shards_or_none(self.shards_)
            bounded = self._is_bounded
            self._bounds = ListBounds(self.keys_, self.partition_) if bounded else None
            del self._lists, self._is_bounded

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "report_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags
