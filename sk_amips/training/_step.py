"""The gradients of a batch, and the ways to compute them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ._graph import GraphedGradients
from ._loss import BatchLoss, Step
from ._precision import Precision

__all__ = [
    "EagerGradients",
    "check_execution",
    "choose_execution",
    "make_gradients",
]

# With fewer steps, recording a graph takes longer than it saves.
MIN_STEPS_OF_A_GRAPH = 30


class EagerGradients:
    """Puts the gradients of a batch into the parameters, operation by operation.

    Parameters
    ----------
    loss : callable
        A :class:`BatchLoss`, maybe compiled.
    parameters : list of nn.Parameter
        Their gradients are new tensors each time.
    precision : Precision
    clip_norm : float or None
        The norm of all gradients together is cut to it.
    """

    def __init__(
        self,
        loss: Callable[[dict, dict], Step],
        parameters: list[nn.Parameter],
        precision: Precision,
        clip_norm: float | None,
    ):
        self._loss = loss
        self._parameters = parameters
        self._precision = precision
        self._clip_norm = clip_norm

    def __call__(self, x: dict[str, Tensor], y: dict[str, Tensor]) -> Step:
        for parameter in self._parameters:
            parameter.grad = None
        with self._precision.products():
            step = self._loss(x, y)
            step.loss.backward()
        if self._clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        # What is kept of a step does not keep its graph of autograd.
        predicted = tuple(p if p is None else p.detach() for p in step.predicted)
        return step._replace(loss=step.loss.detach(), predicted=predicted)


def check_execution(execution: str, device: torch.device) -> None:
    """Raise a ValueError where a device does not have a way to execute steps."""
    if execution == "graph" and device.type != "cuda":
        raise ValueError(
            f"execution='graph' needs a CUDA device, got {device}; 'auto' takes a "
            "graph where there is one."
        )


def choose_execution(
    execution: str, device: torch.device, *, n_steps: int, watched: bool
) -> str:
    """Choose "eager", "graph" or "compile" for full batches.

    Parameters
    ----------
    execution : {"auto", "eager", "graph", "compile"}
    device : torch.device
    n_steps : int
        Number of steps with full batches.
    watched : bool
        Whether callbacks look at single batches, whose tensors a graph does not have.
    """
    check_execution(execution, device)
    if watched:
        if execution in ("graph", "compile"):
            raise ValueError(
                f"execution={execution!r} cannot have callbacks that look at every "
                "batch (on_batch_begin, on_batch_end, on_grad_computed): take 'auto'."
            )
        return "eager"
    if execution != "auto":
        return execution
    pays = device.type == "cuda" and n_steps >= MIN_STEPS_OF_A_GRAPH
    return "graph" if pays else "eager"


def make_gradients(
    loss: BatchLoss,
    parameters: list[nn.Parameter],
    execution: str,
    *,
    batch_size: int,
    clip_norm: float | None,
    device: torch.device,
) -> Callable[[dict, dict], Step]:
    """What puts gradients into the parameters, in the way that was chosen."""
    options = {"precision": loss.precision, "clip_norm": clip_norm}
    eager = full = EagerGradients(loss, parameters, **options)
    if execution == "eager":
        return eager
    if execution == "compile":
        # The function and not the module, whose state keeps its names.
        compiled = torch.compile(loss.__call__, dynamic=False)
        full = EagerGradients(compiled, parameters, **options)
    if device.type == "cuda":
        full = GraphedGradients(full, parameters, device)

    def gradients(x: dict[str, Tensor], y: dict[str, Tensor]) -> Step:
        # The last batch of an epoch may be smaller; nothing is recorded for it.
        return (full if len(x["x"]) == batch_size else eager)(x, y)

    return gradients
