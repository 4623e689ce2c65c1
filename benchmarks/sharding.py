"""Shards that a query touches at a recall, by placement of the lists and with a toll.

    python benchmarks/sharding.py

Keys lie in lists, lists on shards; a query asks every shard with a list that it visits.
All placements are balanced: at random; by k-means of the lists' centroids; and that of
``AmortizedNeighbors(shards=...)``, by which lists are visited together, first without a
toll and then with it. Without a toll, what is visited does not depend on the placement.

Routers learn from one part of the queries; the others are divided, by group and anew
for each seed, into those that calibrate and those that are searched. Means over seeds
are shown, and of the last placement its standard deviation.
"""

from pathlib import Path

import numpy as np
from corpora import add_sets, available, load
from protocol import split
from sklearn.cluster import KMeans
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import normalize
from tables import Report, parser, run

import sk_amips
from sk_amips import (
    AmortizedNeighbors,
    CentroidRouter,
    SupportNetRegressor,
    exact_search,
)
from sk_amips.index._placement import capacity
from sk_amips.index._shards import Shards
from sk_amips.metrics import macs_per_query, recall_at_k

TARGET = 0.95


def fitted_routers(name, keys, train, epochs, cache):
    """Centroids, and a small network over the same lists; kept in a folder."""
    folder = cache and Path(cache) / f"{name}_sharding_{epochs}"
    if folder and folder.exists():
        learned = sk_amips.load(folder, keys)
    else:
        learned = SupportNetRegressor(
            keys,
            n_partitions="auto",
            hidden_layer_sizes=(256,),
            convexity=None,
            top_k=10,
            batch_size=2048,
            max_epochs=epochs,
            random_state=0,
        ).fit(train)
        if folder:
            learned.save(folder)
    centroids = CentroidRouter(keys, partition=learned.partition_).fit(train[:1])
    return {"centroids": centroids, "SupportNet": learned}


def at_random(sizes, n_shards, rng):
    """Lists in random order, each where there are fewest keys."""
    shards, loads = np.empty(len(sizes), dtype=np.int64), np.zeros(n_shards)
    for j in rng.permutation(len(sizes)):
        shards[j] = loads.argmin()
        loads[shards[j]] += sizes[j]
    return shards


def by_centroids(partition, n_shards, seed, n_rounds=10):
    """Lists by k-means of the directions of their centroids, as far as there is room.

    Those that it matters for most come first; the means are moved after each round.
    """
    sizes, most = partition.sizes_, capacity(partition.sizes_, n_shards)
    rows = normalize(partition.centroids_)
    means = KMeans(n_shards, n_init=10, random_state=seed)
    centers = means.fit(rows, sample_weight=sizes).cluster_centers_
    for _ in range(n_rounds):
        near = rows @ normalize(centers).T
        first_two = np.sort(near, axis=1)[:, -2:]
        shards, loads = np.empty(len(sizes), dtype=np.int64), np.zeros(n_shards)
        for j in np.argsort(first_two[:, 0] - first_two[:, 1]):
            able = np.flatnonzero(loads + sizes[j] <= most)
            shards[j] = able[near[j, able].argmax()] if len(able) else loads.argmin()
            loads[shards[j]] += sizes[j]
        centers = np.zeros_like(centers)
        np.add.at(centers, shards, rows * sizes[:, None])
    # Where a shard got nothing the numbers close up.
    return np.unique(shards, return_inverse=True)[1]


def visited(index, X, k):
    """Lists (n_lists, n) that queries visit."""
    rule, k = index._rule(k, None, None)
    masks = [mask for _, mask in index._engine.visits(X, k, rule)]
    return np.concatenate(masks, axis=1)


def measure(router, k, seed, all_shards, calibrating, test):
    """A dict of what was measured for each number of shards."""
    X, exact = test
    partition = router.partition_
    params = {"k": k, "target_recall": TARGET, "fallback": False, "random_state": seed}
    plain = AmortizedNeighbors(router, **params).fit(calibrating)
    mask = visited(plain, X, k)
    macs, keys = macs_per_query(plain, X), plain.visited(X)[1].mean()
    for n_shards in all_shards:
        placed = AmortizedNeighbors(router, shards=n_shards, **params).fit(calibrating)
        rng = np.random.default_rng(seed)
        placements = {
            "random": at_random(partition.sizes_, n_shards, rng),
            "by centroids": by_centroids(partition, n_shards, seed),
            "by visits": placed.shards_,
        }
        row = {
            name: Shards(shards).touched(mask).sum(axis=0).mean()
            for name, shards in placements.items()
        }
        loads = np.bincount(placed.shards_, partition.sizes_)
        yield (
            n_shards,
            row
            | {
                "with toll": placed.shards_touched(X).mean(),
                "keys": keys / len(router.keys_),
                "keys, toll": placed.visited(X)[1].mean() / len(router.keys_),
                "macs": macs_per_query(placed, X) / macs,
                "recall": recall_at_k(exact, *plain.search(X), k=k),
                "recall, toll": recall_at_k(exact, *placed.search(X), k=k),
                "load": loads.max() / loads.mean(),
            },
        )


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--shards", type=int, nargs="+", default=[4, 16, 64])
    arguments.add_argument("--k", type=int, nargs="+", default=[1, 10])
    arguments.add_argument("--n-seeds", type=int, default=3)
    arguments.add_argument("--epochs", type=int, default=15, help="of the network")
    add_sets(arguments, ("debian", "phenotypes"))
    args = arguments.parse_args()
    report = Report(args.json)
    for name in available(args.sets, report):
        keys, queries, groups = load(name, args.cache)
        train, *halves = split(groups)
        rest = np.sort(np.concatenate(halves))
        held_out = queries[rest]
        routers = fitted_routers(name, keys, queries[train], args.epochs, args.cache)
        n_lists = routers["centroids"].partition_.n_partitions
        table = report.table(
            "router",
            "k",
            "shards",
            ("random", ".2f"),
            ("by centroids", ".2f"),
            ("by visits", ".2f"),
            ("with toll", ".2f"),
            ("±", ".2f"),
            ("keys scanned", ".2%"),
            ("with toll", ".2%"),
            ("work, with toll", ".2f"),
            ("recall", ".3f"),
            ("with toll", ".3f"),
            ("fullest shard", ".2f"),
            title=f"{name}, {len(keys):,} keys in {n_lists} lists: mean number of "
            f"shards that a query touches at a recall of {TARGET}",
        )
        some = [m for m in args.shards if m <= n_lists]
        for label, router in routers.items():
            for k in args.k:
                exact, _ = exact_search(keys, held_out, k, device="cpu")
                rows = {m: [] for m in some}
                for seed in range(args.n_seeds):
                    divide = GroupShuffleSplit(1, test_size=0.5, random_state=seed)
                    one, two = next(divide.split(held_out, groups=groups[rest]))
                    test = held_out[two], exact[two]
                    for m, row in measure(router, k, seed, some, held_out[one], test):
                        case = {"set": name, "router": label, "k": k, "shards": m}
                        report.records.append(case | {"seed": seed} | row)
                        rows[m].append(row)
                for m in some:
                    means = {c: np.mean([row[c] for row in rows[m]]) for c in row}
                    spread = np.std([row["with toll"] for row in rows[m]])
                    touched, others = list(means.values())[:4], list(means.values())[4:]
                    table.row(label, k, m, *touched, spread, *others)


if __name__ == "__main__":
    run(main)
