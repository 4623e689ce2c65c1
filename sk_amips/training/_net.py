"""The skorch net that the estimators keep private."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy

import numpy as np
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from skorch.utils import to_tensor

from ._data import Batches, TrainingData

__all__ = ["AmipsNet"]


class AmipsNet(NeuralNet):
    """A skorch net that trains ``scores_and_keys`` on a :class:`TrainingData`.

    Its differences from :class:`skorch.NeuralNet`: the validation data are given and
    not split off, the module is asked for scores and keys, and an interrupt from the
    keyboard is passed on, so that it also stops a grid search.
    """

    def partial_fit(
        self,
        X: TrainingData,
        y: TrainingData | None = None,
        *,
        epochs: int | None = None,
        seed: int = 0,
    ):
        """Train on ``X`` for some epochs, with ``y`` as validation data.

        ``seed`` fixes the order of the batches; the net must be initialized.
        """
        self.seed_ = seed
        self.epochs_ = self.max_epochs if epochs is None else epochs
        self.learns_keys_ = X.best is not None and self.criterion_.key_weight > 0
        with self._restored_on_error():
            self.notify("on_train_begin", X=X, y=y)
            try:
                self.fit_loop(X, y, epochs=self.epochs_)
            except KeyboardInterrupt:
                # skorch's early stopping signals by the exception of the keyboard.
                if not self._early_stopped():
                    raise
            finally:
                self.notify("on_train_end", X=X, y=y)
        return self

    @contextmanager
    def _restored_on_error(self):
        """Put weights, optimizer and history back when training does not end well."""
        weights = deepcopy(self.module_.state_dict())
        optimizer = deepcopy(self.optimizer_.state_dict())
        n_epochs = len(self.history)
        try:
            yield
        except BaseException:
            self.module_.load_state_dict(weights)
            self.optimizer_.load_state_dict(optimizer)
            del self.history[n_epochs:]
            raise

    def on_epoch_end(self, net, **kwargs):
        """Stop with an error where the loss is no longer a number."""
        super().on_epoch_end(net, **kwargs)
        if not np.isfinite(self.history[-1, "batches", :, "train_loss"]).all():
            raise ValueError(
                f"training diverged in epoch {len(self.history)}: the loss is not "
                f"finite; a smaller lr than {self.lr} may help."
            )

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
        return Batches(dataset, self.batch_size, seed=seed)

    def infer(self, x, **fit_params):
        """Scores and, if there is a use for them, keys of a batch."""
        x = to_tensor(x, device=self.device)
        if not self.learns_keys_:
            return self.module_.scores(x["x"]), None
        return self.module_.scores_and_keys(**x)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Loss of a batch by the criterion, an :class:`~sk_amips.losses.AmipsLoss`."""
        scores, keys = y_pred
        return self.criterion_(
            scores, keys=keys, **to_tensor(y_true, device=self.device)
        )
