"""The gradients of a batch whose rows several processes share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ._loss import Step
from ._processes import OneProcess, SeveralProcesses

__all__ = ["SharedGradients", "shared_step"]


class SharedGradients:
    """Puts the gradients of a whole batch into the parameters of every process.

    Each has the gradients of its rows, computed in whatever way; their mean by rows is
    that of the batch. They travel in one buffer, together with the loss, so that an
    optimizer that looks at it does the same in all processes.

    Parameters
    ----------
    gradients : callable
        Puts the gradients of own rows into the parameters, not clipped.
    parameters : list of nn.Parameter
    processes : SeveralProcesses
    clip_norm : float or None
        The norm of all gradients of the batch together is cut to it.
    """

    def __init__(
        self,
        gradients: Callable[[dict, dict], Step],
        parameters: list[nn.Parameter],
        processes: SeveralProcesses,
        clip_norm: float | None,
    ):
        self._gradients = gradients
        self._parameters = parameters
        self._processes = processes
        self._clip_norm = clip_norm

    def __call__(self, x: dict[str, Tensor], y: dict[str, Tensor]) -> Step:
        step = self._gradients(x, y)
        learning = [p for p in self._parameters if p.grad is not None]
        *means, loss, terms = self._processes.mean_tensors(
            [*(p.grad for p in learning), step.loss, step.terms], len(x["x"])
        )
        for parameter, gradient in zip(learning, means, strict=True):
            parameter.grad = gradient
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_(learning, self._clip_norm)
        return step._replace(loss=loss, terms=terms)


def shared_step(step: Step, n: int, processes: OneProcess) -> Step:
    """The loss of a whole batch from that of n own rows, without gradients."""
    if processes.count == 1:
        return step
    loss, terms = processes.mean_tensors([step.loss, step.terms], n)
    return step._replace(loss=loss, terms=terms)
