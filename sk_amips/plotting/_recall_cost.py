"""RecallCostDisplay: recall against what it costs."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d

from ._axes import add_legend, begin, check_matplotlib, log_scale, percent, style
from ._fitted import as_index, as_router, exact_best, last_fitted, name_of
from ._sweep import sweep

__all__ = ["RecallCostDisplay"]

_LABELS = {
    "keys": "Keys scanned per query (% of all)",
    "macs": "Multiply-accumulates per query",
    "lists": "Lists visited per query",
    "qps": "Queries per second",
}


class RecallCostDisplay:
    """Recall against the cost of a query, of one method or several.

    Make it by :meth:`from_estimator`, by :meth:`from_estimators` or, from numbers that
    were measured elsewhere, by :meth:`from_curves`.

    Parameters
    ----------
    costs : ndarray of shape (n_points,) or list of such
        Cost at each point of a curve, or of each curve; above zero.
    recall : ndarray of shape (n_points,) or list of such
        Recall at each of them, between 0 and 1.
    cost : {"keys", "macs", "lists", "qps"} or str, default="keys"
        What costs are: share of the keys scanned, multiply-accumulates a query with
        those of the router, lists visited, or queries per second. Any other string is
        the label of their axis, units included.
    k : int, default=None
        Number of keys that recall is about, for the label of its axis.
    name : str or list of str, default=None
        Name of the curve, or of each, for the legend.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        One a curve.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    RoutingDisplay : What a router finds in the first lists.
    CalibrationDisplay : Whether an index keeps the recall that was asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.plotting import RecallCostDisplay
    >>> display = RecallCostDisplay(
    ...     costs=np.array([9000, 4000, 1500]),
    ...     recall=np.array([0.8, 0.9, 0.97]),
    ...     cost="qps",
    ...     name="graph",
    ... )
    >>> len(display.plot().lines_)
    1
    """

    def __init__(self, *, costs, recall, cost="keys", k=None, name=None):
        self.costs = costs
        self.recall = recall
        self.cost = cost
        self.k = k
        self.name = name

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        name : str or list of str, default=None
            Names in place of those of the constructor.
        **kwargs : dict
            Keywords of matplotlib's ``plot``, for every curve.

        Returns
        -------
        self : RecallCostDisplay
            With the artists as attributes.
        """
        ax = begin(self, ax)
        from matplotlib.lines import Line2D

        is_one = np.ndim(next(iter(self.recall))) == 0
        costs, recall = self.costs, self.recall
        costs, recall = ([costs], [recall]) if is_one else (costs, recall)
        names = self.name if name is None else name
        if names is None or isinstance(names, str):
            names = [names] * len(recall)
        check_consistent_length(costs, recall, names)
        self.lines_ = []
        for x, y, label in zip(costs, recall, names, strict=True):
            default = {"marker": "o", "markersize": 4, "label": label}
            self.lines_ += ax.plot(x, y, **style(kwargs, default, Line2D))
        log_scale(ax)
        if self.cost == "keys":
            percent(ax.xaxis)
        percent(ax.yaxis)
        ax.set(
            xlabel=_LABELS.get(self.cost, self.cost),
            ylabel="Recall" if self.k is None else f"Recall@{self.k}",
        )
        add_legend(ax, "lower left" if self.cost == "qps" else "lower right")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        k=None,
        cost="keys",
        targets=None,
        n_probes=None,
        exact=None,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Measure a fitted index or router, and draw its curve.

        Parameters
        ----------
        estimator : AmortizedNeighbors, router or Pipeline
            Fitted; of a pipeline, the last step. An index is asked for one recall after
            the other, a router visits more and more lists.
        X : array-like of shape (n_queries, n_features)
            Queries that it has not learned from.
        k : int, default=None
            Number of keys wanted; None: that of an index, 10 of a router.
        cost : {"keys", "macs", "lists"}, default="keys"
            Share of the keys scanned, multiply-accumulates a query with those of the
            router itself, or number of lists visited: all in the mean over queries.
        targets : sequence of float, default=None
            Recalls to ask an index for; None: eight from 0.5 to 0.99.
        n_probes : sequence of int, default=None
            Numbers of lists to visit. None: for a router, and for an index with
            compressed lists, twelve from one list to all.
        exact : tuple of (scores, indices), default=None
            Exact best keys, at least k, as :func:`~sk_amips.exact_search` returns them;
            None: they are searched.
        name : str, default=None
            Name of the curve; None: that of the class.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        **kwargs : dict
            Keywords of matplotlib's ``plot``.

        Returns
        -------
        display : RecallCostDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If a router is asked for a recall.
        ValueError
            If the estimator has a single list, targets come with numbers of lists, or
            an index has no calibration for ``k`` keys.

        Examples
        --------
        >>> import numpy as np
        >>> from sk_amips import CentroidRouter
        >>> from sk_amips.plotting import RecallCostDisplay
        >>> rng = np.random.default_rng(0)
        >>> keys, queries = rng.normal(size=(500, 8)), rng.normal(size=(50, 8))
        >>> router = CentroidRouter(keys, n_partitions=10, random_state=0).fit(queries)
        >>> display = RecallCostDisplay.from_estimator(router, queries, k=5)
        >>> float(display.recall[-1])
        1.0
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        if targets is not None and n_probes is not None:
            raise ValueError("Give targets or n_probes, not both.")
        if targets is not None:
            as_index(last_fitted(estimator, X)[0])
        display = cls._measured(
            [estimator], X, k, cost, targets, n_probes, exact, [name]
        )
        display.costs, display.recall = display.costs[0], display.recall[0]
        display.name = display.name[0]
        return display.plot(ax, **kwargs)

    @classmethod
    def from_estimators(
        cls,
        estimators,
        X,
        *,
        k=None,
        cost="keys",
        targets=None,
        n_probes=None,
        exact=None,
        ax=None,
        **kwargs,
    ):
        """Measure several fitted indexes or routers, and draw their curves.

        Parameters
        ----------
        estimators : dict of str to estimator
            As in :meth:`from_estimator`, by their names.
        X : array-like of shape (n_queries, n_features)
            Queries that none of them has learned from.
        k : int, default=None
            Number of keys wanted; None: the smallest of an index, 10 without any.
        cost : {"keys", "macs", "lists"}, default="keys"
            As in :meth:`from_estimator`.
        targets : sequence of float, default=None
            As in :meth:`from_estimator`, for the indexes.
        n_probes : sequence of int, default=None
            As in :meth:`from_estimator`, for the routers, and for the indexes where
            ``targets`` is None.
        exact : tuple of (scores, indices), default=None
            Exact best keys, as in :meth:`from_estimator`; None: they are searched, once
            for all estimators that have the same keys and queries.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        **kwargs : dict
            Keywords of matplotlib's ``plot``, for every curve.

        Returns
        -------
        display : RecallCostDisplay
            The display, drawn.

        Examples
        --------
        >>> import numpy as np
        >>> from sk_amips import CentroidRouter, OptimisticRouter
        >>> from sk_amips.plotting import RecallCostDisplay
        >>> rng = np.random.default_rng(0)
        >>> keys, queries = rng.normal(size=(500, 8)), rng.normal(size=(50, 8))
        >>> routers = {
        ...     "centroids": CentroidRouter(keys, n_partitions=10).fit(queries),
        ...     "optimistic": OptimisticRouter(keys, n_partitions=10).fit(queries),
        ... }
        >>> display = RecallCostDisplay.from_estimators(routers, queries, cost="macs")
        >>> [line.get_label() for line in display.lines_]
        ['centroids', 'optimistic']
        """
        check_matplotlib(f"{cls.__name__}.from_estimators")
        if not estimators:
            raise ValueError("estimators must hold at least one, got none.")
        display = cls._measured(
            list(estimators.values()),
            X,
            k,
            cost,
            targets,
            n_probes,
            exact,
            list(estimators),
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_curves(cls, curves, *, cost="qps", k=None, ax=None, **kwargs):
        """Draw curves that were measured elsewhere, such as queries per second.

        Parameters
        ----------
        curves : dict of str to (costs, recall)
            Two array-likes of shape (n_points,) of each method, by its name.
        cost : str, default="qps"
            What costs are, as in the constructor.
        k : int, default=None
            Number of keys that recall is about.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        **kwargs : dict
            Keywords of matplotlib's ``plot``, for every curve.

        Returns
        -------
        display : RecallCostDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there is no curve, or one has not as many costs as recalls.

        Examples
        --------
        >>> from sk_amips.plotting import RecallCostDisplay
        >>> curves = {"IVF": ([900, 300], [0.8, 0.95]), "graph": ([2e4], [0.9])}
        >>> display = RecallCostDisplay.from_curves(curves, k=10)
        >>> display.ax_.get_ylabel()
        'Recall@10'
        """
        check_matplotlib(f"{cls.__name__}.from_curves")
        if not curves:
            raise ValueError("curves must hold at least one curve, got none.")
        costs, recall = [], []
        for points in curves.values():
            x, y = (column_or_1d(part, dtype=np.float64) for part in points)
            check_consistent_length(x, y)
            costs.append(x)
            recall.append(y)
        display = cls(costs=costs, recall=recall, cost=cost, k=k, name=list(curves))
        return display.plot(ax, **kwargs)

    @classmethod
    def _measured(
        cls, estimators, X, k, cost, targets, n_probes, exact, names
    ) -> RecallCostDisplay:
        """Display of several estimators, not drawn yet."""
        if cost not in ("keys", "macs", "lists"):
            raise ValueError(f"cost must be 'keys', 'macs' or 'lists', got {cost!r}.")
        steps = [last_fitted(estimator, X) for estimator in estimators]
        if k is None:
            k = min((step.k for step, _ in steps if hasattr(step, "k")), default=10)
        known, curves = {}, []
        for step, queries in steps:
            where = id(as_router(step).keys_), id(queries)
            if where not in known:
                known[where] = exact_best(step, queries, k, exact)
            curves.append(sweep(step, queries, known[where], cost, targets, n_probes))
        costs, recall = map(list, zip(*curves, strict=True))
        names = [
            name_of(step, name) for (step, _), name in zip(steps, names, strict=True)
        ]
        return cls(costs=costs, recall=recall, cost=cost, k=k, name=names)
