"""Which codes are fastest on a device, measured once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from time import perf_counter

import torch

from ._codes import BFloat16Codes, Codes, Float32Codes, Int8Codes

__all__ = ["SMALL", "codes_for", "fastest_on_cpu", "seconds_of"]

# Key, query pairs below which there is nothing to gain.
SMALL = 2**24
# A tile, large enough to keep all units busy, and its width.
_ROWS, _WIDTH = {"cpu": 1024, "cuda": 2**13}, 256
# So many that all codes are measured in a quiet moment too.
_REPEATS = 10


def codes_for(n_keys: int, n_queries: int, d: int, device: torch.device) -> list:
    """Codes to scan with, the fastest first and then ever finer ones."""
    if n_keys * n_queries < SMALL:
        return [Float32Codes]
    return [c for c in _by_speed(device) if c is not Int8Codes or d < 2**16]


def fastest_on_cpu(d: int) -> type[Codes]:
    """Codes for large products of vectors of width d on this processor."""
    return codes_for(SMALL, SMALL, d, torch.device("cpu"))[0]


@lru_cache
def _by_speed(device: torch.device) -> list[type[Codes]]:
    """From coarse to fine, those codes that are faster than all finer ones.

    All give the same results, so that a wrong measurement costs time and nothing else.
    """
    seconds = _measure(device)
    chosen = [Float32Codes]
    for codes in (BFloat16Codes, Int8Codes):
        if seconds.get(codes, float("inf")) < seconds[chosen[0]]:
            chosen = [codes, *chosen]
    return chosen


def _measure(device: torch.device) -> dict[type[Codes], float]:
    """Seconds for a tile of each kind of codes that this device has."""
    rows = _ROWS[device.type]
    generator = torch.Generator().manual_seed(0)
    keys, queries = torch.randint(
        -127, 128, (2, rows, _WIDTH), dtype=torch.int8, generator=generator
    ).to(device)
    # Sums of pairs of products that processors without such units cut off at 16 bits.
    keys[:4] = queries[:4] = 127
    keys[:2] = -127
    runs = {}
    for codes in (Float32Codes, BFloat16Codes, Int8Codes):
        tile = keys.to(codes.dtype), queries.to(codes.dtype)
        try:
            products = codes.product(*tile)
        except (RuntimeError, AttributeError):  # no such product here
            continue
        if codes is not Int8Codes or torch.equal(
            products.double(), keys.double() @ queries.double().T
        ):
            runs[codes] = partial(_multiply, codes, *tile)
    return seconds_of(runs, device)


def _multiply(codes: type[Codes], keys: torch.Tensor, queries: torch.Tensor) -> None:
    codes.product(keys, queries).view(-1, 32, len(queries)).amax(dim=1)


def seconds_of(runs: dict[object, Callable[[], object]], device: torch.device) -> dict:
    """Seconds that each of some functions takes, by name, the least of several."""
    seconds = dict.fromkeys(runs, float("inf"))
    for _ in range(_REPEATS):
        for name, run in runs.items():
            _wait(device)
            start = perf_counter()
            run()
            _wait(device)
            seconds[name] = min(seconds[name], perf_counter() - start)
    return seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
