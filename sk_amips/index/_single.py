"""Lists visited by one query, where calling functions costs more than computing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ._found import Candidates, kth_largest

if TYPE_CHECKING:
    from ._code_lists import CodeLists
    from ._queries import Queries

__all__ = ["candidates_of_one"]

_LOWEST = np.finfo(np.float32).min


def candidates_of_one(
    lists: CodeLists, queries: Queries, visited: np.ndarray, least: np.ndarray, k: int
) -> Candidates:
    """Keys of some lists that may be among the k best of a single query.

    Visits share no product, and there are few enough to compare all scores at once: a
    third of the steps that a batch takes.

    Parameters
    ----------
    lists : CodeLists
    queries : Queries
        A batch of one.
    visited : ndarray of shape (n_visited,), dtype int64
        Lists, ascending.
    least : ndarray of shape (1,), dtype float32
        Bound from below on the k-th best score, raised in place.
    k : int
    """
    widths = lists.widths[visited]
    visit = np.repeat(np.arange(len(visited)), widths)
    place = np.arange(len(visit)) - (np.cumsum(widths) - widths)[visit]
    factor, error = lists.scaling(queries, np.zeros_like(visited), visited)
    errors = error[visit]
    score = _products(lists, queries, visited, widths)
    score *= factor[visit]
    # The last key again.
    score[place >= lists.partition.sizes_[visited][visit]] = -np.inf
    none = np.zeros(len(score), dtype=np.int64)
    np.maximum(least, kth_largest(none, score - errors, k, 1), out=least)
    # None that is not there, even where fewer keys are than wanted.
    some = np.flatnonzero(score + errors >= max(least[0], _LOWEST))
    visit, place = visit[some], place[some]
    key = lists.partition.key_at(visited[visit], place)
    return Candidates(none[: len(some)], key, score[some], error[visit])


def _products(
    lists: CodeLists, queries: Queries, visited: np.ndarray, widths: np.ndarray
) -> np.ndarray:
    """Products of the code of a query with those of all keys of some lists."""
    code, codes, mm = queries.codes, lists.codes, lists.coding.mm
    products = torch.empty((1, int(widths.sum())), dtype=lists.coding.product_dtype)
    parts = products.split(widths.tolist(), dim=1)
    for j, out in zip(visited.tolist(), parts, strict=True):
        mm(code, codes[j], out=out)
    return products[0].float().numpy()
