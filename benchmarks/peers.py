"""Libraries of approximate search, to compare an index with, on one thread.

Each function yields pairs of parameters and a function ``search(queries, k)`` that
gives indices of shape (n, k). A pair is to be used before the next one is asked for, as
they share what was built.
"""

from functools import partial

import faiss
import numpy as np


def ivf_flat(keys):
    """Faiss's lists of float32 keys."""
    for n_lists in (256, 512):
        index = _build(f"IVF{n_lists},Flat", keys)
        for n_probe in (2, 4, 8, 16, 32, 64, 128):
            index.nprobe = n_probe
            yield {"lists": n_lists, "n_probe": n_probe}, partial(_faiss, index)


def ivf_fast_scan(keys):
    """Faiss's 4-bit product quantization, re-ranked with the keys."""
    for n_lists in (256, 512):
        for n_parts in (keys.shape[1] // 4, keys.shape[1] // 2):
            index = faiss.IndexRefineFlat(_empty(f"IVF{n_lists},PQ{n_parts}x4fs", keys))
            index.train(keys)
            index.add(keys)
            base = faiss.downcast_index(index.base_index)
            build = {"lists": n_lists, "parts": n_parts}
            for n_probe in (16, 32, 48, 64, 96):
                base.nprobe = n_probe
                for factor in (2, 4, 8, 16):
                    index.k_factor = factor
                    choice = {"n_probe": n_probe, "refine": factor}
                    yield build | choice, partial(_faiss, index)


def faiss_hnsw(keys):
    """Faiss's graph of keys in 8 bits."""
    index = _empty("HNSW32,SQ8", keys)
    index.hnsw.efConstruction = 200
    index.train(keys)
    index.add(keys)
    for ef in (8, 12, 16, 24, 32, 48, 64, 96, 128):
        index.hnsw.efSearch = ef
        yield {"ef": ef}, partial(_faiss, index)


def hnswlib(keys):
    """Graph of hnswlib."""
    import hnswlib

    for degree in (16, 24):
        index = hnswlib.Index("ip", keys.shape[1])
        index.init_index(len(keys), ef_construction=200, M=degree)
        index.add_items(keys, num_threads=2)
        index.set_num_threads(1)

        def search(queries, k, index=index):
            return index.knn_query(queries, k, num_threads=1)[0].astype(np.int64)

        for ef in (10, 14, 20, 28, 40, 56, 80, 112, 160):
            index.set_ef(ef)
            yield {"M": degree, "ef": ef}, search


def usearch(keys):
    """Graph of usearch."""
    from usearch.index import Index

    for dtype in ("f32", "bf16"):
        index = Index(
            ndim=keys.shape[1],
            metric="ip",
            dtype=dtype,
            connectivity=24,
            expansion_add=200,
        )
        index.add(np.arange(len(keys)), keys, threads=2)

        def search(queries, k, index=index):
            found = index.search(queries, k, threads=1).keys
            return found.astype(np.int64).reshape(len(queries), k)

        for ef in (12, 16, 24, 32, 48, 64, 96, 128):
            index.expansion_search = ef
            yield {"dtype": dtype, "ef": ef}, search


def scann(keys):
    """ScaNN's tree with spilling, its anisotropic codes, re-ranked with the keys."""
    import scann

    for n_leaves in (256, 512):
        searcher = (
            scann.scann_ops_pybind.builder(keys, 10, "dot_product")
            .tree(n_leaves, 8, training_sample_size=len(keys), soar_lambda=1.5)
            .score_ah(2, anisotropic_quantization_threshold=0.2)
            .reorder(100)
            .build()
        )

        def search(queries, k, n_probe, reorder, searcher=searcher):
            return searcher.search_batched(
                queries,
                final_num_neighbors=k,
                pre_reorder_num_neighbors=max(k, reorder),
                leaves_to_search=n_probe,
            )[0].astype(np.int64)

        for n_probe in (8, 16, 24, 32, 48, 64, 96):
            for reorder in (10, 20, 40):
                choice = {"n_probe": n_probe, "reorder": reorder}
                yield {"leaves": n_leaves} | choice, partial(search, **choice)


def svs(keys, dtype):
    """Vamana graph of Intel's Scalable Vector Search.

    Its own compressed vectors need a processor of Intel. Those of 8 bits here are
    rounded by hand, with one scale for the keys and one for each query, and what they
    find is not re-ranked.
    """
    import svs

    parameters = svs.VamanaBuildParameters(
        alpha=0.95, graph_max_degree=48, window_size=200, max_candidate_pool_size=400
    )
    index = svs.Vamana.build(
        parameters, _rounded(keys, dtype), svs.DistanceType.MIP, num_threads=2
    )
    index.num_threads = 1

    def search(queries, k):
        if dtype is np.int8:
            queries = queries / np.abs(queries).max(axis=1, keepdims=True)
        return index.search(_rounded(queries, dtype), k)[0].astype(np.int64)

    for window in (8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 48, 64, 96):
        index.search_window_size = window
        yield {"window": window}, search


def _rounded(rows, dtype):
    if dtype is not np.int8:
        return rows.astype(dtype)
    return np.rint(rows * (127 / np.abs(rows).max())).astype(np.int8)


PEERS = {
    "Faiss IVFFlat": ivf_flat,
    "Faiss IVFPQFastScan": ivf_fast_scan,
    "Faiss HNSW": faiss_hnsw,
    "hnswlib": hnswlib,
    "usearch": usearch,
    "ScaNN": scann,
    "SVS float16": partial(svs, dtype=np.float16),
    "SVS int8": partial(svs, dtype=np.int8),
}


def _empty(description, keys):
    return faiss.index_factory(keys.shape[1], description, faiss.METRIC_INNER_PRODUCT)


def _build(description, keys):
    index = _empty(description, keys)
    index.train(keys)
    index.add(keys)
    return index


def _faiss(index, queries, k):
    return index.search(queries, k)[1]
