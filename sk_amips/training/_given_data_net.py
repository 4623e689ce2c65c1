"""What skorch has to be told of data that hold their own targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from skorch import NeuralNet
from skorch.utils import to_tensor

from ._batches import Batches
from ._loss import BatchLoss
from ._processes import ONE, OneProcess
from ._run import Run

__all__ = ["GivenDataNet"]


class GivenDataNet(NeuralNet):
    """A skorch net over :class:`TrainingData`, with validation data as given.

    Attributes
    ----------
    run_ : Run or None
        State of the call that trains; None outside of it.
    seed_ : int
        Seed of the order of the batches.
    learns_keys_ : bool
        Whether keys are asked of the module.
    """

    run_: Run | None = None

    def check_data(self, X, y=None):
        """Accept what the estimators have already checked."""

    def get_split_datasets(self, X, y=None, **fit_params):
        """Training data and validation data as they were given."""
        return X, y

    def get_iterator(self, dataset, training=False):
        """Batches of a dataset, shuffled for training."""
        seed = self.seed_ if training else None
        placed = None if self.run_ is None else self.run_.placed.get(id(dataset))
        return Batches(
            dataset, self.batch_size, seed=seed, device=self.device, placed=placed
        )

    def infer(self, x, **fit_params):
        """Scores and, if there is a use for them, keys of a batch."""
        return self._loss().predict(to_tensor(x, device=self.device))

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Loss of a batch by the criterion, an :class:`~sk_amips.losses.AmipsLoss`."""
        x, y = (to_tensor(part, device=self.device) for part in (X, y_true))
        return sum(self._loss().terms(y_pred, x, y).values())

    def _processes(self) -> OneProcess:
        """Those that share the call that trains."""
        return ONE if self.run_ is None else self.run_.processes

    def _loss(self) -> BatchLoss:
        return BatchLoss(self.module_, self.criterion_, self.learns_keys_)

    def _record_batch_terms(
        self, prefix: str, names: Sequence[str], values: Sequence[float]
    ) -> None:
        for name, value in zip(names, values, strict=True):
            self.history.record_batch(f"{prefix}_{name}_loss", value)

    def _record_means(
        self, prefix: str, names: Sequence[str], means: Sequence[float], n_rows: int
    ) -> None:
        """Record an epoch as one batch."""
        self.history.new_batch()
        self._record_batch_terms(prefix, names, means)
        self.history.record_batch(f"{prefix}_loss", sum(means))
        self.history.record_batch(f"{prefix}_batch_size", n_rows)

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
