"""RoutingDisplay: what a router finds in the first lists."""

from __future__ import annotations

import numpy as np

from ..routing import CentroidRouter
from ._axes import add_legend, begin, check_matplotlib, log_scale, percent, style
from ._fitted import as_router, exact_best, last_fitted, name_of
from ._sweep import recall_curve

__all__ = ["RoutingDisplay"]


class RoutingDisplay:
    """Routing recall@p against the number p of lists visited.

    The share of the k best keys that lie in the first p lists of their query, beside
    what centroids of the same lists find, as an inverted file (IVF) visits them.

    Parameters
    ----------
    recall : ndarray of shape (n_partitions,)
        Routing recall in the first list, the first two and so on.
    centroid_recall : ndarray of shape (n_partitions,), default=None
        That of the centroids.
    k : int, default=1
        Number of best keys that recall is about.
    name : str, default=None
        Name of the router, for the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        Curve of the router.
    centroid_line_ : matplotlib Line2D or None
        Curve of the centroids; None where the axes have it already.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    sk_amips.metrics.routing_recall : One point of the curve.
    RecallCostDisplay : Recall against work, that of the router counted.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.plotting import RoutingDisplay
    >>> display = RoutingDisplay(recall=np.array([0.7, 0.9, 1.0]), name="router")
    >>> display.plot().line_.get_xdata()
    array([1, 2, 3])
    """

    def __init__(self, *, recall, centroid_recall=None, k=1, name=None):
        self.recall = recall
        self.centroid_recall = centroid_recall
        self.k = k
        self.name = name

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        name : str, default=None
            Name in place of that of the constructor.
        **kwargs : dict
            Keywords of matplotlib's ``plot``, for the curve of the router.

        Returns
        -------
        self : RoutingDisplay
            With the artists as attributes.
        """
        ax = begin(self, ax)
        from matplotlib.lines import Line2D

        n_lists = len(self.recall)
        lists = np.arange(1, n_lists + 1)
        default = {"label": self.name if name is None else name}
        (self.line_,) = ax.plot(lists, self.recall, **style(kwargs, default, Line2D))
        self.centroid_line_ = None
        if self.centroid_recall is not None and not self._has_centroids(ax):
            (self.centroid_line_,) = ax.plot(
                lists, self.centroid_recall, "k:", label="centroids"
            )
        log_scale(ax)
        percent(ax.yaxis)
        keys = "best key" if self.k == 1 else f"{self.k} best keys"
        ax.set(
            xlabel=f"Lists visited per query (of {n_lists})",
            ylabel=f"Routing recall of the {keys}",
        )
        add_legend(ax, "lower right")
        return self

    def _has_centroids(self, ax) -> bool:
        """Whether an earlier display of the same lists has drawn them."""
        return any(
            line.get_label() == "centroids"
            and np.array_equal(line.get_ydata(), self.centroid_recall)
            for line in ax.get_lines()
        )

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        k=1,
        centroids=True,
        exact=None,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Rank the lists of queries by a fitted router, and draw what it finds.

        Parameters
        ----------
        estimator : router, AmortizedNeighbors or Pipeline
            Fitted; of an index the router that its searches use, of a pipeline the last
            step.
        X : array-like of shape (n_queries, n_features)
            Queries that it has not learned from.
        k : int, default=1
            Number of best keys that recall is about.
        centroids : bool, default=True
            Whether to draw what centroids find in the same lists, unless they are the
            router.
        exact : tuple of (scores, indices), default=None
            Exact best keys, at least k, as :func:`~sk_amips.exact_search` returns them;
            None: they are searched.
        name : str, default=None
            Name of the router; None: that of its class.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        **kwargs : dict
            Keywords of matplotlib's ``plot``, for the curve of the router.

        Returns
        -------
        display : RoutingDisplay
            The display, drawn.

        Examples
        --------
        >>> import numpy as np
        >>> from sk_amips import LinearRouter
        >>> from sk_amips.plotting import RoutingDisplay
        >>> rng = np.random.default_rng(0)
        >>> keys, queries = rng.normal(size=(500, 8)), rng.normal(size=(300, 8))
        >>> router = LinearRouter(keys, n_partitions=10, random_state=0)
        >>> display = RoutingDisplay.from_estimator(
        ...     router.fit(queries[:200]), queries[200:]
        ... )
        >>> display.recall.shape
        (10,)
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        step, X = last_fitted(estimator, X)
        router = as_router(step)
        _, indices = exact_best(router, X, k, exact)
        best_lists = router.partition_.labels_[indices]
        recall = recall_curve(router.predict_partitions(X), best_lists)
        plain = None
        if centroids and not isinstance(router, CentroidRouter):
            unit = router._directions(router._check_queries(X))[1]
            plain = recall_curve(unit @ router.partition_.centroids_.T, best_lists)
        display = cls(
            recall=recall, centroid_recall=plain, k=k, name=name_of(router, name)
        )
        return display.plot(ax, **kwargs)
