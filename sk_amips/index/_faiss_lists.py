"""Compressed lists of Faiss, whose best keys get exact scores."""

from __future__ import annotations

import numpy as np

from .._faiss import as_many_threads_as_torch
from .._memmaps import release
from ..exact._rescore import pair_scores
from ..partition import Partition
from ._export import add_to_lists, in_units
from ._found import Candidates, by_query

__all__ = ["FaissLists"]

# Keys re-ranked for each one wanted, at first and at most.
_REFINED, _MOST_REFINED = 4, 256
# Of an exact score in float32.
_ROUNDING = 1e-6
# Cost of a visit, in products.
_VISIT = 128
# Keys that the codes are trained on.
_TRAINED = 2**16


class FaissLists:
    """Inverted lists of Faiss, visited through ``search_preassigned``.

    Their scores are approximate without a bound: a few times as many keys as are wanted
    are re-ranked by exact scores.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, d)
        Keys, by reference. The lists hold short codes of them.
    partition : Partition
        Their lists.
    max_norm : float
        Bound on their norms.
    kind : {"pqfastscan", "rabitq"}
        Product quantization with 4-bit codes in registers, or one bit a coordinate.
    seed : int
        Of the training of the codes.
    """

    def __init__(
        self,
        keys: np.ndarray,
        partition: Partition,
        max_norm: float,
        kind: str,
        seed: int,
    ):
        import faiss  # here, so that only what needs it does

        if kind == "pqfastscan" and len(keys) < 16:
            raise ValueError(
                f"'pqfastscan' lists need at least 16 keys, got {len(keys)}."
            )
        self.keys = keys
        self.partition = partition
        self.kind, self.seed = kind, seed
        self.n_refined = _REFINED
        d, n_lists = keys.shape[1], partition.n_partitions
        quantizer = faiss.IndexFlatIP(d)
        unit = max_norm or 1.0
        self._centroids = in_units(partition.centroids_, unit)
        quantizer.add(self._centroids)
        common = quantizer, d, n_lists
        if kind == "rabitq":
            index = faiss.IndexIVFRaBitQ(*common, faiss.METRIC_INNER_PRODUCT)
        else:
            n_parts = d // 2 if d % 2 == 0 else d
            index = faiss.IndexIVFPQ(*common, n_parts, 4, faiss.METRIC_INNER_PRODUCT)
            index.by_residual = False
            index.pq.cp.seed = seed
        sample = np.random.default_rng(seed).permutation(len(keys))[:_TRAINED]
        index.train(in_units(keys[np.sort(sample)], unit))
        release(keys)
        add_to_lists(index, keys, partition.labels_, unit)
        self.index = index
        if kind == "pqfastscan":
            self.index = faiss.IndexIVFPQFastScan(index)
        self._quantizer = quantizer  # Faiss does not keep it alive

    def cost(self, mask: np.ndarray, n_batch: int) -> float:
        """As :meth:`CodeLists.cost`; nothing is shared."""
        return float(mask.mean(axis=1) @ (self.partition.sizes_ + _VISIT))

    def refine_more(self) -> bool:
        """Re-rank twice as many keys, unless that is too many."""
        if self.n_refined >= _MOST_REFINED:
            return False
        self.n_refined *= 2
        return True

    def encode(self, unit: np.ndarray) -> np.ndarray:
        """Queries as Faiss takes them: as they are."""
        return np.ascontiguousarray(unit)

    def search(
        self, queries: np.ndarray, mask: np.ndarray, least: np.ndarray, k: int
    ) -> Candidates:
        """As :meth:`CodeLists.search`, with exact scores of what Faiss finds."""
        import faiss

        lists, query = np.nonzero(mask)
        visitors = np.flatnonzero(mask.any(axis=0))
        if not len(visitors):
            return Candidates.empty()
        row = np.searchsorted(visitors, query)
        (probes,) = by_query(row, len(visitors), 1, (lists, -1))
        unit = queries[visitors]
        coarse = np.take_along_axis(unit @ self._centroids.T, probes, axis=1)
        wanted = min(self.n_refined * k, len(self.keys))
        scores = np.empty((len(unit), wanted), dtype=np.float32)
        keys = np.empty((len(unit), wanted), dtype=np.int64)
        arrays = (faiss.swig_ptr(array) for array in (probes, coarse, scores, keys))
        params = faiss.SearchParametersIVF(nprobe=probes.shape[1])
        with as_many_threads_as_torch():
            # The method of Python has no number of probes that varies.
            self.index.search_preassigned_c(
                len(unit), faiss.swig_ptr(unit), wanted, *arrays, False, params
            )
        row, column = np.nonzero(keys >= 0)
        key, query = keys[row, column], visitors[row]
        score = pair_scores(self.keys, queries, key, query).astype(np.float32)
        return Candidates(query, key, score, np.abs(score) * np.float32(_ROUNDING))
