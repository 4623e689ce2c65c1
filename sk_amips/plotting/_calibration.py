"""CalibrationDisplay: the recall of an index against the recall asked for."""

from __future__ import annotations

from numbers import Real

import numpy as np
from sklearn.utils import check_scalar, column_or_1d

from .._samples import group_numbers
from ..metrics import recall_at_k
from ._axes import add_legend, begin, check_matplotlib, percent, style
from ._fitted import as_index, exact_best, last_fitted, name_of
from ._interval import recall_interval
from ._sweep import TARGETS

__all__ = ["CalibrationDisplay"]

_REFERENCE = "as asked for"


class CalibrationDisplay:
    """Recall that an index reaches against the recall that it was asked for.

    On the diagonal it keeps its promise; below, it finds too little, above, it works
    too much, unless a single list already finds more. The band is where the recall of
    more such queries may lie.

    Parameters
    ----------
    targets : ndarray of shape (n_targets,)
        Recalls asked for.
    recall : ndarray of shape (n_targets,)
        Recalls reached, in the mean over queries.
    lower, upper : ndarray of shape (n_targets,), default=None
        Confidence interval of each.
    k : int, default=None
        Number of keys that recall is about, for the labels.
    name : str, default=None
        Name of the index, for the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        Curve of the index.
    band_ : matplotlib PolyCollection or None
        Confidence intervals.
    reference_line_ : matplotlib Line2D or None
        The diagonal; None where the axes have it already.
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    RecallCostDisplay : What the recall costs.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.plotting import CalibrationDisplay
    >>> targets = np.array([0.8, 0.9])
    >>> display = CalibrationDisplay(targets=targets, recall=targets + 0.01)
    >>> display.plot().line_.get_ydata()
    array([0.81, 0.91])
    """

    def __init__(self, *, targets, recall, lower=None, upper=None, k=None, name=None):
        self.targets = targets
        self.recall = recall
        self.lower = lower
        self.upper = upper
        self.k = k
        self.name = name

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw the curve, its band and the diagonal.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        name : str, default=None
            Name in place of that of the constructor.
        **kwargs : dict
            Keywords of matplotlib's ``plot``, for the curve.

        Returns
        -------
        self : CalibrationDisplay
            With the artists as attributes.

        Raises
        ------
        ValueError
            If there is a lower bound and no upper one, or the other way round.
        """
        if (self.lower is None) != (self.upper is None):
            raise ValueError("lower and upper must both be given, or none of them.")
        ax = begin(self, ax)
        from matplotlib.lines import Line2D

        self.reference_line_ = None
        if _REFERENCE not in ax.get_legend_handles_labels()[1]:
            # Through all targets of later displays too, without moving the limits.
            self.reference_line_ = ax.axline(
                (1, 1), slope=1, color="k", linestyle=":", label=_REFERENCE
            )
        label = self.name if name is None else name
        default = {"marker": "o", "markersize": 4, "label": label}
        (self.line_,) = ax.plot(
            self.targets, self.recall, **style(kwargs, default, Line2D)
        )
        self.band_ = None
        if self.lower is not None:
            color = self.line_.get_color()
            self.band_ = ax.fill_between(
                self.targets, self.lower, self.upper, color=color, alpha=0.2, lw=0
            )
        at_k = "" if self.k is None else f"@{self.k}"
        percent(ax.xaxis)
        percent(ax.yaxis)
        ax.set(xlabel=f"Recall{at_k} asked for", ylabel=f"Recall{at_k} reached")
        add_legend(ax, "lower right")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        targets=None,
        groups=None,
        k=None,
        confidence=0.95,
        exact=None,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Ask a fitted index for one recall after the other, and draw what it reaches.

        Parameters
        ----------
        estimator : AmortizedNeighbors or Pipeline
            Fitted; of a pipeline, the last step.
        X : array-like of shape (n_queries, n_features)
            Queries that neither trained nor calibrated it.
        targets : sequence of float, default=None
            Recalls to ask for; None: eight from 0.5 to 0.99, or with compressed lists
            the one that they are calibrated for.
        groups : array-like of shape (n_queries,), default=None
            Source of each query: those of one group need not be independent, which
            widens the band. None: each query is a group.
        k : int, default=None
            Number of keys wanted; None: that of the index.
        confidence : float, default=0.95
            Of the band, at each target by itself: a binomial interval for as many
            trials as the queries are worth. What is left to chance in the calibration
            of the index comes on top.
        exact : tuple of (scores, indices), default=None
            Exact best keys, at least k, as :func:`~sk_amips.exact_search` returns them;
            None: they are searched.
        name : str, default=None
            Name of the curve; None: that of the class.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        **kwargs : dict
            Keywords of matplotlib's ``plot``, for the curve.

        Returns
        -------
        display : CalibrationDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator is no index.
        ValueError
            If there are fewer than two groups, or a query has none.

        Examples
        --------
        >>> import numpy as np
        >>> from sk_amips import AmortizedNeighbors, CentroidRouter
        >>> from sk_amips.plotting import CalibrationDisplay
        >>> rng = np.random.default_rng(0)
        >>> keys, queries = rng.normal(size=(500, 8)), rng.normal(size=(400, 8))
        >>> index = AmortizedNeighbors(CentroidRouter(keys), k=5, random_state=0)
        >>> display = CalibrationDisplay.from_estimator(
        ...     index.fit(queries[:300]), queries[300:], targets=[0.8, 0.9]
        ... )
        >>> display.recall.shape
        (2,)
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        index, X = last_fitted(estimator, X)
        index = as_index(index)
        check_scalar(
            confidence,
            "confidence",
            Real,
            min_val=0,
            max_val=1,
            include_boundaries="neither",
        )
        k = index.k if k is None else k
        if targets is None:
            targets = TARGETS if index.lists == "flat" else [index.target_recall]
        targets = column_or_1d(targets, dtype=np.float64)
        if not len(targets):
            raise ValueError("targets must hold at least one recall, got none.")
        true_scores, _ = exact_best(index, X, k, exact)
        groups = _at_least_two(group_numbers(groups, true_scores))
        rows = []
        for target in targets:
            found = index.search(X, k, target_recall=float(target))
            recall = recall_at_k(true_scores, *found, k=k, average=False)
            rows.append((recall.mean(), *recall_interval(recall, groups, confidence)))
        recall, lower, upper = np.array(rows).T
        display = cls(
            targets=targets,
            recall=recall,
            lower=lower,
            upper=upper,
            k=k,
            name=name_of(index, name),
        )
        return display.plot(ax, **kwargs)


def _at_least_two(groups: np.ndarray) -> np.ndarray:
    """Return groups; raise a ValueError if all queries are of one."""
    if groups.max() < 1:
        raise ValueError(
            "X must come from at least two groups (each query is one where groups=None)"
            ", got 1."
        )
    return groups
