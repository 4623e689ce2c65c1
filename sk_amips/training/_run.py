"""What one call of training keeps from step to step."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from skorch.callbacks import LRScheduler

from ._batches import Batches
from ._callbacks import looks_at_batches
from ._data import TrainingData
from ._loss import BatchLoss, Step
from ._place import place
from ._precision import Precision
from ._processes import OneProcess
from ._schedule import RateSchedule, WeightAverage
from ._shared import SharedGradients
from ._step import choose_execution, make_gradients

if TYPE_CHECKING:
    from ._net import AmipsNet

__all__ = ["Run", "mean_terms"]


class Run:
    """What one call of training keeps from step to step.

    Parameters
    ----------
    net : AmipsNet
        Its parameters say how to train.
    train : TrainingData
    valid : TrainingData or None
    scheduled : bool
        Whether the learning rate may follow the schedule of the net.
    processes : OneProcess
        Those that share the work.

    Attributes
    ----------
    watched : bool
        Whether a callback looks at single batches.
    gradients : callable
        Puts the gradients of a batch into the parameters.
    average : WeightAverage or None
    rates : RateSchedule or None
    placed : dict of int to Placed
        Where the arrays of the data sets are, by ``id``.
    processes : OneProcess
    """

    def __init__(
        self,
        net: AmipsNet,
        train: TrainingData,
        valid: TrainingData | None,
        *,
        scheduled: bool,
        processes: OneProcess,
    ):
        device = torch.device(net.device)
        self.processes = processes
        processes.share_weights(net.module_)
        self.watched = any(looks_at_batches(callback) for _, callback in net.callbacks_)
        execution = choose_execution(
            net.execution,
            device,
            n_steps=net.epochs_ * (len(train) // net.batch_size),
            watched=self.watched,
        )
        if net.clip_norm is not None and not net.clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0 or None, got {net.clip_norm}.")
        precision = Precision(net.precision, device)
        self._parameters = [p for _, p in net.get_all_learnable_params()]
        self._criterion = net.criterion_
        own = processes.part_of_batch(net.batch_size)
        self._make_gradients = partial(
            make_gradients,
            BatchLoss(net.module_, net.criterion_, net.learns_keys_, precision),
            self._parameters,
            execution,
            batch_size=own.stop - own.start,
            device=device,
        )
        self._clip_norm = net.clip_norm
        self._made_for = None
        self.average = self.rates = None
        if net.ema_decay is not None:
            self.average = WeightAverage(net.module_, net.ema_decay)
        if scheduled and net.lr_schedule is not None:
            if any(isinstance(callback, LRScheduler) for _, callback in net.callbacks_):
                raise ValueError(
                    f"lr_schedule={net.lr_schedule!r} sets the learning rate of every "
                    "step: beside an LRScheduler take lr_schedule=None."
                )
            n_steps = net.epochs_ * math.ceil(len(train) / net.batch_size)
            self.rates = RateSchedule(net.optimizer_, n_steps, net.warmup)
        datasets = [data for data in (train, valid) if data is not None]
        self.placed = dict(zip(map(id, datasets), place(datasets, device), strict=True))

    def begin_epoch(self) -> None:
        """Make ``gradients``, anew where a callback changed what they are made of.

        A recorded graph has fixed which parameters learn, and the weights of the loss.
        """
        learning = [p.requires_grad for p in self._parameters]
        weights = {k: v for k, v in vars(self._criterion).items() if k[0] != "_"}
        if self._made_for != (learning, weights):
            self.gradients = self._made_gradients()
            self._made_for = learning, weights

    def _made_gradients(self) -> Callable[..., Step]:
        if self.processes.count == 1:
            return self._make_gradients(clip_norm=self._clip_norm)
        # What is clipped is the gradient of the whole batch.
        return SharedGradients(
            self._make_gradients(clip_norm=None),
            self._parameters,
            self.processes,
            self._clip_norm,
        )

    def restore_rates(self) -> None:
        """Set the learning rates to what they were ahead of training."""
        if self.rates is not None:
            self.rates.restore()


def mean_terms(
    batches: Batches, step_fn: Callable[..., Step]
) -> tuple[tuple[str, ...], list[float], int]:
    """Names and means over rows of the terms of a loss, and the number of rows.

    The terms are added up where they are: the device is waited for once.
    """
    totals, n_rows = None, 0
    for batch, n in zip(batches, batches.sizes, strict=True):
        step = step_fn(batch)
        if totals is None:
            totals = torch.zeros_like(step.terms, dtype=torch.float64)
        totals.add_(step.terms, alpha=n)
        n_rows += n
    return step.names, (totals / n_rows).tolist(), n_rows
