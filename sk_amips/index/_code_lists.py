"""Lists of keys in short codes, scored list by list for all queries of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from .._lists import whole_lists
from .._memmaps import release
from ..exact._choice import fastest_on_cpu
from ..partition import Partition
from ._export import in_units
from ._found import Candidates, kth_largest
from ._queries import Queries, encode
from ._single import candidates_of_one

__all__ = ["CodeLists"]

# Queries and lists whose errors are measured.
_QUERIES, _LISTS = 128, 64
# Products of codes that are held at a time.
_PRODUCTS = 2**22
# Keys of a part, at most, and parts of a list of mean size, at least.
_PART, _PARTS = 16, 4
# Parts whose best scores are compared first.
_TOGETHER = 8
# Cost of a visit, of a list that is visited, and of any of its keys, in products.
_VISIT, _LIST, _KEY = 32, 1024, 32


class Visits(NamedTuple):
    """Products of the codes of queries with those of all keys of some lists.

    Attributes
    ----------
    query, list : ndarray of shape (n_visits,), dtype int64
        Who visits which list.
    start, width : ndarray of shape (n_visits,), dtype int64
        Where its products are. The last ones may be of the last key again.
    products : Tensor of shape (n_products,)
    factor, error : ndarray of shape (n_visits,), dtype float32
        Turn products into scores, and bound the error of these.
    """

    query: np.ndarray
    list: np.ndarray
    start: np.ndarray
    width: np.ndarray
    products: torch.Tensor
    factor: np.ndarray
    error: np.ndarray


class CodeLists:
    """Keys in lists, as the short codes that this processor multiplies fastest.

    Products of codes rule out keys by a bound on their error, as in
    :func:`sk_amips.exact_search`; the keys themselves, by reference, give the scores of
    the others. So the result is the one of scoring every key of the lists visited;
    after :meth:`measure_errors` with a probability close to one, not with certainty.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, d)
        Keys, by reference.
    partition : Partition
        Their lists.
    max_norm : float
        Bound on their norms.
    """

    def __init__(self, keys: np.ndarray, partition: Partition, max_norm: float):
        self.keys = keys
        self.partition = partition
        self.unit = max_norm or 1.0
        self.coding = fastest_on_cpu(keys.shape[1])
        mean = max(1, len(keys) // (_PARTS * partition.n_partitions))
        # Lists are of whole parts.
        self.part = min(_PART, 2 ** (mean.bit_length() - 1))
        self.widths = -(-partition.sizes_ // self.part) * self.part
        blocks = whole_lists(keys, partition)
        coded = [self._encode(*some) for some in zip(blocks, self.widths, strict=True)]
        # As the second factor of a product.
        self.codes = [list_codes.codes.T for list_codes in coded]
        scale = [1.0 if c.scale is None else float(c.scale) for c in coded]
        self.scale = np.array(scale, dtype=np.float32)
        self.size = np.array([float(c.size) for c in coded], dtype=np.float32)
        self.error = np.array([float(c.error) for c in coded], dtype=np.float32)
        # Share of the bounds on errors that is believed.
        self.trust = 1.0

    def _encode(self, keys: np.ndarray, width: int):
        keys = in_units(keys, self.unit)
        more = width - len(keys)
        keys = torch.from_numpy(np.pad(keys, ((0, more), (0, 0)), mode="edge"))
        return self.coding.encode_keys(keys, len(keys))

    def measure_errors(self, unit: np.ndarray, seed: int = 0) -> None:
        """Let errors be what they are, and no more what they could be at worst.

        The bound on an error holds for any key and query, and is met where all
        roundings conspire. Among a million pairs of keys and given queries the largest
        error is a small part of it: one and a half times that part is the bound from
        now on.

        Parameters
        ----------
        unit : ndarray of shape (n, d), dtype float32
            Unit queries, at most a few hundred of which are used.
        seed : int, default=0
        """
        self.trust = 1.0
        rng = np.random.default_rng(seed)
        unit = unit[rng.permutation(len(unit))[:_QUERIES]]
        queries = self.encode(np.ascontiguousarray(unit))
        largest = 0.0
        for j in rng.permutation(self.partition.n_partitions)[:_LISTS]:
            mask = np.zeros((self.partition.n_partitions, len(unit)), dtype=bool)
            mask[j] = True
            keys = self.keys[self.partition.members(j)].astype(np.float64)
            for visits in self._visits(queries, mask):
                exact = unit[visits.query].astype(np.float64) @ keys.T
                found = visits.products.numpy().reshape(len(exact), -1)
                found = found[:, : len(keys)] * visits.factor[:, None]
                error = np.abs(found - exact) / visits.error[:, None]
                largest = max(largest, float(error.max()))
            release(self.keys)
        # Random roundings come to 1 / sqrt(d) of the bound: eight times that at least.
        self.trust = min(1.0, max(1.5 * largest, 8 / unit.shape[1] ** 0.5))

    @property
    def nbytes(self) -> int:
        """Bytes of the codes."""
        return sum(codes.nbytes for codes in self.codes)

    def cost(self, mask: np.ndarray, n_batch: int) -> float:
        """Cost of visits for a query of a batch, in products of a query with a key.

        Parameters
        ----------
        mask : ndarray of shape (n_lists, n), dtype bool
            Visits of queries like those of the batch.
        n_batch : int
            Number of queries that share the cost of a list.
        """
        visited = mask.mean(axis=1)
        shared = (1 - (1 - visited) ** n_batch) / n_batch
        return float(
            visited @ (self.widths + _VISIT) + shared @ (self.widths * _KEY + _LIST)
        )

    def refine_more(self) -> bool:
        """Nothing is to be refined: lists lose no key."""
        return False

    def encode(self, unit: np.ndarray) -> Queries:
        """Codes of unit vectors."""
        return encode(unit, self.coding, self.unit)

    def search(
        self, queries: Queries, mask: np.ndarray, least: np.ndarray, k: int
    ) -> Candidates:
        """Keys of some lists that may be among the k best of each query.

        Parameters
        ----------
        queries : Queries
        mask : ndarray of shape (n_lists, n_queries), dtype bool
            Who visits which list.
        least : ndarray of shape (n_queries,), dtype float32
            Bound from below on the k-th best score, raised in place.
        k : int
        """
        if mask.shape[1] == 1:
            return candidates_of_one(self, queries, np.flatnonzero(mask), least, k)
        found = Candidates.empty()
        for visits in self._visits(queries, mask):
            found = found.add(self._reaching(visits, least, k))
        return found

    def _visits(self, queries: Queries, mask: np.ndarray) -> Iterator[Visits]:
        n = mask.shape[1]
        lists, query = np.divmod(np.flatnonzero(mask), n)
        width = self.widths[lists]
        ends = np.cumsum(width)
        start = 0
        while start < len(query):
            done = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, done + _PRODUCTS)))
            some = slice(start, stop)
            yield self._multiply(queries, query[some], lists[some], width[some])
            start = stop

    def _multiply(self, queries, query, lists, width) -> Visits:
        """Products for visits in the order of their lists."""
        ends = np.cumsum(width)
        codes, mm = self.codes, self.coding.mm
        gathered = queries.codes.index_select(0, torch.from_numpy(query))
        products = torch.empty(int(ends[-1]), dtype=self.coding.product_dtype)
        first = np.flatnonzero(np.diff(lists, prepend=-1))
        visited, n_visitors = lists[first], np.diff(first, append=len(lists))
        widths = self.widths[visited]
        for j, height, columns, some, out in zip(
            visited.tolist(),
            n_visitors.tolist(),
            widths.tolist(),
            gathered.split(n_visitors.tolist()),
            products.split((n_visitors * widths).tolist()),
            strict=True,
        ):
            mm(some, codes[j], out=out.view(height, columns))
        if products.dtype == torch.bfloat16:  # unknown to numpy
            products = products.float()
        scaling = self.scaling(queries, query, lists)
        return Visits(query, lists, ends - width, width, products, *scaling)

    def scaling(
        self, queries: Queries, query: np.ndarray, lists: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What turns products of visits into scores, and bounds the error of these."""
        factor = self.scale[lists] * queries.factor[query]
        error = self.error[lists] * queries.size[query]
        error += self.size[lists] * queries.error[query]
        # The last bits of products in float32.
        error *= self.trust * (1 + 1e-6)
        return factor, error

    def _reaching(self, visits: Visits, least: np.ndarray, k: int) -> Candidates:
        """Keys whose score may reach the least wanted, which is raised first."""
        products = visits.products.view(-1, self.part)
        n_parts = visits.width // self.part
        visit = np.repeat(np.arange(len(visits.query)), n_parts)
        starts = np.repeat(visits.start // self.part, n_parts)
        n = len(least)
        query, error = visits.query[visit], visits.error[visit]
        factor = visits.factor[visit]
        largest = products.amax(dim=1).float().numpy() * factor
        if k == 1 or np.isneginf(least).any():
            # The k-th largest over groups of keys bounds that over keys from below:
            # first over some parts together, then over the parts that reach that.
            lower = largest - error
            firsts = np.flatnonzero((np.arange(len(visit)) - starts) % _TOGETHER == 0)
            coarse = np.maximum.reduceat(lower, firsts)
            np.maximum(least, kth_largest(query[firsts], coarse, k, n), out=least)
            fine = np.flatnonzero(lower >= least[query])
            np.maximum(least, kth_largest(query[fine], lower[fine], k, n), out=least)
        some = np.flatnonzero(largest + error >= least[query])
        visit, error = visit[some], error[some]
        lowest = (least[query[some]] - error) / factor[some]
        products = products.numpy()[some]
        row, column = np.divmod(np.flatnonzero(products >= lowest[:, None]), self.part)
        visit = visit[row]
        place = some[row] * self.part + column - visits.start[visit]
        # Not those of the last key again.
        real = place < self.partition.sizes_[visits.list[visit]]
        row, column, visit, place = (x[real] for x in (row, column, visit, place))
        score = products[row, column].astype(np.float32) * visits.factor[visit]
        key = self.partition.key_at(visits.list[visit], place)
        return Candidates(visits.query[visit], key, score, visits.error[visit])
