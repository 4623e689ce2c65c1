"""What all displays do with axes; matplotlib is imported when something is drawn."""

from __future__ import annotations

__all__ = ["add_legend", "begin", "check_matplotlib", "log_scale", "percent", "style"]


def check_matplotlib(caller: str) -> None:
    """Raise an ImportError with a hint where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'{caller} needs matplotlib: pip install "sk-amips[plot]".'
        ) from error


def begin(display, ax=None):
    """Set ``ax_`` and ``figure_`` of a display, and return the axes."""
    check_matplotlib(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    display.ax_, display.figure_ = ax, ax.figure
    return ax


def style(user: dict | None, default: dict, artist: type) -> dict:
    """Keywords of an artist, where those of the user win, by whatever alias."""
    from matplotlib.cbook import normalize_kwargs

    return default | normalize_kwargs(user or {}, artist)


def percent(axis) -> None:
    """Show shares as percentages."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(_in_percent))


def _in_percent(share: float, place: int) -> str:
    return f"{100 * share:.4g}%"


def log_scale(ax) -> None:
    """Make the x-axis logarithmic, with ticks at 1, 2 and 5 times powers of ten."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_minor_formatter(NullFormatter())


def add_legend(ax, loc: str) -> None:
    """Add a legend where an artist has a label."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc=loc)
