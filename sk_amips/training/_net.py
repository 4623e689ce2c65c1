"""The skorch net that the estimators keep private."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from skorch.utils import TeeGenerator

from ._callbacks import Watch, has_stopped
from ._data import TrainingData
from ._given_data_net import GivenDataNet
from ._loss import Step
from ._processes import ONE, OneProcess
from ._run import Run, mean_terms
from ._shared import shared_step

__all__ = ["AmipsNet"]


class AmipsNet(GivenDataNet):
    """A skorch net that trains ``scores_and_keys`` on a :class:`TrainingData`.

    Its differences from :class:`skorch.NeuralNet`: the validation data are given and
    not split off, the module is asked for scores and keys, weights are averaged, and an
    interrupt from the keyboard is passed on, so that it also stops a grid search.

    Steps do not wait for the device: the terms of the loss are added up there and read
    once an epoch, whose history then has one batch, of the means. Where a callback has
    an ``on_batch_begin``, ``on_batch_end`` or ``on_grad_computed`` of its own, every
    batch is read, recorded and notified, as skorch does it; the weights are the same.

    Parameters
    ----------
    module, criterion
        As in :class:`skorch.NeuralNet`.
    ema_decay : float or None, default=None
        Decay of the exponential moving average of the weights, which takes their place
        after each epoch; None: no average.
    clip_norm : float or None, default=1.0
        Norm to which the gradient of a step is clipped; None: any.
    lr_schedule : {"cosine"} or None, default="cosine"
        :func:`warmup_cosine` over ``max_epochs``, or a constant rate.
    warmup : float, default=0.05
        Share of the steps to warm up in.
    execution : {"auto", "eager", "graph", "compile"}, default="auto"
        How the gradients of full batches are computed: see :func:`choose_execution`.
    precision : {"auto", "float32", "tf32", "bfloat16"}, default="auto"
        See :class:`Precision`.
    **kwargs
        As in :class:`skorch.NeuralNet`.
    """

    watch_: Watch | None = None

    def __init__(
        self,
        module,
        criterion,
        *,
        ema_decay: float | None = None,
        clip_norm: float | None = 1.0,
        lr_schedule: str | None = "cosine",
        warmup: float = 0.05,
        execution: str = "auto",
        precision: str = "auto",
        **kwargs,
    ):
        self.ema_decay = ema_decay
        self.clip_norm = clip_norm
        self.lr_schedule = lr_schedule
        self.warmup = warmup
        self.execution = execution
        self.precision = precision
        super().__init__(module, criterion, **kwargs)

    def partial_fit(
        self,
        X: TrainingData,
        y: TrainingData | None = None,
        *,
        epochs: int | None = None,
        seed: int = 0,
        metrics: dict[str, Callable[[], float]] | None = None,
        watch: Watch | None = None,
        processes: OneProcess = ONE,
    ):
        """Train on ``X`` for some epochs, with ``y`` as validation data.

        Calls with a number of epochs of their own keep the learning rate constant.
        ``seed`` fixes the order of the batches; ``metrics`` are evaluated after every
        epoch, for the history; a ``watch`` is told of epochs and may stop them. Each of
        several ``processes`` computes its rows of every batch, and takes the same steps
        as the others. The net must be initialized.
        """
        self.seed_ = seed
        self.metrics_ = metrics or {}
        self.watch_ = watch
        self.epochs_ = self.max_epochs if epochs is None else epochs
        matches_keys = X.best is not None and self.criterion_.key_weight > 0
        self.learns_keys_ = matches_keys or self.criterion_.consistency
        # Callbacks may load weights and the state of the optimizer here.
        self.notify("on_train_begin", X=X, y=y)
        try:
            scheduled = epochs is None
            self.run_ = Run(self, X, y, scheduled=scheduled, processes=processes)
            self.fit_loop(X, y, epochs=self.epochs_)
        except KeyboardInterrupt:
            # skorch's early stopping signals by the exception of the keyboard.
            told = watch is not None and watch.stopped
            if not (told or any(has_stopped(c) for _, c in self.callbacks_)):
                raise
        finally:
            if self.run_ is not None:
                self.run_.restore_rates()
            self.run_ = None
            self.metrics_ = {}
            self.watch_ = None
            self.notify("on_train_end", X=X, y=y)
        return self

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train on the weights, validate on their average."""
        if iterator is None:
            return
        average = self.run_.average if training else None
        if average is not None:
            average.hide()
        self._set_training(training)
        if training:
            self.run_.begin_epoch()
        # Here and not in get_iterator, which callbacks may ask for all of the rows.
        iterator.processes = self._processes()
        if self.run_.watched:
            self._watched_batches(iterator, training, prefix, step_fn)
        else:
            self._record_means(prefix, *mean_terms(iterator, step_fn))
        self.history.record(f"{prefix}_batch_count", len(iterator))
        if average is not None:
            average.show()

    def _watched_batches(self, batches, training, prefix, step_fn):
        """Batches that callbacks look at; their history has those of all processes."""
        for batch, n in zip(batches, batches.sizes, strict=True):
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch)
            self._record_batch_terms(prefix, step.names, step.terms.tolist())
            self.history.record_batch(f"{prefix}_loss", step.loss.item())
            self.history.record_batch(f"{prefix}_batch_size", n)
            seen = {"loss": step.loss, "y_pred": step.predicted}
            self.notify("on_batch_end", batch=batch, training=training, **seen)

    def train_step(self, batch, **fit_params) -> Step:
        """A step of the optimizer, taken into the average of the weights."""
        run, first = self.run_, []

        def closure():
            step = run.gradients(*batch)
            # Of an optimizer that asks for several, the first is that of its weights.
            if not first:
                first.append(step)
            if run.watched:
                parameters = TeeGenerator(self.get_all_learnable_params())
                self.notify(
                    "on_grad_computed",
                    named_parameters=parameters,
                    batch=batch,
                    training=True,
                )
            return step.loss

        if run.rates is not None:
            run.rates.advance()
        self._step_optimizer(closure)
        if run.average is not None:
            run.average.update()
        return first[0]

    def validation_step(self, batch, **fit_params) -> Step:
        """The loss of a batch, in the precision of torch."""
        with torch.no_grad():
            step = self._loss()(*batch)
        return shared_step(step, len(batch[0]["x"]), self._processes())

    def on_epoch_begin(self, net, **kwargs):
        """Begin an epoch, unless the watch has stopped them."""
        # Here all callbacks have heard of the end of the last one.
        if self.watch_ is not None:
            self.watch_.stopped = self._processes().any(self.watch_.stopped)
            if self.watch_.stopped:
                raise KeyboardInterrupt
        super().on_epoch_begin(net, **kwargs)

    def on_epoch_end(self, net, **kwargs):
        """Average the terms of the loss; raise where it is no longer a number."""
        super().on_epoch_end(net, **kwargs)
        self._record_terms()
        losses = self.history[-1, "batches", :, "train_loss"]
        finite = all(p.isfinite().all() for p in self.module_.parameters())
        if self._processes().any(not (finite and np.isfinite(losses).all())):
            raise ValueError(
                f"training diverged in epoch {len(self.history)}: loss or weights are "
                f"not finite; a smaller lr than {self.lr} may help."
            )
        for name, metric in self.metrics_.items():
            self.history.record(name, metric())

    def __getstate__(self):
        # A callback may save the net while it is trained. What belongs to the call that
        # trains, such as a graph or a progress bar, cannot be saved.
        state = {"run_": None, "watch_": None, "metrics_": {}}
        return super().__getstate__() | state
