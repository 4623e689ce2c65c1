"""Queries a second against recall, of AmortizedNeighbors and of other libraries.

    python benchmarks/neighbors.py debian --k 1 10 --batch 2048 1 --figure neighbors.png

One thread searches. Queries are split by group: the router learns from the first part,
another one calibrates, and what is reported is found on the third. All are timed in
this process, the best of three runs counts. A library that is not installed is left
out.
"""

import argparse
import json
import time
from pathlib import Path

import faiss
import numpy as np
import torch
from peers import PEERS
from protocol import load, split
from threadpoolctl import threadpool_limits

from sk_amips import AmortizedNeighbors, SupportNetRegressor, exact_search
from sk_amips.metrics import recall_at_k
from sk_amips.partition import spherical_kmeans

# Lists and width of the router, chosen on the calibration queries.
SHAPES = {"debian": (492, 384), "squad_nqg": (232, 256)}
TARGETS = (0.8, 0.9, 0.93, 0.94, 0.95, 0.955, 0.96, 0.97, 0.98, 0.985, 0.99)
# Queries that are searched in batches, and one by one.
N_BATCHED, N_SINGLE = 4096, 500
OURS = "sk_amips"


def fitted_router(name, keys, train, k, device, cache):
    """The router, or one with the weights that are in the cache."""
    n_lists, width = SHAPES[name]
    partition = spherical_kmeans(keys, n_lists, seed=0)
    router = SupportNetRegressor(
        keys,
        partition=partition,
        hidden_layer_sizes=(width,),
        convexity=None,
        top_k=k,
        batch_size=2048,
        max_epochs=60,
        noisy_queries=1.0,
        noisy_keys=1.0,
        device=device,
        random_state=0,
    )
    file = cache and Path(cache) / f"{name}_{n_lists}_{width}_{k}.npz"
    if file and file.exists():
        router.set_params(max_epochs=1, noisy_queries=0.0, noisy_keys=0.0)
        router.fit(train[:512])
        with np.load(file) as weights:
            state = {n: torch.from_numpy(weights[n]).float() for n in weights}
        router.net_.module_.load_state_dict(state)
        return router
    start = time.perf_counter()
    router.fit(train)
    print(f"fitted the router in {time.perf_counter() - start:.0f} s")
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        state = router.net_.module_.state_dict()
        np.savez(file, **{n: v.cpu().numpy() for n, v in state.items()})
    return router


def ours(router, calibration, k):
    """Pairs of parameters and searches of our own."""
    params = {"target_recall": 0.95, "fallback": False, "random_state": 0}
    index = AmortizedNeighbors(router, k=k, **params)
    index.fit(calibration)
    for target in TARGETS:
        yield (
            {"target": target},
            lambda queries, k, target=target: index.search(
                queries, target_recall=target
            )[1],
        )


def measure(search, queries, k, batch):
    """Indices found, and queries a second."""
    batches = [queries[i : i + batch] for i in range(0, len(queries), batch)]
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        found = [search(some, k) for some in batches]
        best = min(best, time.perf_counter() - start)
    return np.concatenate(found), len(queries) / best


def points(name, pair, keys, queries, exact, k, batches):
    """Recall and speed with some parameters, for each size of a batch."""
    parameters, search = pair
    for batch in batches:
        n = min(len(queries), N_BATCHED if batch > 1 else N_SINGLE)
        indices, speed = measure(search, queries[:n], k, batch)
        scores = np.einsum("nkd,nd->nk", keys[indices], queries[:n])
        recall = recall_at_k(exact[:n], scores, indices, k=k)
        found = {"name": name, "batch": batch, "k": k, "recall": recall, "qps": speed}
        yield found | parameters


def best_at(rows, recall):
    """The fastest of those that reach a recall."""
    able = [row for row in rows if row["recall"] >= recall]
    return max(able, key=lambda row: row["qps"]) if able else None


def frontier(rows):
    """Recalls and speeds of those that nothing beats in both."""
    best, kept = 0.0, []
    for row in sorted(rows, key=lambda row: (-row["recall"], -row["qps"])):
        if row["qps"] > best:
            best = row["qps"]
            kept.append((row["recall"], row["qps"]))
    return np.array(kept).T


def draw(rows, path, title):
    """Figure of speed against recall, a panel for each k and size of a batch."""
    import matplotlib.pyplot as plt

    panels = sorted({(-row["batch"], row["k"]) for row in rows})
    n_rows = len({batch for batch, _ in panels})
    shape = n_rows, len(panels) // n_rows
    size = 5 * shape[1], 4 * shape[0]
    figure, axes = plt.subplots(*shape, figsize=size, squeeze=False)
    for axis, (batch, k) in zip(axes.flat, panels, strict=True):
        for name in dict.fromkeys(row["name"] for row in rows):
            mine = chosen(rows, name, k, -batch)
            if mine:
                style = {"lw": 2.5, "color": "black"} if name == OURS else {"lw": 1.2}
                axis.plot(*frontier(mine), marker="o", ms=3, label=name, **style)
        axis.set(xlim=(0.8, 1.0), yscale="log", xlabel=f"recall@{k}")
        what = "one query at a time" if batch == -1 else f"batches of {-batch:,}"
        axis.set_title(f"{title}, {k} wanted, {what}", fontsize=10)
        axis.set_ylabel("queries a second, one thread")
        axis.grid(alpha=0.3, which="both")
    axes[0, -1].legend(fontsize=8, loc="lower left")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def chosen(rows, name, k, batch):
    """Points of one library."""
    wanted = {"name": name, "k": k, "batch": batch}
    return [row for row in rows if wanted.items() <= row.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=SHAPES)
    parser.add_argument("--k", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--batch", type=int, nargs="+", default=[2048])
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--device", default="auto", help="where the router learns")
    parser.add_argument("--cache", help="folder that keeps the routers' weights")
    parser.add_argument("--json", type=Path, help="file for all points")
    parser.add_argument("--figure", help="file for a figure")
    args = parser.parse_args()
    keys, queries, groups = load(args.data)
    train, calibration, test = (queries[rows] for rows in split(groups))
    test = test[:N_BATCHED]
    sets = {}
    for k in args.k:
        router = fitted_router(
            args.data, keys, train, k, args.device, args.cache
        ).set_params(device="cpu")
        sets[k] = router, exact_search(keys, test, k, device="cpu")[0]
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    rows = []
    with threadpool_limits(1):
        for k, (router, exact) in sets.items():
            for pair in ours(router, calibration, k):
                rows += points(OURS, pair, keys, test, exact, k, args.batch)
        for name in args.only:
            try:
                for pair in PEERS[name](keys):
                    for k, (_, exact) in sets.items():
                        rows += points(name, pair, keys, test, exact, k, args.batch)
            except ImportError as error:
                print(f"left out: {error}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    if args.figure:
        draw(rows, args.figure, args.data)
    for batch in args.batch:
        print(f"\nBatches of {batch}:\n")
        report(rows, args.k, batch)


def report(rows, wanted, batch):
    """Print the fastest that reach a recall, as multiples of the fastest peer."""
    print("| recall | library | queries/s | of best peer | parameters |")
    print("|---|---|---|---|---|")
    for k in wanted:
        for recall in (0.9, 0.95, 0.98):
            best = {
                name: best_at(chosen(rows, name, k, batch), recall)
                for name in dict.fromkeys(row["name"] for row in rows)
            }
            peers = [row["qps"] for n, row in best.items() if row and n != OURS]
            for name, row in best.items():
                if row:
                    ratio = row["qps"] / max(peers, default=np.nan)
                    shown = "name", "k", "batch", "recall", "qps"
                    left = {n: v for n, v in row.items() if n not in shown}
                    print(
                        f"| @{k} >= {recall} | {name} | {row['qps']:,.0f} | "
                        f"{ratio:.2f} | {left}, recall {row['recall']:.3f} |"
                    )


if __name__ == "__main__":
    main()
