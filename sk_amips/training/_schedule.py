"""What changes from step to step: the learning rate, and the average of the weights."""

from __future__ import annotations

import math

import torch

__all__ = ["RateSchedule", "WeightAverage", "warmup_cosine"]


def warmup_cosine(step: int, n_steps: int, warmup: float) -> float:
    """Share of the learning rate at a step: linear warm-up, then cosine decay.

    Parameters
    ----------
    step : int
        From 0 to ``n_steps - 1``.
    n_steps : int
        Number of steps.
    warmup : float
        Share of the steps to warm up in.

    Examples
    --------
    >>> from sk_amips.training import warmup_cosine
    >>> [round(warmup_cosine(step, 8, warmup=0.25), 2) for step in range(8)]
    [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07]
    """
    n_warm = math.ceil(warmup * n_steps)
    if step < n_warm:
        return (step + 1) / n_warm
    progress = (step - n_warm) / max(1, n_steps - n_warm)
    return 0.5 * (1.0 + math.cos(math.pi * progress))


class RateSchedule:
    """Linear warm-up and cosine decay of the learning rates of an optimizer.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    n_steps : int
        Number of steps.
    warmup : float
        Share of the steps to warm up in.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, n_steps: int, warmup: float):
        self._groups = optimizer.param_groups
        self._rates = [group["lr"] for group in self._groups]
        self._n_steps = n_steps
        self._warmup = warmup
        self._step = 0

    def advance(self) -> None:
        """Set the rates of the next step."""
        share = warmup_cosine(self._step, self._n_steps, self._warmup)
        self._step += 1
        self._set(share)

    def restore(self) -> None:
        """Set the rates to what they were at first."""
        self._set(1.0)

    def _set(self, share: float) -> None:
        for group, rate in zip(self._groups, self._rates, strict=True):
            group["lr"] = share * rate


class WeightAverage:
    """Exponential moving average of the parameters of a module.

    The decay grows from 0.1 to its final value, as ``(1 + t) / (10 + t)`` after ``t``
    steps, so that the initial weights are soon forgotten.

    Parameters
    ----------
    module : torch.nn.Module
        The module, whose parameters are trained in place.
    decay : float
        Final decay, below 1.
    """

    def __init__(self, module: torch.nn.Module, decay: float):
        self._live = [p.detach() for p in module.parameters()]
        self._average = [p.clone() for p in self._live]
        self._trained = None
        self.decay = decay
        self.step = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the present parameters into the average."""
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self._average, self._live, 1 - decay)
        self.step += 1

    @torch.no_grad()
    def show(self) -> None:
        """Put the average into the module, and the trained parameters aside."""
        self._trained = [p.clone() for p in self._live]
        torch._foreach_copy_(self._live, self._average)

    @torch.no_grad()
    def hide(self) -> None:
        """Put the trained parameters back into the module."""
        if self._trained is not None:
            torch._foreach_copy_(self._live, self._trained)
            self._trained = None
