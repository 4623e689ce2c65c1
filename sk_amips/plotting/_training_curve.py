"""TrainingCurveDisplay: losses and validation metric, epoch by epoch."""

from __future__ import annotations

from itertools import count

import numpy as np
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import EarlyStopping

from ..metrics._pipeline import last_step
from ._axes import begin, check_matplotlib, percent, style

__all__ = ["TrainingCurveDisplay"]

_TERMS = ("score", "key", "routing")
_METRICS = ("valid_routing_recall", "valid_match_rate")


class TrainingCurveDisplay:
    """Losses of a network over its epochs, with their terms, and validation metric.

    Losses on training queries are solid, those on validation queries dashed. The metric
    that early stopping watched is dotted, on an axis of its own to the right.

    Parameters
    ----------
    epochs : ndarray of shape (n_epochs,)
        Number of each epoch.
    losses : dict of str to ndarray of shape (n_epochs,)
        By their names in the history: "train_loss", "valid_loss" and their terms, such
        as "train_score_loss". NaN where an epoch has none.
    metric : ndarray of shape (n_epochs,), default=None
        Validation metric, between 0 and 1.
    metric_name : str, default=None
        Its name in the history, such as "valid_match_rate"; None: it has none.
    best_epoch : int, default=None
        The epoch to mark.
    name : str, default=None
        Name of the estimator, ahead of every label.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        Curves of the losses, by their names.
    metric_line_ : matplotlib Line2D or None
        Curve of the metric.
    best_line_ : matplotlib Line2D or None
        Mark of the best epoch.
    ax_ : matplotlib Axes
        Axes of the losses: logarithmic where they span more than a factor of ten.
    metric_ax_ : matplotlib Axes or None
        Axes of the metric.
    figure_ : matplotlib Figure
        Figure with the axes. The legend is below them if its layout makes room for it,
        as ``layout="constrained"`` does.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_amips.plotting import TrainingCurveDisplay
    >>> display = TrainingCurveDisplay(
    ...     epochs=np.arange(1, 4), losses={"train_loss": np.array([1.0, 0.4, 0.2])}
    ... )
    >>> list(display.plot().lines_)
    ['train_loss']
    """

    def __init__(
        self,
        *,
        epochs,
        losses,
        metric=None,
        metric_name=None,
        best_epoch=None,
        name=None,
    ):
        self.epochs = epochs
        self.losses = losses
        self.metric = metric
        self.metric_name = metric_name
        self.best_epoch = best_epoch
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
            Keywords of matplotlib's ``plot``, for every curve.

        Returns
        -------
        self : TrainingCurveDisplay
            With the artists as attributes.

        Raises
        ------
        ValueError
            If there are no losses.
        """
        if not self.losses:
            raise ValueError("losses must hold at least one curve, got none.")
        ax = begin(self, ax)
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator

        name = self.name if name is None else name
        ahead = "" if name is None else f"{name}: "
        # A line needs two points to be seen.
        marker = "." if len(self.epochs) == 1 else None
        twin = _twin_of(ax)
        taken = {line.get_color() for line in _lines(ax, twin)}
        free = (f"C{i}" for i in count() if f"C{i}" not in taken)
        colors = {term: next(free) for term in dict.fromkeys(map(_term, self.losses))}
        self.lines_, self.metric_line_, self.best_line_ = {}, None, None
        for loss, values in self.losses.items():
            default = {
                "color": colors[_term(loss)],
                "linestyle": "-" if loss.startswith("train") else "--",
                "marker": marker,
                "label": ahead + _readable(loss),
            }
            style_ = style(kwargs, default, Line2D)
            (self.lines_[loss],) = ax.plot(self.epochs, values, **style_)
        if self.best_epoch is not None:
            self.best_line_ = ax.axvline(
                self.best_epoch,
                color=next(iter(colors.values())),
                alpha=0.5,
                linewidth=1,
                label=f"{ahead}best epoch ({self.best_epoch})",
            )
        if self.metric is not None:
            twin = ax.twinx() if twin is None else twin
            metric = _readable(self.metric_name or "valid_metric")
            default = {
                "color": next(free),
                "linestyle": ":",
                "linewidth": 2,
                "marker": marker,
                "label": ahead + metric,
            }
            style_ = style(kwargs, default, Line2D)
            (self.metric_line_,) = twin.plot(self.epochs, self.metric, **style_)
            already = twin.get_ylabel() not in ("", metric.capitalize())
            twin.set_ylabel("Validation metric" if already else metric.capitalize())
            percent(twin.yaxis)
        self.metric_ax_ = twin
        ax.set(xlabel="Epoch", ylabel="Loss")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if _spans_decade(self.losses.values()):
            ax.set_yscale("log")
        _add_legend(ax, twin)
        return self

    @classmethod
    def from_estimator(cls, estimator, *, name=None, ax=None, **kwargs):
        """Draw how the network of a fitted estimator was trained.

        Parameters
        ----------
        estimator : SupportNetRegressor, KeyNetRegressor, AmortizedNeighbors or Pipeline
            Fitted; of an index the router that it was fitted with, of a pipeline the
            last step. With early stopping the best epoch is that whose weights were
            restored.
        name : str, default=None
            Name of the estimator, ahead of every label.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        **kwargs : dict
            Keywords of matplotlib's ``plot``, for every curve.

        Returns
        -------
        display : TrainingCurveDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator has no network.

        Examples
        --------
        >>> import numpy as np
        >>> from sk_amips import SupportNetRegressor
        >>> from sk_amips.plotting import TrainingCurveDisplay
        >>> rng = np.random.default_rng(0)
        >>> keys, queries = rng.normal(size=(50, 8)), rng.normal(size=(200, 8))
        >>> net = SupportNetRegressor(keys, hidden_layer_sizes=(8,), max_epochs=3)
        >>> display = TrainingCurveDisplay.from_estimator(net.fit(queries))
        >>> display.losses["train_loss"].shape
        (3,)
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        step, _ = last_step(estimator, None)
        step = getattr(step, "learned_router_", step)
        if not hasattr(step, "history_"):
            raise TypeError(
                "estimator must have trained a network, as a SupportNetRegressor does, "
                f"got {type(step).__name__}."
            )
        display = cls._of(step.history_, name)
        for _, callback in step.net_.callbacks_:
            if isinstance(callback, EarlyStopping):
                # 0: nothing was restored, as after partial_fit.
                display.best_epoch = callback.best_epoch_ or None
        return display.plot(ax, **kwargs)

    @classmethod
    def from_history(cls, history, *, name=None, ax=None, **kwargs):
        """Draw a history of skorch.

        Parameters
        ----------
        history : skorch History
            With at least one epoch, as ``history_`` of an estimator. The best epoch is
            that of the largest metric, or else of the smallest validation loss.
        name : str, default=None
            Name of the estimator, ahead of every label.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: those of a new figure.
        **kwargs : dict
            Keywords of matplotlib's ``plot``, for every curve.

        Returns
        -------
        display : TrainingCurveDisplay
            The display, drawn.
        """
        check_matplotlib(f"{cls.__name__}.from_history")
        return cls._of(history, name).plot(ax, **kwargs)

    @classmethod
    def _of(cls, history, name) -> TrainingCurveDisplay:
        if not len(history):
            raise ValueError("history must hold at least one epoch, got none.")
        recorded = {key for row in history for key in row}

        def column(key):
            return np.array([row.get(key, np.nan) for row in history], dtype=float)

        terms = [term for term in _TERMS if f"train_{term}_loss" in recorded]
        # A single term is the loss.
        shown = ["loss", *(f"{term}_loss" for term in terms if len(terms) > 1)]
        shown = [f"{part}_{loss}" for loss in shown for part in ("train", "valid")]
        losses = {loss: column(loss) for loss in shown if loss in recorded}
        metric_name = next((key for key in _METRICS if key in recorded), None)
        metric = None if metric_name is None else column(metric_name)
        epochs = column("epoch").astype(int)
        best = metric
        if metric is None and "valid_loss" in losses:
            best = -losses["valid_loss"]
        if best is not None:
            best = np.where(np.isfinite(best), best, -np.inf)
            best = epochs[best.argmax()] if np.isfinite(best).any() else None
        return cls(
            epochs=epochs,
            losses=losses,
            metric=metric,
            metric_name=metric_name,
            best_epoch=None if best is None else int(best),
            name=name,
        )


def _term(loss: str) -> str:
    """The name of a loss without the queries that it is of."""
    return loss.partition("_")[2]


def _readable(key: str) -> str:
    """What a key of the history stands for."""
    part, _, rest = key.partition("_")
    part = {"train": "training", "valid": "validation"}.get(part, part)
    return f"{part} {rest}".replace("_", " ")


def _spans_decade(losses) -> bool:
    values = np.concatenate([np.asarray(loss) for loss in losses])
    values = values[np.isfinite(values)]
    return len(values) > 0 and bool(0 < 10 * values.min() < values.max())


def _add_legend(ax, twin) -> None:
    """Add one legend of all curves: below them, as losses and metrics leave no corner.

    Where nothing would make room for it there, it is on top of the curves.
    """
    from matplotlib.transforms import offset_copy

    place = {"loc": "best"}
    if ax.figure.get_layout_engine() is not None:
        below = offset_copy(ax.transAxes, ax.figure, y=-36, units="points")
        place = {
            "loc": "upper center",
            "bbox_to_anchor": (0.5, 0),
            "bbox_transform": below,
            "ncols": 2,
        }
    elif twin is not None:
        ax.set_zorder(twin.get_zorder() + 1)
        ax.patch.set_visible(False)
        twin.patch.set_visible(True)
    lines = [line for line in _lines(ax, twin) if not line.get_label().startswith("_")]
    ax.legend(handles=lines, **place)


def _lines(*axes) -> list:
    return [line for ax in axes if ax is not None for line in ax.get_lines()]


def _twin_of(ax):
    """The axes of the metric that are there already, or None."""
    for other in ax.get_shared_x_axes().get_siblings(ax):
        if other is not ax and other.bbox.bounds == ax.bbox.bounds:
            return other
    return None
