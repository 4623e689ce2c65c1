"""One pass over all keys, in tiles of products of their codes with those of queries."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .._validation import row_blocks
from ._candidates import Candidates
from ._choice import codes_for
from ._codes import Codes, Float32Codes, KeyCodes, QueryCodes
from ._reader import Reader

__all__ = ["scan"]

# Height and width of a tile that stays in the cache of a CPU; how many are looked at
# together, so that the look's many small steps are worth starting; keys of a group.
_CPU_TILES = (1024, 512, 8, 32)
# A GPU wants tiles that keep all its units busy for milliseconds.
_GPU_TILES = (2**16, 2**14, 1, 128)


def scan(
    reader: Reader, queries: Tensor, unit: Tensor, k: int, budget: int
) -> tuple[np.ndarray, np.ndarray]:
    """Exact top k of queries: scores float64 and indices int64.

    Parameters
    ----------
    reader : Reader
        The keys.
    queries : Tensor of shape (n, d)
        Queries, on the device of the reader.
    unit : Tensor of shape (n,), dtype float64
        Largest coordinate of each query, not zero. Dividing by it keeps the order of
        the scores, and keeps them in float32's range.
    k : int
    budget : int
        Bytes for tiles.
    """
    scaled = (queries / unit[:, None].to(queries)).float()
    unit = unit * reader.unit
    exact = partial(reader.pair_scores, queries)

    n_keys, n_queries = len(reader.keys), len(queries)
    tiles = Tiles.within(budget, *queries.shape, reader.device)
    scaled = F.pad(scaled, (0, 0, 0, tiles.n * tiles.width - n_queries))
    candidates = Candidates(n_keys, k, len(scaled), exact, unit, budget)
    if reader.offset is None:
        finer = codes_for(n_keys, *queries.shape, reader.device)
    else:
        finer = [Float32Codes]
    codes = None
    tighten_at = tiles.height
    for some in row_blocks(n_keys, tiles.height):
        if codes is None or (candidates.overflowed and finer):
            codes, *finer = finer
            candidates.overflowed = False
            coded = codes.encode_queries(scaled)
            room = tiles.room(codes.product_dtype, reader.device)
        keys = codes.encode_keys(reader.block(some, tiles.group), tiles.group)
        shift = reader.shift(some, tiles.group)
        if shift is not None:
            largest = shift.abs().view(-1, tiles.group).amax(dim=1)
            keys = keys._replace(slack=largest * 2.0**-22)
        for few in row_blocks(tiles.n, tiles.at_once):
            part = coded.rows(slice(few.start * tiles.width, few.stop * tiles.width))
            products, top = tiles.multiply(codes, keys, part, room, shift)
            candidates.look(products, top, keys, part, some.start, few.start)
        if some.stop >= tighten_at:
            candidates.tighten()
            tighten_at = 2 * some.stop
    scores, indices = candidates.result()
    return scores.cpu().numpy(), indices.cpu().numpy()


class Tiles(NamedTuple):
    """How the products of all keys with all queries are cut into tiles.

    Attributes
    ----------
    n : int
        Number of tiles that all queries make.
    height, width : int
        Keys and queries of a tile.
    at_once : int
        Tiles whose products are looked at together.
    group : int
        Keys that share bounds, of which only the largest product is looked at.
    """

    n: int
    height: int
    width: int
    at_once: int
    group: int

    @classmethod
    def within(cls, budget: int, n_queries: int, d: int, device: torch.device) -> Tiles:
        """Tiles whose products take a share of a number of bytes."""
        on_cpu = device.type == "cpu"
        height, width, at_once, group = _CPU_TILES if on_cpu else _GPU_TILES
        # Four bytes a product, and as much for the copies that a worst case makes; keys
        # in float32, their codes, and what lies between.
        while height * (8 * width + 16 * d) > budget and height > 2 * group:
            height, width = height // 2, max(1, width // 2)
        share = budget // 8
        n = -(-n_queries // width)
        at_once = max(1, min(at_once, n, share // (height * width)))
        # Matrix units of a GPU are many times slower with odd widths.
        unit = 1 if on_cpu else 64
        width = unit * -(-n_queries // (n * unit))
        return cls(n, height, width, at_once, group)

    def room(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Room for the products of the tiles of one look."""
        size = self.at_once * self.height * self.width
        return torch.empty(size, dtype=dtype, device=device)

    def multiply(
        self,
        codes: type[Codes],
        keys: KeyCodes,
        queries: QueryCodes,
        room: Tensor,
        shift: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Products of some tiles, and the largest of each group of keys."""
        shape = len(queries.codes) // self.width, -1, self.group, self.width
        products = room[: len(keys.codes) * len(queries.codes)].view(shape)
        top = products.new_empty(len(products), products.shape[1], self.width)
        for tile, largest, some in zip(
            products, top, queries.codes.split(self.width), strict=True
        ):
            codes.product(keys.codes, some, tile.flatten(0, 1))
            if shift is not None:
                tile += shift.view(-1, self.group, 1)
            # While the tile is in the cache.
            torch.amax(tile, dim=1, out=largest)
        return products, top
