"""The skorch net that the estimators keep private."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from skorch.utils import to_tensor

from ._batches import Batches
from ._data import TrainingData
from ._schedule import WeightAverage

__all__ = ["AmipsNet"]


class AmipsNet(NeuralNet):
    """A skorch net that trains ``scores_and_keys`` on a :class:`TrainingData`.

    Its differences from :class:`skorch.NeuralNet`: the validation data are given and
    not split off, the module is asked for scores and keys, weights are averaged, and an
    interrupt from the keyboard is passed on, so that it also stops a grid search.

    Parameters
    ----------
    module, criterion
        As in :class:`skorch.NeuralNet`.
    ema_decay : float or None, default=None
        Decay of the exponential moving average of the weights, which takes their place
        after each epoch; None: no average.
    **kwargs
        As in :class:`skorch.NeuralNet`.
    """

    def __init__(self, module, criterion, *, ema_decay: float | None = None, **kwargs):
        self.ema_decay = ema_decay
        super().__init__(module, criterion, **kwargs)

    def partial_fit(
        self,
        X: TrainingData,
        y: TrainingData | None = None,
        *,
        epochs: int | None = None,
        seed: int = 0,
        metrics: dict[str, Callable[[], float]] | None = None,
    ):
        """Train on ``X`` for some epochs, with ``y`` as validation data.

        ``seed`` fixes the order of the batches; ``metrics`` are evaluated after every
        epoch, for the history. The net must be initialized.
        """
        self.seed_ = seed
        self.metrics_ = metrics or {}
        self.epochs_ = self.max_epochs if epochs is None else epochs
        self.scheduled_ = epochs is None
        self.average_ = None
        if self.ema_decay is not None:
            self.average_ = WeightAverage(self.module_, self.ema_decay)
        matches_keys = X.best is not None and self.criterion_.key_weight > 0
        self.learns_keys_ = matches_keys or self.criterion_.consistency
        self.notify("on_train_begin", X=X, y=y)
        try:
            self.fit_loop(X, y, epochs=self.epochs_)
        except KeyboardInterrupt:
            # skorch's early stopping signals by the exception of the keyboard.
            if not self._early_stopped():
                raise
        finally:
            self.average_ = None
            self.metrics_ = {}
            self.notify("on_train_end", X=X, y=y)
        return self

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train on the weights, validate on their average."""
        if training and self.average_ is not None:
            self.average_.hide()
        super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        if training and self.average_ is not None:
            self.average_.show()

    def train_step(self, batch, **fit_params):
        """A step of the optimizer, taken into the average of the weights."""
        step = super().train_step(batch, **fit_params)
        if self.average_ is not None:
            self.average_.update()
        return step

    def on_epoch_end(self, net, **kwargs):
        """Average the terms of the loss; raise where it is no longer a number."""
        super().on_epoch_end(net, **kwargs)
        self._record_terms()
        losses = self.history[-1, "batches", :, "train_loss"]
        finite = all(p.isfinite().all() for p in self.module_.parameters())
        if not (finite and np.isfinite(losses).all()):
            raise ValueError(
                f"training diverged in epoch {len(self.history)}: loss or weights are "
                f"not finite; a smaller lr than {self.lr} may help."
            )
        for name, metric in self.metrics_.items():
            self.history.record(name, metric())

    def _early_stopped(self) -> bool:
        return any(
            isinstance(callback, EarlyStopping)
            and callback.misses_ >= callback.patience
            for _, callback in self.callbacks_
        )

    def check_data(self, X, y=None):
        """Accept what the estimators have already checked."""

    def get_split_datasets(self, X, y=None, **fit_params):
        """Training data and validation data as they were given."""
        return X, y

    def get_iterator(self, dataset, training=False):
        """Batches of a dataset, shuffled for training."""
        seed = self.seed_ if training else None
        return Batches(dataset, self.batch_size, seed=seed, device=self.device)

    def infer(self, x, **fit_params):
        """Scores and, if there is a use for them, keys of a batch."""
        x = to_tensor(x, device=self.device)
        if not self.learns_keys_:
            return self.module_.scores(x["x"]), None
        needs_scores = not self.criterion_.consistency or self.criterion_.routing_weight
        if "partitions" in x and not needs_scores:
            return None, self.module_.heads(**x)
        return self.module_.scores_and_keys(**x)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Loss of a batch by the criterion, an :class:`~sk_amips.losses.AmipsLoss`."""
        scores, keys = y_pred
        terms = self.criterion_.terms(
            scores,
            keys=keys,
            queries=to_tensor(X["x"], device=self.device),
            **to_tensor(y_true, device=self.device),
        )
        prefix = "train" if training else "valid"
        for name, value in terms.items():
            self.history.record_batch(f"{prefix}_{name}_loss", value.item())
        return sum(terms.values())

    def _record_terms(self) -> None:
        """Mean over the batches of each term of the loss."""
        batches = self.history[-1]["batches"]
        for prefix in ("train", "valid"):
            some = [batch for batch in batches if f"{prefix}_loss" in batch]
            sizes = [batch[f"{prefix}_batch_size"] for batch in some]
            for name in ("score", "key", "routing"):
                term = f"{prefix}_{name}_loss"
                values = [batch[term] for batch in some if term in batch]
                if values:
                    self.history.record(term, float(np.average(values, weights=sizes)))
