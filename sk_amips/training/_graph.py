"""Gradients by replay of a CUDA graph: one launch in place of hundreds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ._loss import Step

__all__ = ["GraphedGradients", "record_cuda_graph"]


def record_cuda_graph(
    function: Callable[[], Step], device: torch.device, n_warmup: int = 3
) -> tuple[Callable[[], None], Step]:
    """Record what a function launches on a device.

    Parameters
    ----------
    function : callable
        Runs some times, for libraries to choose and prepare their kernels, and once
        more to be recorded, which computes nothing.
    device : torch.device
    n_warmup : int, default=3

    Returns
    -------
    replay : callable
        Launches the same anew, on the memory that the recorded run has taken.
    result : Step
        What the recorded run returned; each replay fills its tensors.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device):
        current, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            for _ in range(n_warmup):
                function()
        current.wait_stream(aside)
        # Other threads may go on using the device meanwhile.
        with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            result = function()
    return graph.replay, result


class GraphedGradients:
    """Puts the gradients of a batch into the parameters by replay of a recorded graph.

    The first batch is recorded; others of its shapes are copied into its place. The
    optimizer is left out, so that any can be used.

    Parameters
    ----------
    gradients : callable
        What is recorded: it gives parameters new gradients, and changes nothing else.
    parameters : list of nn.Parameter
    device : torch.device
    record : callable, default=record_cuda_graph
        Recorder of a function of no arguments.
    """

    def __init__(
        self,
        gradients: Callable[[dict, dict], Step],
        parameters: list[nn.Parameter],
        device: torch.device,
        record: Callable = record_cuda_graph,
    ):
        self._gradients = gradients
        self._parameters = parameters
        self._device = device
        self._record = record
        self._replay = None

    def __call__(self, x: dict[str, Tensor], y: dict[str, Tensor]) -> Step:
        if self._replay is None:
            self._start(x, y)
        else:
            for kept, given in zip(self._batch, (x, y), strict=True):
                for name, place in kept.items():
                    place.copy_(given[name], non_blocking=True)
        self._replay()
        # A smaller batch in between has put other tensors there.
        for parameter, gradient in zip(self._parameters, self._kept, strict=True):
            parameter.grad = gradient
        # The next replay overwrites what an optimizer may ask for more than once.
        return self._step._replace(terms=self._step.terms.clone())

    def _start(self, x: dict[str, Tensor], y: dict[str, Tensor]) -> None:
        x, y = ({name: t.clone() for name, t in part.items()} for part in (x, y))
        self._batch = x, y
        replay, step = self._record(lambda: self._gradients(x, y), self._device)
        # Predictions would be overwritten, and nothing asks for them.
        self._step = step._replace(predicted=None)
        self._kept = [parameter.grad for parameter in self._parameters]
        self._replay = replay
