"""Callbacks that the estimators add to their net."""

from __future__ import annotations

import sys

from skorch.callbacks import Callback, EarlyStopping
from skorch.utils import noop
from tqdm import tqdm

__all__ = ["EpochProgress", "ValidationStopping"]


class ValidationStopping(EarlyStopping):
    """Early stopping on validation data, which restores the best weights.

    Epochs without validation data, such as those of ``partial_fit``, do not count.

    Parameters
    ----------
    monitor : str
        What is watched: "valid_loss", or a metric in the history, which should grow.
    patience : int
        Epochs without improvement before stopping.
    """

    def __init__(self, monitor: str, patience: int):
        super().__init__(
            monitor=monitor,
            patience=patience,
            lower_is_better=monitor == "valid_loss",
            load_best=True,
            sink=noop,
        )

    def on_epoch_end(self, net, **kwargs):
        if self.monitor in net.history[-1]:
            super().on_epoch_end(net, **kwargs)


class EpochProgress(Callback):
    """One progress bar over the epochs, with the losses of the last.

    Parameters
    ----------
    name : str
        Text ahead of the bar.
    """

    def __init__(self, name: str = "fit"):
        self.name = name

    def on_train_begin(self, net, **kwargs):
        self.bar_ = tqdm(
            total=net.epochs_, desc=self.name, unit="epoch", file=sys.stderr
        )

    def on_epoch_end(self, net, **kwargs):
        last = net.history[-1]
        losses = {
            name: f"{last[name]:.3g}"
            for name in ("train_loss", "valid_loss")
            if name in last
        }
        self.bar_.set_postfix(losses, refresh=False)
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        self.bar_.close()
        # A bar holds an open stream, which a pickle cannot.
        del self.bar_
