"""Keys that may be among the best of a query, by the bounds on their scores."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ._codes import KeyCodes, QueryCodes

__all__ = ["Candidates", "places"]

# Keys of the groups that reach the threshold are looked at so many at a time.
_CHUNK = {"cpu": 2**18, "cuda": 2**25}
# Bytes that looking at one of them takes.
_BYTES_A_KEY = 128
# Errors, relative to the score, that are worth an exact score.
_ROUGH = 2.0**-10


def places(n_wanted: int) -> int:
    """Candidates that there is room for, for each query on average."""
    return 16 * n_wanted + 128


class Candidates:
    """Pairs of a query and a key whose score may be among the query's k best.

    Each has a score with a bound on its error. The k-th largest lower bound of a query
    is its threshold: a key whose upper bound is less is out.

    Parameters
    ----------
    n_keys : int
    k : int
        Number of keys wanted for each query.
    n_padded : int
        Number of queries with those that fill the last tile, which want nothing.
    exact : callable
        ``exact(key, query)`` gives the exact scores of pairs, float64.
    unit : Tensor of shape (n_queries,), dtype float64
        What exact scores are divided by to be those of the codes.
    budget : int
        Bytes for looking at keys.
    """

    def __init__(
        self,
        n_keys: int,
        k: int,
        n_padded: int,
        exact: Callable[[Tensor, Tensor], Tensor],
        unit: Tensor,
        budget: int,
    ):
        device, n_queries = unit.device, len(unit)
        self.k = k
        self.n_keys = n_keys
        self.n_queries = n_queries
        self.exact = exact
        self.unit = unit
        self.threshold = torch.full(
            (n_padded,), -torch.inf, dtype=torch.float32, device=device
        )
        self.threshold[n_queries:] = torch.inf
        self._limit = n_queries * min(places(k), n_keys)
        self._chunk = max(2**10, min(_CHUNK[device.type], budget // _BYTES_A_KEY))
        room = self._limit + self._chunk
        self._room = (
            torch.empty(room, dtype=torch.int64, device=device),
            torch.empty(room, dtype=torch.int64, device=device),
            torch.empty(room, dtype=torch.float32, device=device),
            torch.empty(room, dtype=torch.float32, device=device),
        )
        self._n_pairs = 0
        # Whether room was lacking although no candidate could be ruled out.
        self.overflowed = False

    def look(
        self,
        products: Tensor,
        top: Tensor,
        keys: KeyCodes,
        queries: QueryCodes,
        first_key: int,
        first_tile: int,
    ) -> None:
        """Take in what some tiles of products of codes have to offer.

        Parameters
        ----------
        products : Tensor of shape (n_tiles, n_groups, group, width)
        top : Tensor of shape (n_tiles, n_groups, width)
            Largest product of each group.
        keys, queries : KeyCodes, QueryCodes
            Of the tiles.
        first_key, first_tile : int
            Where they are among all keys and tiles.
        """
        n_tiles, n_groups, size_of_group, width = products.shape
        scale = None if keys.scale is None else keys.scale * queries.scale
        top = top.float()
        if scale is not None:
            top *= scale[:, None]
        size, error = (x.view(n_tiles, 1, width) for x in (queries.size, queries.error))
        error = (keys.error[:, None] * size).addcmul_(keys.size[:, None], error)
        if keys.slack is not None:
            error += keys.slack[:, None]
        start = first_tile * width
        threshold = self.threshold[start : start + n_tiles * width].view(n_tiles, width)
        if self.k == 1:
            torch.maximum(threshold, (top - error).amax(dim=1), out=threshold)
        elif first_key == 0:
            lower = self._first_threshold(products, top, scale, error)
            torch.maximum(threshold, lower, out=threshold)
        reach = (top + error >= threshold[:, None]).nonzero()
        for some in reach.split(max(1, self._chunk // size_of_group)):
            tile, group, column = some.unbind(1)
            scores = products[tile, group, :, column].float()
            if scale is not None:
                scores *= scale[group, None]
            bound = error[tile, group, column]
            reach = scores + bound[:, None] >= threshold[tile, column, None]
            pair, place = reach.nonzero().unbind(1)
            key = first_key + group[pair] * size_of_group + place
            query = start + tile * width + column
            new = (query[pair], key, scores[pair, place], bound[pair])
            if first_key + n_groups * size_of_group > self.n_keys:
                new = tuple(x[key < self.n_keys] for x in new)
            self._add(new)

    def _first_threshold(self, products, top, scale, error) -> Tensor:
        """Thresholds from the first block of keys alone."""
        if top.shape[1] >= self.k:
            # The largest scores of k groups are those of k keys.
            return (top - error).topk(self.k, dim=1).values[:, -1]
        scores = products.float()
        if scale is not None:
            scores *= scale[:, None, None]
        # The keys that fill the last group are no keys of their own.
        scores = (scores - error.unsqueeze(2)).flatten(1, 2)[:, : self.n_keys]
        if scores.shape[1] < self.k:
            return torch.full_like(scores[:, 0], -torch.inf)
        return scores.topk(self.k, dim=1).values[:, -1]

    def _pairs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Query, key, score and error of every candidate."""
        return tuple(column[: self._n_pairs] for column in self._room)

    def _add(self, pairs: tuple[Tensor, ...]) -> None:
        start, self._n_pairs = self._n_pairs, self._n_pairs + len(pairs[0])
        for column, values in zip(self._room, pairs, strict=True):
            column[start : self._n_pairs] = values
        if self._n_pairs > self._limit:
            self.tighten()
            if self._n_pairs > self._limit // 2:
                self.overflowed = True
                self._condense()

    def _keep(self, pairs: Tensor) -> None:
        kept = [column[pairs] for column in self._pairs()]
        self._n_pairs = len(kept[0])
        for column, values in zip(self._pairs(), kept, strict=True):
            column.copy_(values)

    def tighten(self) -> None:
        """Raise the thresholds, and drop what does not reach them.

        The k that look best get exact scores if theirs are rough, so that the others
        are measured by those.
        """
        query, key, score, error = self._pairs()
        order, rank = _ranked(query, score)
        first = order[rank < self.k]
        rough = first[error[first] > _ROUGH * score[first].abs()]
        self._settle(rough, self.exact(key[rough], query[rough]))
        enough = query.new_zeros(len(self.threshold), dtype=torch.bool)
        enough[query[order[rank == self.k - 1]]] = True
        lowest = torch.full_like(self.threshold, torch.inf)
        lowest.scatter_reduce_(0, query[first], (score - error)[first], "amin")
        torch.where(
            enough, self.threshold.maximum(lowest), self.threshold, out=self.threshold
        )
        self._keep(score + error >= self.threshold[query])

    def _settle(self, pairs: Tensor, exact: Tensor) -> None:
        """Put exact scores in place of bounds."""
        query, _, score, error = self._pairs()
        score[pairs] = (exact / self.unit[query[pairs]]).float()
        error[pairs] = score[pairs].abs() * 2.0**-22

    def _condense(self) -> None:
        """Keep k candidates of each query, by their exact scores."""
        query, key, _, _ = self._pairs()
        exact = self.exact(key, query)
        best = self._best(query, key, exact)
        self._keep(best)
        self._settle(slice(None), exact[best])

    def result(self) -> tuple[Tensor, Tensor]:
        """Exact scores and keys of the k best of each query, ties by lowest key."""
        self.tighten()
        query, key, _, _ = self._pairs()
        exact = self.exact(key, query)
        best = self._best(query, key, exact)
        shape = (self.n_queries, self.k)
        return exact[best].view(shape), key[best].view(shape)

    def _best(self, query: Tensor, key: Tensor, score: Tensor) -> Tensor:
        """The k best pairs of each query, by query, score and ascending key."""
        order = key.argsort(stable=True)
        order = order[score[order].argsort(descending=True, stable=True)]
        order = order[query[order].argsort(stable=True)]
        return order[_rank(query[order]) < self.k]


def _ranked(query: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """Order of pairs by query, then by descending float32 score.

    Returns the order and, for each pair in that order, its rank within its query.
    """
    # One integer that sorts in that order: the bits of a positive float sort like an
    # integer, those of a negative one the other way round.
    bits = score.view(torch.int32).long()
    place = (query << 32) - torch.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    if place.is_cuda:
        order = place.argsort()
    else:  # several times as fast as torch's
        order = torch.from_numpy(place.numpy().argsort())
    return order, _rank(query[order])


def _rank(query: Tensor) -> Tensor:
    """Rank of each pair among those of its query, where queries are in order."""
    rows = torch.arange(len(query), device=query.device)
    return rows - torch.searchsorted(query, query)
