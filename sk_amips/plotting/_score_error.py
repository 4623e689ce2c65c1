"""ScoreErrorDisplay: predicted scores of the best key against exact ones."""

from __future__ import annotations

import numpy as np
from sklearn.utils import (
    check_consistent_length,
    check_random_state,
    check_scalar,
    column_or_1d,
)

from ._axes import add_legend, begin, check_matplotlib, style
from ._fitted import as_router, exact_best, last_fitted, name_of

__all__ = ["ScoreErrorDisplay"]

_KINDS = ("actual_vs_predicted", "residual_vs_predicted")


class ScoreErrorDisplay:
    """Exact score of the best key against the score that a router predicts for it.

    As :class:`sklearn.metrics.PredictionErrorDisplay`, with exact scores that are
    searched.

    Parameters
    ----------
    y_true : ndarray of shape (n_queries,)
        Exact scores.
    y_pred : ndarray of shape (n_queries,)
        Predicted scores.
    name : str, default=None
        Name of the router, for the legend.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection
        One point a query.
    line_ : matplotlib Line2D
        Where predictions are exact.
    ax_ : matplotlib Axes
        Axes with the points.
    figure_ : matplotlib Figure
        Figure with the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.plotting import ScoreErrorDisplay
    >>> display = ScoreErrorDisplay(
    ...     y_true=np.array([0.7, 0.8]), y_pred=np.array([0.6, 0.8])
    ... )
    >>> display.plot(kind="residual_vs_predicted").ax_.get_ylabel()
    'Residual (exact − predicted)'
    """

    def __init__(self, *, y_true, y_pred, name=None):
        self.y_true = y_true
        self.y_pred = y_pred
        self.name = name

    def plot(
        self,
        ax=None,
        *,
        kind="actual_vs_predicted",
        name=None,
        line_kwargs=None,
        **kwargs,
    ):
        """Draw the points, and the line of exact predictions.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        kind : {"actual_vs_predicted", "residual_vs_predicted"}, \
                default="actual_vs_predicted"
            Whether exact scores, or how far they lie above the predicted ones, are
            drawn against the latter.
        name : str, default=None
            Name in place of that of the constructor.
        line_kwargs : dict, default=None
            Keywords of the line.
        **kwargs : dict
            Keywords of matplotlib's ``scatter``.

        Returns
        -------
        self : ScoreErrorDisplay
            With the artists as attributes.

        Raises
        ------
        ValueError
            If there is no such ``kind``.
        """
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {_KINDS}, got {kind!r}.")
        ax = begin(self, ax)
        from matplotlib.collections import PathCollection
        from matplotlib.lines import Line2D

        y_true, y_pred = np.asarray(self.y_true), np.asarray(self.y_pred)
        label = self.name if name is None else name
        default = {"s": 10, "alpha": 0.4, "linewidth": 0, "label": label}
        line = {"color": "k", "linestyle": "--", "linewidth": 1}
        line = style(line_kwargs, line, Line2D)
        points = style(kwargs, default, PathCollection)
        if kind == "actual_vs_predicted":
            self.scatter_ = ax.scatter(y_pred, y_true, **points)
            self.line_ = ax.axline((y_true[0], y_true[0]), slope=1, **line)
            ax.set_aspect("equal", adjustable="datalim")
            ylabel = "Exact best score (inner product)"
        else:
            self.scatter_ = ax.scatter(y_pred, y_true - y_pred, **points)
            self.line_ = ax.axhline(0, **line)
            ylabel = "Residual (exact − predicted)"
        ax.set(xlabel="Predicted best score (inner product)", ylabel=ylabel)
        add_legend(ax, "best")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        exact=None,
        kind="actual_vs_predicted",
        subsample=1000,
        random_state=None,
        name=None,
        ax=None,
        line_kwargs=None,
        **kwargs,
    ):
        """Predict the best scores of queries by a fitted router, and draw them.

        Parameters
        ----------
        estimator : router, AmortizedNeighbors or Pipeline
            Fitted; of an index the router that its searches use, of a pipeline the last
            step. With several lists its prediction is that of the best list. Scores of
            a :class:`~sk_amips.CentroidRouter`, or of a linear one of cross-entropy,
            are not meant to be those of the best key.
        X : array-like of shape (n_queries, n_features)
            Queries that it has not learned from.
        exact : tuple of (scores, indices), default=None
            Exact best keys, as :func:`~sk_amips.exact_search` returns them; None: they
            are searched. One a query, or ``n_summed_`` of a network that predicts the
            sum of so many scores.
        kind : {"actual_vs_predicted", "residual_vs_predicted"}, \
                default="actual_vs_predicted"
            As in :meth:`plot`.
        subsample : int or None, default=1000
            Largest number of points; None: all.
        random_state : int, RandomState instance or None, default=None
            Of the choice of points.
        name : str, default=None
            Name of the router; None: that of its class.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        line_kwargs : dict, default=None
            Keywords of the line.
        **kwargs : dict
            Keywords of matplotlib's ``scatter``.

        Returns
        -------
        display : ScoreErrorDisplay
            The display, drawn.

        Examples
        --------
        >>> import numpy as np
        >>> from sk_amips import LinearRouter
        >>> from sk_amips.plotting import ScoreErrorDisplay
        >>> rng = np.random.default_rng(0)
        >>> keys, queries = rng.normal(size=(500, 8)), rng.normal(size=(300, 8))
        >>> router = LinearRouter(keys, n_partitions=10, random_state=0)
        >>> display = ScoreErrorDisplay.from_estimator(
        ...     router.fit(queries[:200]), queries[200:]
        ... )
        >>> display.y_pred.shape
        (100,)
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        step, X = last_fitted(estimator, X)
        router = as_router(step)
        # Not predict, which of a KeyNet is a key.
        y_pred = router.predict_partitions(X).max(axis=1)
        y_true, _ = exact_best(router, X, getattr(router, "n_summed_", 1), exact)
        return cls.from_predictions(
            y_true.sum(axis=1),
            y_pred,
            kind=kind,
            subsample=subsample,
            random_state=random_state,
            name=name_of(router, name),
            ax=ax,
            line_kwargs=line_kwargs,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_pred,
        *,
        kind="actual_vs_predicted",
        subsample=1000,
        random_state=None,
        name=None,
        ax=None,
        line_kwargs=None,
        **kwargs,
    ):
        """Draw scores that were predicted before.

        Parameters
        ----------
        y_true : array-like of shape (n_queries,)
            Exact scores.
        y_pred : array-like of shape (n_queries,)
            Predicted scores.
        kind : {"actual_vs_predicted", "residual_vs_predicted"}, \
                default="actual_vs_predicted"
            As in :meth:`plot`.
        subsample : int or None, default=1000
            Largest number of points; None: all.
        random_state : int, RandomState instance or None, default=None
            Of the choice of points.
        name : str, default=None
            Name of the router, for the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        line_kwargs : dict, default=None
            Keywords of the line.
        **kwargs : dict
            Keywords of matplotlib's ``scatter``.

        Returns
        -------
        display : ScoreErrorDisplay
            The display, drawn.
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
        check_consistent_length(y_true, y_pred)
        if not len(y_true):
            raise ValueError("y_true and y_pred must hold at least one score.")
        if subsample is not None:
            check_scalar(subsample, "subsample", (int, np.integer), min_val=1)
            if subsample < len(y_true):
                rng = check_random_state(random_state)
                rows = rng.choice(len(y_true), subsample, replace=False)
                y_true, y_pred = y_true[rows], y_pred[rows]
        display = cls(y_true=y_true, y_pred=y_pred, name=name)
        return display.plot(ax, kind=kind, line_kwargs=line_kwargs, **kwargs)
