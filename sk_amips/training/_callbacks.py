"""Callbacks that the estimators add to their net."""

from __future__ import annotations

import sys

from skorch.callbacks import Callback, EarlyStopping
from skorch.utils import noop
from tqdm import tqdm

__all__ = ["EpochProgress", "ValidationStopping", "has_stopped", "looks_at_batches"]


class ValidationStopping(EarlyStopping):
    """Early stopping on validation data, which restores the best weights.

    It watches the metric that the net evaluates after every epoch, which should grow,
    or else the validation loss. Epochs without validation data, such as those of
    ``partial_fit``, do not count.

    Parameters
    ----------
    patience : int
        Epochs without improvement before stopping.
    """

    def __init__(self, patience: int):
        super().__init__(patience=patience, load_best=True, sink=noop)

    def on_train_begin(self, net, **kwargs):
        self.monitor = next(iter(net.metrics_), "valid_loss")
        self.lower_is_better = self.monitor == "valid_loss"
        super().on_train_begin(net, **kwargs)

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


def has_stopped(callback: Callback) -> bool:
    """Whether a callback of skorch's early stopping has ended the training."""
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience


def looks_at_batches(callback: Callback) -> bool:
    """Whether a callback has something to do for every batch."""
    return any(
        getattr(type(callback), name) is not getattr(Callback, name)
        for name in ("on_batch_begin", "on_batch_end", "on_grad_computed")
    )
