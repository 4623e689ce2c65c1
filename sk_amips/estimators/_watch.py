"""Who is told how far a fit is: progress bars, and scikit-learn's callbacks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Lock

from tqdm import tqdm

from ._sklearn_callbacks import FitTasks

__all__ = ["FitWatch"]

# Two searches of a query each count for half of it.
_LABELS = (
    "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total} queries [{elapsed}<{remaining}]"
)


class FitWatch:
    """Tells progress bars and scikit-learn's callbacks how far a fit is.

    First come labels, whose queries are counted, then epochs, whose bar takes the place
    of the other one. As a context it closes its bar, also where the fit fails.

    Parameters
    ----------
    name : str or None, default=None
        Text ahead of the bar; None: there is none.
    tasks : FitTasks or None, default=None
        What tells the callbacks; None: there are none.

    Attributes
    ----------
    stopped : bool
        Whether a callback wants no further epoch.
    """

    def __init__(self, name: str | None = None, tasks: FitTasks | None = None):
        self.name = name
        self.tasks = tasks
        self.stopped = False
        self._bar = None
        self._lock = Lock()

    def __enter__(self) -> FitWatch:
        if self.tasks is not None:
            self.tasks.begin("labels", max_subtasks=None)
        return self

    def __exit__(self, error, *_) -> None:
        self._close()
        if error is None and self.tasks is not None:
            self.tasks.end_fit()

    def labels(self, n: int) -> Callable[[float], None] | None:
        """Announce n more queries to search, for a function that counts those done."""
        if self.name is None:
            return None
        if self._bar is None:
            self._open("labels", n, leave=False, bar_format=_LABELS)
        else:
            self._bar.total += n
        return self._count

    def begin_epochs(self, n: int) -> None:
        """End the labels, and begin n epochs at most."""
        self._close()
        if self.name is not None:
            # Below a bar of the user's, ours goes when it is done.
            self._open("epochs", n, leave=None, unit="epoch")
        if self.tasks is not None:
            self.tasks.end()
            self.tasks.begin("epochs", max_subtasks=n)

    def begin_epoch(self) -> None:
        """Begin an epoch."""
        if self.tasks is not None:
            self.tasks.begin("epoch")

    def end_epoch(self, record: dict) -> None:
        """End an epoch, whose losses are in its record of the history."""
        if self._bar is not None:
            names = [n for n in ("train_loss", "valid_loss") if n in record]
            losses = {name: f"{record[name]:.3g}" for name in names}
            self._bar.set_postfix(losses, refresh=False)
            self._bar.update()
        if self.tasks is not None:
            self.stopped = self.tasks.end(fitted=True)

    def end_epochs(self) -> None:
        """End the epochs."""
        self._close()
        if self.tasks is not None:
            self.tasks.end()

    def _open(self, what: str, total: int, **kwargs) -> None:
        desc = f"{self.name} {what}"
        self._bar = tqdm(total=total, desc=desc, file=sys.stderr, **kwargs)

    def _count(self, n: float) -> None:
        with self._lock:
            self._bar.update(n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
            self._bar = None
