"""Processes that share the work of a fit, through Hugging Face Accelerate."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .._validation import row_blocks

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["ONE", "OneProcess", "SeveralProcesses", "device_of", "processes_of"]

# Parts of a search begin at multiples of this: products of matrices of very few rows
# are rounded in another way, and labels shall not depend on the number of processes.
_UNIT = 256
# Bytes that are gathered at a time.
_GATHERED = 2**27

Found = tuple[np.ndarray | None, ...]


def processes_of(accelerator: Accelerator | None) -> OneProcess:
    """The processes of an accelerator, or one alone."""
    if accelerator is None or accelerator.num_processes == 1:
        return ONE
    return SeveralProcesses(accelerator)


def device_of(accelerator: Accelerator) -> torch.device:
    """Where an accelerator computes."""
    device = accelerator.device
    # Processes of a CPU number it, and torch does not load tensors of "cpu:0".
    return torch.device("cpu") if device.type == "cpu" else device


class OneProcess:
    """A process that has all the work for itself, and nobody to agree with.

    Attributes
    ----------
    count : int
        Number of processes.
    is_main : bool
        Whether this is the one that shows progress.
    """

    count = 1
    is_main = True

    def part(self, n: int) -> slice:
        """Rows of n that are this process's own, maybe none."""
        return slice(0, n)

    def part_of_batch(self, n: int) -> slice:
        """Rows of a batch of n that this process computes, at least one."""
        return slice(0, n)

    def searched(
        self, search: Callable[[np.ndarray], Found], queries: np.ndarray
    ) -> Found:
        """``search(queries)``, whose arrays have a row a query; each process a part."""
        return search(queries)

    def mean(self, value: Callable[[], float], weight: float) -> float:
        """Weighted mean over processes; one of weight zero is not asked for a value."""
        return value()

    def any(self, flag: bool) -> bool:
        """Whether a flag is set in any process."""
        return flag

    def agreed(self, array: np.ndarray) -> np.ndarray:
        """The array of the main process."""
        return array

    def share_weights(self, module: nn.Module) -> None:
        """Give a module the weights that it has in the main process."""

    def check_same(self, **arrays) -> None:
        """Raise, in all processes, where an array is not the same in all."""


ONE = OneProcess()


class SeveralProcesses(OneProcess):
    """Processes that were started together, of which this is one.

    All of them have to call each method but :meth:`part` and :meth:`part_of_batch`, in
    the same order. What comes of it is the same in all of them, to the bit.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
    """

    # skorch.hf.AccelerateMixin is not used: it prepares DataLoaders, whose rows are
    # collated one by one, and a DistributedDataParallel module, whose hooks need
    # `backward` at every step, where here batches are gathered by index and steps are
    # replayed as CUDA graphs; between gradients and optimizer Accelerate's reduce does.

    def __init__(self, accelerator: Accelerator):
        self._accelerator = accelerator
        self._device = device_of(accelerator)
        self._index = accelerator.process_index
        self.count = accelerator.num_processes
        self.is_main = accelerator.is_main_process

    def part(self, n: int) -> slice:
        bounds = self._bounds(n)
        return slice(bounds[self._index], bounds[self._index + 1])

    def part_of_batch(self, n: int) -> slice:
        # Fewer rows than processes are computed by each of them as a whole: then the
        # mean over processes is that over rows, too.
        return slice(0, n) if n < self.count else self.part(n)

    def _bounds(self, n: int, unit: int = 1) -> list[int]:
        """Where the parts of n rows begin and end, all but the end multiples of unit.

        Sizes differ by one unit at most, and what is left of one in the last part.
        """
        return [unit * (n // unit * i // self.count) for i in range(self.count)] + [n]

    def searched(self, search, queries):
        bounds = self._bounds(len(queries), _UNIT)
        own = slice(bounds[self._index], bounds[self._index + 1])
        # Without a query of its own it has to know the shapes of what is found.
        found = search(queries[own] if own.start < own.stop else queries[:1])
        return tuple(None if a is None else self._joined(a, bounds) for a in found)

    def _joined(self, own: np.ndarray, bounds: list[int]) -> np.ndarray:
        """The parts of all processes, gathered block by block."""
        whole = np.empty((bounds[-1], *own.shape[1:]), dtype=own.dtype)
        sizes = np.diff(bounds)
        own = own[: sizes[self._index]]
        row_bytes = max(1, whole.itemsize * whole[:1].size) * self.count
        for rows in row_blocks(max(sizes), max(1, _GATHERED // row_bytes)):
            mine = own[rows]
            block = np.zeros((rows.stop - rows.start, *own.shape[1:]), dtype=own.dtype)
            block[: len(mine)] = mine
            gathered = self._gather(torch.from_numpy(block)).cpu().numpy()
            parts = gathered.reshape(self.count, *block.shape)
            for part, start, stop in zip(parts, bounds, bounds[1:], strict=False):
                place = whole[start:stop][rows]
                place[:] = part[: len(place)]
        return whole

    def mean(self, value, weight):
        own = torch.tensor([value() if weight else 0.0], dtype=torch.float64)
        return float(self.mean_tensors([own.to(self._device)], weight)[0])

    def mean_tensors(self, tensors: Sequence[Tensor], weight: float) -> list[Tensor]:
        """Weighted means over processes, by one sum of one flat buffer.

        Parameters
        ----------
        tensors : list of Tensor
            Of one dtype, on the device of this process.
        weight : float
            Of this process, such as its number of rows; the device is not waited for.

        Returns
        -------
        means : list of Tensor
            Views of the buffer.
        """
        flat = torch.cat([*(t.flatten() for t in tensors), tensors[0].new_ones(1)])
        flat = self._accelerator.reduce(flat.mul_(weight), reduction="sum")
        means = flat[:-1].div_(flat[-1])
        parts = means.split([t.numel() for t in tensors])
        return [part.view(t.shape) for part, t in zip(parts, tensors, strict=True)]

    def any(self, flag):
        return self.mean(lambda: float(flag), 1.0) > 0

    def agreed(self, array):
        from accelerate.utils import broadcast

        tensor = torch.from_numpy(np.array(array)).to(self._device)
        return broadcast(tensor).cpu().numpy()

    @torch.no_grad()
    def share_weights(self, module):
        from accelerate.utils import broadcast

        for tensor in (*module.parameters(), *module.buffers()):
            dense = tensor.detach().clone(memory_format=torch.contiguous_format)
            tensor.copy_(broadcast(dense))

    def check_same(self, **arrays):
        own = torch.tensor([[_digest(array) for array in arrays.values()]])
        digests = self._gather(own).cpu()
        differs = (digests != digests[:1]).any(dim=0)
        if differs.any():
            names = [n for n, d in zip(arrays, differs, strict=True) if d]
            raise ValueError(
                f"{' and '.join(names)} must be the same in all processes, which share "
                "one fit: they differ."
            )

    def _gather(self, tensor: Tensor) -> Tensor:
        """The rows of all processes, of which each has equally many."""
        return self._accelerator.gather(tensor.to(self._device))


def _digest(array) -> int:
    """A number that tells arrays apart; None has one as well."""
    if array is None:
        return -1
    array = np.asarray(array)
    if array.dtype.kind not in "biufc":
        return zlib.crc32(repr(array.tolist()).encode())
    digest = zlib.crc32(repr((array.shape, array.dtype.str)).encode())
    array = np.atleast_1d(array)
    for rows in row_blocks(len(array)):
        digest = zlib.crc32(np.ascontiguousarray(array[rows]).data, digest)
    return digest
