"""Which codes are fastest on a device, measured once."""

from __future__ import annotations

from functools import lru_cache
from time import perf_counter

import torch

from ._codes import BFloat16Codes, Codes, Float32Codes, Int8Codes

__all__ = ["codes_for"]

# Key, query pairs below which there is nothing to gain.
_SMALL = 2**24
# A tile, large enough to keep all units busy, and its width.
_ROWS, _WIDTH = {"cpu": 1024, "cuda": 2**13}, 256
_REPEATS = 3


def codes_for(n_keys: int, n_queries: int, d: int, device: torch.device) -> list:
    """Codes to scan with, the fastest first and then ever finer ones."""
    if n_keys * n_queries < _SMALL:
        return [Float32Codes]
    return [c for c in _by_speed(device) if c is not Int8Codes or d < 2**16]


@lru_cache
def _by_speed(device: torch.device) -> list[type[Codes]]:
    """From coarse to fine, those codes that are faster than all finer ones.

    All give the same results, so that a wrong measurement costs time and nothing else.
    """
    chosen, fastest = [Float32Codes], _seconds(Float32Codes, device)
    for codes in (BFloat16Codes, Int8Codes):
        seconds = _seconds(codes, device)
        if seconds < fastest:
            chosen, fastest = [codes, *chosen], seconds
    return chosen


def _seconds(codes: type[Codes], device: torch.device) -> float:
    """Time of the product of a tile; infinite where it fails or is not exact."""
    rows = _ROWS[device.type]
    generator = torch.Generator().manual_seed(0)
    keys, queries = torch.randint(
        -127, 128, (2, rows, _WIDTH), dtype=torch.int8, generator=generator
    ).to(device)
    # Sums of pairs of products that processors without such units cut off at 16 bits.
    keys[:4] = queries[:4] = 127
    keys[:2] = -127
    expected = keys.double() @ queries.double().T
    keys, queries = keys.to(codes.dtype), queries.to(codes.dtype)
    times = []
    try:
        for _ in range(1 + _REPEATS):
            _wait(device)
            start = perf_counter()
            products = codes.product(keys, queries)
            products.view(-1, 32, rows).amax(dim=1)
            _wait(device)
            times.append(perf_counter() - start)
    except (RuntimeError, AttributeError):  # no such product here
        return float("inf")
    if codes is Int8Codes and not torch.equal(products.double(), expected):
        return float("inf")
    return min(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
