"""Lists of keys in short codes, scored list by list for all queries of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from ..exact._choice import codes_for
from ..exact._codes import QueryCodes
from ..partition import Partition
from ._export import in_units
from ._found import Candidates, kth_largest

__all__ = ["CodeLists", "Queries"]

# Queries and lists whose errors are measured.
_QUERIES, _LISTS = 128, 64
# Products of codes that are held at a time: so few that they stay in the cache.
_PRODUCTS = 2**21
# Keys that share a first look where several are wanted of each query.
_GROUP = 16
# So many pairs that the codes of exact search are chosen by speed.
_MANY = 2**20


class Queries(NamedTuple):
    """A batch of queries.

    Attributes
    ----------
    coded : QueryCodes
        Codes of the directions over their largest coordinates.
    factor : ndarray of shape (n,), dtype float32
        Turns products with their codes into scores of keys of norm around one.
    size, error : ndarray of shape (n,), dtype float32
        Bounds on the norm of a direction, and of what its code leaves out.
    """

    coded: QueryCodes
    factor: np.ndarray
    size: np.ndarray
    error: np.ndarray


class Visits(NamedTuple):
    """Products of the codes of queries with those of all keys of some lists.

    Attributes
    ----------
    query, list : ndarray of shape (n_visits,), dtype int64
        Who visits which list.
    start, size : ndarray of shape (n_visits,), dtype int64
        Where its products are.
    products : ndarray of shape (n_products,)
    factor, error : ndarray of shape (n_visits,), dtype float32
        Turn products into scores, and bound the error of these.
    """

    query: np.ndarray
    list: np.ndarray
    start: np.ndarray
    size: np.ndarray
    products: np.ndarray
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
        many = _MANY, _MANY, keys.shape[1]
        self.coding = codes_for(*many, torch.device("cpu"))[0]
        coded = [self._encode(j) for j in range(partition.n_partitions)]
        # As the second factor of a product.
        self.codes = [list_codes.codes.T for list_codes in coded]
        scale = [1.0 if c.scale is None else float(c.scale) for c in coded]
        self.scale = np.array(scale, dtype=np.float32)
        self.size = np.array([float(c.size) for c in coded], dtype=np.float32)
        self.error = np.array([float(c.error) for c in coded], dtype=np.float32)
        # Share of the bounds on errors that is believed.
        self.trust = 1.0

    def _encode(self, j: int):
        keys = in_units(self.keys[self.partition.members(j)], self.unit)
        keys = torch.from_numpy(keys)
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
                found = visits.products * np.repeat(visits.factor, visits.size)
                error = np.abs(found - exact.ravel())
                error /= np.repeat(visits.error, visits.size)
                largest = max(largest, float(error.max()))
        # Random roundings come to 1 / sqrt(d) of the bound: eight times that at least.
        self.trust = min(1.0, max(1.5 * largest, 8 / unit.shape[1] ** 0.5))

    @property
    def nbytes(self) -> int:
        """Bytes of the codes."""
        return sum(codes.nbytes for codes in self.codes)

    def refine_more(self) -> bool:
        """Nothing is to be refined: lists lose no key."""
        return False

    def encode(self, unit: np.ndarray) -> Queries:
        """Codes of unit vectors, none of them zero."""
        rows = torch.from_numpy(unit)
        largest = rows.abs().amax(dim=1)
        coded = self.coding.encode_queries(rows / largest[:, None])
        factor = coded.scale * largest * self.unit
        bounds = (x * largest * self.unit for x in (coded.size, coded.error))
        return Queries(coded, *(x.numpy() for x in (factor, *bounds)))

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
        found = Candidates.empty()
        for visits in self._visits(queries, mask):
            found = found.add(self._reaching(visits, least, k))
        return found

    def _visits(self, queries: Queries, mask: np.ndarray) -> Iterator[Visits]:
        n = mask.shape[1]
        lists, query = np.divmod(np.flatnonzero(mask), n)
        size = self.partition.sizes_[lists]
        ends = np.cumsum(size)
        start = 0
        while start < len(query):
            done = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, done + _PRODUCTS)))
            some = slice(start, stop)
            yield self._multiply(queries, query[some], lists[some], size[some])
            start = stop

    def _multiply(self, queries, query, lists, size) -> Visits:
        """Products for visits in the order of their lists."""
        ends = np.cumsum(size)
        codes, mm = self.codes, self.coding.mm
        gathered = queries.coded.codes.index_select(0, torch.from_numpy(query))
        products = torch.empty(int(ends[-1]), dtype=self.coding.product_dtype)
        visited, n_visitors = np.unique(lists, return_counts=True)
        sizes = self.partition.sizes_[visited]
        for j, height, width, some, out in zip(
            visited.tolist(),
            n_visitors.tolist(),
            sizes.tolist(),
            gathered.split(n_visitors.tolist()),
            products.split((n_visitors * sizes).tolist()),
            strict=True,
        ):
            mm(some, codes[j], out=out.view(height, width))
        if products.dtype == torch.bfloat16:  # unknown to numpy
            products = products.float()
        factor = self.scale[lists] * queries.factor[query]
        error = self.error[lists] * queries.size[query]
        error += self.size[lists] * queries.error[query]
        # The last bits of products in float32.
        error *= self.trust * (1 + 1e-6)
        return Visits(query, lists, ends - size, size, products.numpy(), factor, error)

    def _reaching(self, visits: Visits, least: np.ndarray, k: int) -> Candidates:
        """Keys whose score may reach the least wanted, which is raised first."""
        visit, start, size = _spans(visits, k)
        query = visits.query[visit]
        factor, error = visits.factor[visit], visits.error[visit]
        largest = np.maximum.reduceat(visits.products, start) * factor
        if k == 1 or np.isneginf(least).any():
            lower = kth_largest(query, largest - error, k, len(least))
            np.maximum(least, lower, out=least)
        some = np.flatnonzero(largest + error >= least[query])
        visit, start, size = visit[some], start[some], size[some]
        lowest = (least[query[some]] - error[some]) / factor[some]
        ends = np.cumsum(size)
        shift = np.repeat(start - (ends - size), size)
        place = np.arange(len(shift)) + shift
        there = np.flatnonzero(visits.products[place] >= np.repeat(lowest, size))
        visit = visit[np.searchsorted(ends, there, side="right")]
        place = place[there]
        score = visits.products[place] * visits.factor[visit]
        key = self.partition.key_at(visits.list[visit], place - visits.start[visit])
        return Candidates(visits.query[visit], key, score, visits.error[visit])


def _spans(visits: Visits, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visit, start and size of the parts of visits that share a first look.

    The k-th largest of their best scores bounds that of the keys from below: the parts
    are whole visits where k is one or a query has many visits.
    """
    if k == 1:
        return np.arange(len(visits.query)), visits.start, visits.size
    many = np.bincount(visits.query)[visits.query] >= max(k, _GROUP)
    part = np.where(many, visits.size, _GROUP)
    n_parts = -(-visits.size // part)
    visit = np.repeat(np.arange(len(n_parts)), n_parts)
    ends = np.cumsum(n_parts)
    place = np.arange(ends[-1]) - np.repeat(ends - n_parts, n_parts)
    inside = place * part[visit]
    size = np.minimum(part[visit], visits.size[visit] - inside)
    return visit, visits.start[visit] + inside, size
