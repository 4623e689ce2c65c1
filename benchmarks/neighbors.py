"""Queries a second against recall, of AmortizedNeighbors and of other libraries.

    python benchmarks/neighbors.py debian --k 1 10 --batch 2048 1 --figure neighbors.png

One thread searches. Queries are split by group: the router learns from the first part,
another one calibrates, and what is reported is found on the third. All are timed in
this process, the best of three runs counts. A library that is not installed is left
out.
"""

import sys
import time
from pathlib import Path

import faiss
import numpy as np
import torch
from corpora import ALL, load
from peers import PEERS
from protocol import split
from tables import Report, parser, run
from threadpoolctl import threadpool_limits

from sk_amips import AmortizedNeighbors, SupportNetRegressor, exact_search
from sk_amips.metrics import recall_at_k
from sk_amips.partition import spherical_kmeans

# Lists and width of the router, chosen on the calibration queries.
SHAPES = {"debian": (492, 384), "squad_nqg": (232, 256)}
TARGETS = (0.8, 0.9, 0.93, 0.94, 0.95, 0.955, 0.96, 0.97, 0.98, 0.985, 0.99)
# Queries that are searched in batches, and one by one.
N_BATCHED, N_SINGLE = 4096, 500
OURS, UNIT = "sk_amips", "SVS float16"
RECALLS = (0.95, 0.98)


def fitted_router(name, keys, train, k, device, cache):
    """The router, or one with the weights that are in the cache."""
    n_lists, width = SHAPES.get(name, (round(2 * len(keys) ** 0.5), 64))
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
    seconds = time.perf_counter() - start
    print(f"fitted the router in {seconds:.0f} s", file=sys.stderr)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        state = router.net_.module_.state_dict()
        np.savez(file, **{n: v.cpu().numpy() for n, v in state.items()})
    return router


def add_router(parser):
    """Let a script be told where the router learns, and where it is kept."""
    parser.add_argument("--device", default="auto", help="where the router learns")
    parser.add_argument("--cache", help="folder that keeps sets and routers' weights")


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
        _, unit = speeds(rows, k, -batch, RECALLS[0])
        for name in dict.fromkeys(row["name"] for row in rows):
            mine = chosen(rows, name, k, -batch)
            if mine:
                style = {"lw": 2.5, "color": "black"} if name == OURS else {"lw": 1.2}
                recalls, qps = frontier(mine)
                axis.plot(recalls, qps / unit, "o-", ms=3, label=name, **style)
        axis.set(xlim=(0.8, 1.0), yscale="log", xlabel=f"recall@{k}")
        what = "one query at a time" if batch == -1 else f"batches of {-batch:,}"
        axis.set_title(f"{title}, {k} wanted, {what}", fontsize=10)
        axis.set_ylabel(f"queries a second, over {UNIT} at {RECALLS[0]}")
        axis.grid(alpha=0.3, which="both")
    axes[0, -1].legend(fontsize=8, loc="lower left")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def chosen(rows, name, k, batch):
    """Points of one library."""
    wanted = {"name": name, "k": k, "batch": batch}
    return [row for row in rows if wanted.items() <= row.items()]


def speeds(rows, k, batch, recall):
    """Fastest setting of each library that reaches a recall, and what is the unit."""
    best = {
        name: best_at(chosen(rows, name, k, batch), recall)
        for name in dict.fromkeys(row["name"] for row in rows)
    }
    found = {name: row["qps"] for name, row in best.items() if row}
    peers = {name: speed for name, speed in found.items() if name != OURS}
    return found, peers.get(UNIT, max(peers.values(), default=np.nan))


def show(report, rows, wanted, batch):
    """A table of speeds, those at a recall relative to one of them."""
    levels = [(k, recall) for recall in RECALLS for k in wanted]
    found = []
    for k, recall in levels:
        fastest, unit = speeds(rows, k, batch, recall)
        found.append({name: speed / unit for name, speed in fastest.items()})
    table = report.table(
        "library",
        *((f"@{k} >= {recall}", ".2f") for k, recall in levels),
        title=f"queries a second as multiples of those of {UNIT} (the fastest peer, "
        f"where that does not reach the recall), batches of {batch}",
    )
    for name in dict.fromkeys(row["name"] for row in rows):
        table.row(name, *(level.get(name) for level in found))


def main():
    arguments = parser(__doc__)
    arguments.add_argument("data", choices=ALL)
    arguments.add_argument("--k", type=int, nargs="+", default=[1, 10])
    arguments.add_argument("--batch", type=int, nargs="+", default=[2048])
    arguments.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    add_router(arguments)
    arguments.add_argument("--figure", help="file for a figure")
    args = arguments.parse_args()
    report = Report(args.json)
    keys, queries, groups = load(args.data, args.cache)
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
    rows = report.records
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
                report.leave_out(name, error)
    if args.figure:
        draw(rows, args.figure, args.data)
    for batch in args.batch:
        show(report, rows, args.k, batch)


if __name__ == "__main__":
    run(main)
