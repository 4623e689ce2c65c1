"""Where the arrays of data sets are kept, and how batches get to the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._validation import row_blocks
from ._data import FIELDS, TrainingData

__all__ = ["Placed", "place", "prefetched"]


@dataclass(frozen=True)
class Placed:
    """The arrays of a :class:`TrainingData` on one device.

    Attributes
    ----------
    arrays : dict of str to Tensor
        Those of its fields that there are.
    rows : Tensor of shape (n_rows,), dtype int64, or None
        Which rows of them are the data; None: all.
    keys : Tensor or ndarray of shape (n_keys, d) or None
        On the CPU as they were given, which may be a memmap.
    device : torch.device
    """

    arrays: dict[str, Tensor]
    rows: Tensor | None
    keys: Tensor | np.ndarray | None
    device: torch.device


def place(datasets: Sequence[TrainingData], device: str | torch.device) -> list[Placed]:
    """Bring data sets to a device, if they take less than half of its free memory.

    What they share goes there once: the keys, and all else of the parts of one split.
    """
    device, first = torch.device(device), datasets[0]
    if not _has_room(device, _n_bytes(datasets)):
        device = torch.device("cpu")
    # Of a part of the queries only that part goes to another device, unless the other
    # part does as well.
    whole = device.type == "cpu" or (
        len(datasets) > 1 and all(data.queries is first.queries for data in datasets)
    )
    moved = {}

    def move(array: np.ndarray) -> Tensor:
        if id(array) not in moved:
            # The array as well: while it is alive, no other has its id.
            moved[id(array)] = array, torch.from_numpy(array).to(device)
        return moved[id(array)][1]

    keys = {id(data.keys): data.keys for data in datasets}
    if device.type != "cpu":
        keys = {name: _rows_on(device, some) for name, some in keys.items()}
    placed = []
    for data in datasets:
        fields = {
            name: getattr(data, name) if whole else data.field(name) for name in FIELDS
        }
        arrays = {name: move(a) for name, a in fields.items() if a is not None}
        rows = None
        if whole and data.rows is not None:
            rows = torch.from_numpy(data.rows).to(device)
        placed.append(Placed(arrays, rows, keys[id(data.keys)], device))
    return placed


def _n_bytes(datasets: Sequence[TrainingData]) -> float:
    """What data sets take on a device."""
    keys = {id(data.keys): data.keys for data in datasets if data.keys is not None}
    n_bytes = sum(4 * some.size for some in keys.values())
    for data in datasets:
        arrays = (getattr(data, name) for name in FIELDS)
        share = len(data) / len(data.queries)
        n_bytes += share * sum(a.nbytes for a in arrays if a is not None)
    return n_bytes


def _has_room(device: torch.device, n_bytes: float) -> bool:
    """Whether that many bytes may be kept on a device."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes < free / 2


def _rows_on(device: torch.device, keys: np.ndarray | None) -> Tensor | None:
    """Keys in float32 on a device, without a copy of all of them on the CPU."""
    if keys is None:
        return None
    moved = torch.empty(keys.shape, dtype=torch.float32, device=device)
    for rows in row_blocks(len(keys)):
        moved[rows] = torch.from_numpy(keys[rows].astype(np.float32)).to(device)
    return moved


Batch = tuple[dict[str, Tensor], dict[str, Tensor]]


def prefetched(batches: Iterable[Batch], device: str | torch.device) -> Iterator[Batch]:
    """Batches of the CPU on a device, each copied while the last is computed with.

    Tensors that lie in pinned memory are copied without waiting. On the CPU they are
    the batches themselves.
    """
    device = torch.device(device)
    if device.type == "cpu":
        yield from batches
        return
    aside, ahead = torch.cuda.Stream(device), None
    for batch in batches:
        with torch.cuda.stream(aside):
            following = _copied(batch, device), aside.record_event()
        if ahead is not None:
            yield _arrived(*ahead)
        ahead = following
    if ahead is not None:
        yield _arrived(*ahead)


def _copied(batch: Batch, device: torch.device) -> Batch:
    return tuple(
        {name: t.pin_memory().to(device, non_blocking=True) for name, t in part.items()}
        for part in batch
    )


def _arrived(batch: Batch, event: torch.cuda.Event) -> Batch:
    """A batch that the present stream may use once it has been copied."""
    tensors = [tensor for part in batch for tensor in part.values()]
    stream = torch.cuda.current_stream(tensors[0].device)
    stream.wait_event(event)
    for tensor in tensors:
        # Its memory was taken on the other stream, and is free when this one is done.
        tensor.record_stream(stream)
    return batch
