"""Callbacks that the estimators add to their net."""

from __future__ import annotations

from typing import Protocol

from skorch.callbacks import Callback, EarlyStopping
from skorch.utils import noop

__all__ = [
    "EpochEvents",
    "ValidationStopping",
    "Watch",
    "has_stopped",
    "looks_at_batches",
]


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

    def on_train_end(self, net, **kwargs):
        # An error may have come ahead of the first epoch.
        if net.history:
            super().on_train_end(net, **kwargs)


class Watch(Protocol):
    """What is told of the epochs of a call of training, and may stop them."""

    stopped: bool

    def begin_epoch(self) -> None:
        """Hear that an epoch begins."""

    def end_epoch(self, record: dict) -> None:
        """Hear what the history holds of an epoch that ended."""


class EpochEvents(Callback):
    """Tells the watch of a call of training of its epochs.

    It comes ahead of early stopping, which ends an epoch before others hear of its end.
    """

    def on_epoch_begin(self, net, **kwargs):
        if net.watch_ is not None:
            net.watch_.begin_epoch()

    def on_epoch_end(self, net, **kwargs):
        if net.watch_ is not None:
            net.watch_.end_epoch(net.history[-1])


def has_stopped(callback: Callback) -> bool:
    """Whether a callback of skorch's early stopping has ended the training."""
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience


def looks_at_batches(callback: Callback) -> bool:
    """Whether a callback has something to do for every batch."""
    return any(
        getattr(type(callback), name) is not getattr(Callback, name)
        for name in ("on_batch_begin", "on_batch_end", "on_grad_computed")
    )
